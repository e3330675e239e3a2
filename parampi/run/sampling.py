"""Sampling: members by `sample`, or all lead times of a roll-out by `rollout`, each field written as it is finished."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.noise import lead_seed
from parampi.engine.history import Watch
from parampi.ensemble import Ensemble, sample
from parampi.errors import InterruptionError, NonFiniteError
from parampi.fields import PER_CASE, MemberFacts
from parampi.parallel import Group, Layout, SerialGroup, as_group
from parampi.parallel.agree import on_all, on_root
from parampi.parallel.collector import objects_frozen
from parampi.report import MemberReport, Report, count
from parampi.rollouts import rollout
from parampi.run.any_rank import physical
from parampi.run.artifacts import attempt, write_report
from parampi.run.checkpoint.hook import CheckpointHook
from parampi.run.checkpoint.writer import CheckpointWriter
from parampi.run.condition_source import ConditionSource
from parampi.run.earlier_files import RUN, identities
from parampi.run.inputs import SamplingOptions, input_digests, sampling_options
from parampi.run.metadata import versions
from parampi.run.output import EnsembleOutput
from parampi.run.page.writing import leave_page
from parampi.run.plan import Plan, open_output
from parampi.run.progress import RunDisplay
from parampi.run.run_log import RunLog
from parampi.run.stopwatch import Stopwatch
from parampi.run.stored_records import RunRecord, Versions
from parampi.run.watchdog import Watchdog

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


@dataclass(frozen=True)
class Result:
    """The result of a run: one ensemble for all lead times; on rank 0 also reports of members that an earlier run finished."""

    ensemble: Ensemble
    earlier: list[MemberReport]


@dataclass(frozen=True)
class MemberWriter:
    """Writer of the finished members of a lead time: into the checkpoint, the memory of a roll-out and the ensemble."""

    plan: Plan
    output: EnsembleOutput
    source: ConditionSource | None
    lead: int = 0

    def keep(self, state: Tensor, member: MemberReport) -> None:
        member = replace(member, lead=self.lead) if self.lead else member
        if self.plan.keeps_checkpoints:
            self.plan.folder.keep(state, member)
        if self.source:
            self.source.remember(member.member, state)
        self.write(state, member)

    def write(self, state: Tensor, member: MemberReport) -> None:
        inputs = self.plan.inputs
        fields = physical(inputs.statistics, state)
        seed = self.plan.config.sampling.seed
        facts = MemberFacts(seed, member.rounds, member.evaluations, member.residual, member.bistable)
        self.output.write(member.member, inputs.cells.masked(fields), facts, member.lead)
        if member.lead == 0 and inputs.conditions and self.plan.config.output.initial_state:
            start = inputs.conditions.initial_state(member.member // PER_CASE).reshape(fields.shape)
            self.output.write(member.member, inputs.cells.masked(start), MemberFacts(seed, 0, 0, 0.0), lead=-1)


def draw(
    plan: Plan,
    denoiser: Denoiser,
    *,
    comm: "Comm | None",
    source: ConditionSource | None,
    watchdog: Watchdog,
    progress: str,
    log: RunLog,
    probed: int = 0,
    stopwatch: Stopwatch,
) -> Result:
    """Draw the members that are missing, after `probed` evaluations. When the run ends early, what is finished is kept."""
    total: Ensemble | None = None
    failure: NonFiniteError | InterruptionError | None = None
    options = sampling_options(plan.inputs, denoiser)
    with open_output(plan, comm) as output, shown(plan, comm, progress, log) as display, objects_frozen():
        on_root(comm, lambda: begin(plan))
        earlier = put_back(plan, output, comm)
        if plan.inputs.swept:
            total, failure = draw_swept(plan, options, output, comm=comm, source=source, watchdog=watchdog, display=display)
            if total is not None:
                total.report.probe_evaluations = probed
            if failure:
                raise salvaged(plan, failure, comm, earlier, stopwatch, log)
            return Result(total or nothing_left(plan, comm), earlier)
        for lead in (lead for lead, members in enumerate(plan.missing) if members):
            with group_of(plan.layouts[lead], comm) as group:
                arguments = lead_arguments(plan, lead, output, source=source and source.at(lead, group), display=display)
                arguments["safeguard"] = checkpoint_hook(plan, lead, watchdog, resumes=total is None)
                try:
                    ensemble = sample(comm=comm, probe=False, **arguments, **options)
                except (NonFiniteError, InterruptionError) as error:
                    ensemble, failure = error.ensemble, error
            total = counted(total, ensemble, lead)
            total.report.probe_evaluations = probed
            if failure is not None:
                failure.ensemble = total
                raise salvaged(plan, failure, comm, earlier, stopwatch, log)
    return Result(total or nothing_left(plan, comm), earlier)


def lead_arguments(
    plan: Plan, lead: int, output: EnsembleOutput, *, source: ConditionSource | None, display: RunDisplay | None
) -> dict[str, Any]:
    """Return what `sample` is given for the missing members of one lead time, or of a run without lead times."""
    if display:
        display.place = place(plan, lead)
    return {
        "members": plan.missing[lead],
        "seed": lead_seed(plan.config.sampling.seed, lead),
        "time_ranks": plan.layouts[lead].time_ranks,
        "batch": plan.config.parallel.batch,
        "keep": MemberWriter(plan, output, source, lead).keep,
        "keep_on": "groups" if output.everywhere else "root",
        "watch": watch_of(display),
        "condition": source,
        "case_of": source.case_of if source else None,
    }


def draw_swept(
    plan: Plan,
    options: SamplingOptions,
    output: EnsembleOutput,
    *,
    comm: "Comm | None",
    source: ConditionSource | None,
    watchdog: Watchdog,
    display: RunDisplay | None,
) -> tuple[Ensemble | None, NonFiniteError | InterruptionError | None]:
    """Draw the missing members of a roll-out, all their lead times together; returns them, None for none, and what ended the
    run early."""
    members, inputs, config = plan.missing[0], plan.inputs, plan.config
    assert source is not None
    if not members:
        return None, None
    try:
        return rollout(
            start=source.nothing_before, lead_times=inputs.leads, members=members, seed=config.sampling.seed, comm=comm,
            flight=config.sampling.flight, condition=source.of_states, time_ranks=plan.layouts[0].time_ranks,
            batch=config.parallel.batch, keep=MemberWriter(plan, output, None).keep,
            keep_on="groups" if output.everywhere else "root", watch=watch_of(display),
            safeguard=checkpoint_hook(plan, 0, watchdog, resumes=True), probe=False, **options,
        ), None  # fmt: skip
    except (NonFiniteError, InterruptionError) as error:
        return error.ensemble, error


def begin(plan: Plan) -> None:
    """Make a checkpoint, from which a run that is cut can go on. On rank 0."""
    if plan.keeps_checkpoints and not plan.resumes:
        plan.folder.empty()
        plan.folder.begin(
            RunRecord(
                run=plan.attributes[RUN],
                config=plan.config.as_dict(),
                inputs=input_digests(plan.inputs),
                versions=Versions.model_validate(versions()),
                files=identities(plan.config.output.files()),
            )
        )


def put_back(plan: Plan, output: EnsembleOutput, comm: "Comm | None") -> list[MemberReport]:
    """Write members that an earlier run finished into the files of this one; return their reports on rank 0."""
    writer = MemberWriter(plan, output, None)

    def write_mine() -> None:
        for lead, member in output.put_back:
            writer.write(*plan.folder.member(member, lead))

    reports = [plan.folder.member(member, lead)[1] for lead, member in output.earlier] if output.rank == 0 else []
    on_all(comm, write_mine)
    return reports


def checkpoint_hook(plan: Plan, lead: int, watchdog: Watchdog, resumes: bool) -> CheckpointHook:
    """Return what keeps the rounds of a lead time; the first one that is drawn goes on where members were left."""
    every = plan.config.checkpoint.every
    writer = CheckpointWriter(plan.folder, every, lead=lead) if every is not None else None
    return CheckpointHook(watchdog, writer, plan.unfinished if resumes else {})


@contextmanager
def shown(plan: Plan, comm: "Comm | None", style: str, log: RunLog) -> Iterator[RunDisplay | None]:
    """Yield the display of the whole run's progress, on rank 0; None on others, and where nothing is left to draw."""
    steps, leads = plan.inputs.equations.steps, plan.inputs.leads if plan.inputs.swept else 1
    shares = [len(layout.share(0)) for layout, members in zip(plan.layouts, plan.missing, strict=True) if members]
    if not shares or (comm is not None and comm.Get_rank() != 0):
        yield None
        return
    fields, groups = leads * sum(shares), plan.layouts[0].groups
    with RunDisplay(fields, steps, plan.unit, log, groups=groups, style=style) as display:
        yield display


def watch_of(display: RunDisplay | None) -> Watch | None:
    return display.show if display else None


def place(plan: Plan, lead: int) -> str:
    """Return which lead time is drawn, where these follow one another."""
    leads = plan.inputs.conditions.leads if plan.inputs.conditions else None
    return f"lead time {lead + 1} of {plan.inputs.leads} ({leads.values[lead]:g} {leads.units}), " if leads else ""


@contextmanager
def group_of(layout: Layout, comm: "Comm | None") -> Iterator[Group]:
    """Yield the ranks that share this rank's members."""
    with ExitStack() as stack:
        if comm is None or layout.time_ranks == 1:
            yield SerialGroup()
            return
        split = comm.Split(layout.group(comm.Get_rank()), comm.Get_rank())
        stack.callback(split.Free)
        yield as_group(split)


def counted(total: Ensemble | None, ensemble: Ensemble, lead: int) -> Ensemble:
    """Count a lead time into the report of those before it."""
    report = ensemble.report
    report.members = [replace(member, lead=lead) for member in report.members]
    if total is None:
        return ensemble
    total.report.follow(report)
    return total


def nothing_left(plan: Plan, comm: "Comm | None") -> Ensemble:
    """Return the ensemble of a run whose members were all finished before: it draws none, and only writes the files."""
    inputs = plan.inputs
    report = Report(inputs.equations.steps, plan.config.sampling.tolerance, serial_rounds=0, serial_evaluations=0)
    return Ensemble(None, [] if comm is None or comm.Get_rank() == 0 else None, report)


def salvaged(
    plan: Plan,
    error: NonFiniteError | InterruptionError,
    comm: "Comm | None",
    earlier: list[MemberReport],
    stopwatch: Stopwatch,
    log: RunLog,
) -> NonFiniteError | InterruptionError:
    """Return the error, after rank 0 has written the report of what was finished, by runs before this one too; after a
    network's failure from the start nothing is left behind."""
    if comm is not None and comm.Get_rank() != 0:
        return error
    if isinstance(error, NonFiniteError) and not plan.folder.finished(plan.inputs.members):
        plan.folder.clear()
    report = error.ensemble.report if error.ensemble else None
    if report:
        report.timing = stopwatch.read(report, plan.inputs, whole=False)
        report.add_earlier(earlier, plan.inputs.equations.evaluations, plan.inputs.swept)
    if report and report.members:
        _, failure = attempt(lambda: write_report(plan.config, plan.attributes, error.ensemble))
        if failure:
            log.warn(f"no report: {failure}")
        if failure := leave_page(plan, report, whole=False):
            log.warn(f"no {plan.config.output.files()['page']}: {failure}")
        log.say(f"kept {count(len(report.members), f'finished {plan.unit}')} in {plan.ensemble_file}")
    return error
