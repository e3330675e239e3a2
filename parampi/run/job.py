"""The job of `parampi run`: from a checked configuration to an ensemble file, a report and a figure."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parampi.ensemble import Ensemble, sample
from parampi.errors import ConfigError, InterruptionError, NonFiniteError, OutputError
from parampi.fields import EnsembleAxes, EnsembleSchema, MemberFacts, StoreTarget, check_target
from parampi.parallel import Group, Layout, SerialGroup, as_group
from parampi.parallel.agree import on_all, on_root
from parampi.parallel.launch import fair_threads, place_on_node
from parampi.report import MemberReport, Report
from parampi.run.artifacts import draw_figure, write_report
from parampi.run.checkpoint.folder import Folder, same_run
from parampi.run.checkpoint.hook import CheckpointHook
from parampi.run.checkpoint.writer import CheckpointWriter
from parampi.run.condition_source import ConditionSource, lead_seed
from parampi.run.config import RunConfig
from parampi.run.inputs import Inputs
from parampi.run.metadata import announcement, content, describe
from parampi.run.output import EnsembleOutput, choose_mode, store_class, writing_ranks
from parampi.run.progress import Progress
from parampi.run.stop_request import StopRequest

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


class Run:
    """One run on all ranks of `comm`; files are rank 0's."""

    def __init__(
        self, config: RunConfig, comm: "Comm | None" = None, overwrite: bool = False, progress: str = "auto",
        resume: bool = False, alarm: StopRequest | None = None,
    ):  # fmt: skip
        self.config, self.comm, self.overwrite, self.progress, self.resume = config, comm, overwrite, progress, resume
        self.alarm = alarm or StopRequest()
        self.alarm.seconds = config.checkpoint.max_walltime
        self.rank, self.ranks = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())
        self.directory = Path(config.output.directory)
        self.inputs = Inputs(config, comm)
        self.folder = Folder(self.directory)
        self.given: ConditionSource | None = None
        self.lead = 0
        self.done, self.places = list[list[int]](), dict[str, list[Any]]()

    def prepare(self) -> None:
        """Everything that can go wrong before sampling goes wrong here, on all ranks alike."""
        local_rank, self.ranks_here = place_on_node(self.comm)
        if threads := fair_threads(self.ranks_here):
            torch.set_num_threads(threads)
        self.inputs.read()
        self.members = self.inputs.members
        self.done, self.places = on_root(self.comm, self.take_up)
        self.layouts = [self.layout_of(lead) for lead in range(self.inputs.leads)]
        self.layout = self.layouts[0]
        self.mode = choose_mode(self.config.output.mode, self.layouts)
        self.attributes: dict[str, Any] = on_root(self.comm, self.check_files)
        if self.inputs.conditions is not None:
            folder = self.folder if self.config.checkpoint.every is not None else None
            self.given = ConditionSource(self.inputs.conditions, self.inputs.statistics, folder)
        self.inputs.load(local_rank, self.given)

    def take_up(self) -> tuple[list[list[int]], dict[str, list[Any]]]:
        """Members that an earlier run finished, for each lead time, and where others are that were begun; on rank 0, which
        keeps other jobs out."""
        if self.resume:
            self.folder.about()
        elif self.folder.exists and not self.overwrite:
            raise OutputError(
                f"{self.directory} holds an unfinished run; go on with it (parampi resume {self.directory}), or begin anew "
                f"(--overwrite)"
            )
        nothing: list[list[int]] = [[] for _ in range(self.inputs.leads)]
        if self.config.checkpoint.every is None and not self.resume:
            return nothing, {}
        check_target(self.directory / self.config.output.ensemble, self.overwrite or self.resume)
        self.folder.lock()
        if not self.resume:
            return nothing, {}
        same_run(self.folder, self.config.as_dict(), self.inputs.digests())
        done = [self.folder.finished(self.members, lead) for lead in range(self.inputs.leads)]
        lead = next((lead for lead, found in enumerate(done) if len(found) < len(self.members)), 0)
        self.folder.prune_rounds(done[lead], lead)
        return done, self.folder.places(self.missing_of(done[lead]), lead)

    def missing_of(self, done: list[int]) -> list[int]:
        """Members that are still to be drawn."""
        finished = set(done)
        return [member for member in self.members if member not in finished]

    def layout_of(self, lead: int) -> Layout:
        """As configured; for the few members that a resumed run lacks only where there are enough of them."""
        missing, given = max(len(self.missing_of(self.done[lead])), 1), self.config.parallel.time_ranks
        return Layout.plan(self.ranks, missing, None if self.resume and given and self.ranks // given > missing else given)

    def begin(self) -> None:
        """From here on a run that is cut can go on. On rank 0."""
        if self.config.checkpoint.every is not None and not self.resume:
            self.folder.empty()
            self.folder.begin(self.config.as_dict(), self.inputs.digests())

    def check_files(self) -> dict[str, str | int]:
        for name in (self.config.output.ensemble, self.config.output.report, self.config.output.figure):
            if name:
                check_target(self.directory / name, self.overwrite or self.resume)
        content(self.config.output, self.mode).chosen(self.inputs.statistics.names)
        store, kept = store_class(self.mode), self.config.checkpoint.every is not None
        if self.inputs.leads > 1 and store.writers == "root" and self.layout.groups > 1 and not kept:
            raise ConfigError(
                f"checkpoint.every = null and output.mode = {self.mode}: results would be with rank 0 alone, and other ranks "
                f"could not start the next lead time from them; use output.mode = virtual, or keep checkpoints"
            )
        store.check(content(self.config.output, self.mode), self.comm)
        return describe(self.config, self.layout)

    def draw(self) -> Ensemble:
        """Sample, writing each member as it comes. When the network fails, the finished members' file and report are kept."""
        whole: Ensemble | None = None
        with contextlib.ExitStack() as stack:
            self.output = stack.enter_context(self.open_output())
            on_root(self.comm, self.begin)
            self.put_back()
            for lead, done in enumerate(self.done):
                if missing := self.missing_of(done):
                    self.begin_lead(lead)
                    ensemble, failure = self.draw_lead(missing)
                    whole = self.counted(whole, ensemble)
                    if failure is not None:
                        failure.ensemble = whole
                        self.salvage(failure)
                        raise failure
        return whole or self.nothing_left()

    def begin_lead(self, lead: int) -> None:
        self.lead = lead
        leads = self.inputs.conditions.leads if self.inputs.conditions else None
        if leads and self.rank == 0:
            print(f"lead time {lead + 1} of {self.inputs.leads}: {leads.values[lead]:g} {leads.units}", flush=True)

    def draw_lead(self, missing: list[int]) -> tuple[Ensemble, NonFiniteError | InterruptionError | None]:
        """Members for one lead time (the only one where there is no roll-out), and what ended it early."""
        layout = self.layouts[self.lead]
        every = self.config.checkpoint.every
        keeper = CheckpointWriter(self.folder, every, lead=self.lead) if every is not None else None
        guard, self.places = CheckpointHook(self.alarm, keeper, self.places), {}
        with contextlib.ExitStack() as stack:
            kind = "window" if self.inputs.solver.ends(self.config.sampling.window, self.inputs.step_map) is None else "block"
            display = Progress(self.inputs.step_map.steps, self.inputs.window, kind, self.progress)
            progress = stack.enter_context(display) if self.rank == 0 else None
            if self.given:
                self.given.lead = self.lead
                self.given.group = stack.enter_context(self.group_of(layout))
            try:
                return sample(
                    members=missing, seed=lead_seed(self.config.sampling.seed, self.lead), time_ranks=layout.time_ranks,
                    batch=self.config.parallel.batch, keep=self.keep,
                    keep_on="groups" if self.output.everywhere else "root",
                    watch=progress.show if progress else None, safeguard=guard, condition=self.given,
                    **self.inputs.arguments(),
                ), None  # fmt: skip
            except (NonFiniteError, InterruptionError) as error:
                assert error.ensemble is not None
                return error.ensemble, error

    @contextlib.contextmanager
    def group_of(self, layout: Layout) -> Iterator[Group]:
        """The ranks that share this rank's members."""
        if self.comm is None or layout.time_ranks == 1:
            yield SerialGroup()
            return
        split = self.comm.Split(layout.group(self.rank), self.rank)
        yield as_group(split)
        split.Free()

    def counted(self, whole: Ensemble | None, ensemble: Ensemble) -> Ensemble:
        """One report for all lead times."""
        report = ensemble.report
        report.members = [replace(member, lead=self.lead) for member in report.members]
        if whole is None:
            return ensemble
        whole.report.follow(report)
        return whole

    def put_back(self) -> None:
        """Members that an earlier run finished, into the files of this one."""
        finished = self.output.earlier if self.rank == 0 else []
        self.earlier = [self.folder.report(member, lead) for lead, member in finished]

        def write_mine() -> None:
            for lead, member in self.output.put_back:
                self.write(*self.folder.member(member, lead))

        on_all(self.comm, write_mine)

    def stop_message(self) -> str:
        """What to say when a run stops early."""
        finished = [self.folder.finished(self.members, lead) for lead in range(self.inputs.leads)]
        count = sum(map(len, finished))
        reason = self.alarm.received or f"checkpoint.max_walltime = {self.config.checkpoint.max_walltime:g} s"
        remedy = f"go on with parampi resume {self.directory}" if self.config.checkpoint.every is not None else (
            "nothing was kept of the others, as checkpoint.every is null")  # fmt: skip
        what, total = "members" if self.inputs.leads == 1 else "fields", len(self.members) * self.inputs.leads
        return f"stopped in good order ({reason}); {count} of {total} {what} are finished; {remedy}"

    def nothing_left(self) -> Ensemble:
        """All members were finished before; only the files are left to be written."""
        steps, serial = self.inputs.step_map.steps, self.inputs.step_map.evaluations
        report = Report(steps, self.config.sampling.tolerance, serial, serial * len(self.members))
        return Ensemble(None, [] if self.rank == 0 else None, report)

    def forget(self) -> None:
        """Nothing was finished, and what was begun would fail again: leave nothing behind."""
        if not self.folder.finished(self.members):
            self.folder.clear()

    def salvage(self, error: NonFiniteError | InterruptionError) -> None:
        if isinstance(error, NonFiniteError) and self.rank == 0:
            self.forget()
        report = error.ensemble.report if error.ensemble else None
        if self.rank == 0 and report and report.members:
            write_report(self.config, self.attributes, error.ensemble)
            what = "members" if self.inputs.leads == 1 else "fields"
            target = self.directory / self.config.output.ensemble
            print(f"kept {len(report.members)} finished {what} in {target}", flush=True)

    def open_output(self) -> EnsembleOutput:
        inputs, conditions = self.inputs, self.inputs.conditions
        schema = EnsembleSchema(
            inputs.statistics,
            EnsembleAxes(self.members, conditions.cases, conditions.leads) if conditions else EnsembleAxes(self.members),
            seed=self.config.sampling.seed,
            attributes=self.attributes,
            content=content(self.config.output, self.mode),
            grid=inputs.cells,
        )
        path, replaces = self.directory / self.config.output.ensemble, self.overwrite or self.resume
        return EnsembleOutput(
            StoreTarget(path, schema, self.attributes["parampi_ensemble"], replaces),
            self.mode,
            comm=self.comm,
            writers=writing_ranks(self.mode, self.layouts),
            earlier=[(lead, member) for lead, members in enumerate(self.done) for member in members],
        )

    def keep(self, state: Tensor, member: MemberReport) -> None:
        member = replace(member, lead=self.lead)
        if self.config.checkpoint.every is not None:
            self.folder.keep(state, member)
        if self.given:
            self.given.remember(member.member, state)
        self.write(state, member)

    def write(self, state: Tensor, member: MemberReport) -> None:
        fields = self.inputs.statistics.restore(state.cpu().double().numpy())
        facts = MemberFacts(self.config.sampling.seed, member.rounds, member.evaluations, member.residual)
        self.output.write(member.member, self.inputs.cells.masked(fields), facts, member.lead)

    def finish(self, ensemble: Ensemble) -> str:
        ensemble.report.add_earlier(self.earlier)
        write_report(self.config, self.attributes, ensemble)
        if self.config.output.figure:
            draw_figure(self.inputs, ensemble)
        self.folder.clear()
        written = [self.config.output.ensemble, self.config.output.report, self.config.output.figure or ""]
        return f"{ensemble.report.summary()}\nwrote {', '.join(str(self.directory / name) for name in written if name)}"


def run(
    config: RunConfig, comm: "Comm | None" = None, overwrite: bool = False, progress: str = "auto", resume: bool = False,
    alarm: StopRequest | None = None,
) -> Ensemble:  # fmt: skip
    """Draw the ensemble a configuration describes and write its files. Every rank of `comm` makes the same call.

    Raises UserError (all ranks alike) before any sampling for everything that can be known then, and NonFiniteError, with the
    finished members in the ensemble file, when the network returns NaN or Inf, and InterruptionError when time is up or a
    signal came; with `resume` such a run goes on from its checkpoint. Signals are heard until this returns, or by `alarm`,
    which listens already.
    """
    with contextlib.nullcontext(alarm) if alarm else StopRequest().listening() as hearing:
        return execute(Run(config, comm, overwrite, progress, resume, hearing))


def execute(job: Run) -> Ensemble:
    try:
        job.prepare()
        if job.rank == 0:
            print(announcement(job.inputs, job.layout, job.mode, job.ranks_here), flush=True)
        ensemble = job.draw()
        if job.rank == 0:
            print(job.finish(ensemble), flush=True)
    except InterruptionError as error:
        raise InterruptionError(on_root(job.comm, job.stop_message)) from error
    finally:
        job.folder.release()
    return ensemble
