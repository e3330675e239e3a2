"""The job of `parampi run`: from a checked configuration to an ensemble file, a report and a figure."""

import contextlib
import glob
import json
import math
import os
import platform
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import parampi
from parampi import card, models
from parampi.advice import advice
from parampi.alarm import Alarm
from parampi.checkpoint import Folder, same_run
from parampi.config import RunConfig, build
from parampi.ensemble import Ensemble, member_numbers, sample
from parampi.errors import ConfigError, DataError, InterruptionError, NonFiniteError, OutputError
from parampi.fields import PER_CASE, Conditions, Content, MemberFacts, Outline, Places, Rollout, Statistics, check_target, mpio
from parampi.fields.grid import Grid, read_grid
from parampi.given import Given, lead_seed
from parampi.output import Output, choose_mode, writers
from parampi.parallel import Alone, Group, Layout, as_group
from parampi.parallel.agree import on_all, on_root
from parampi.parallel.launch import fair_threads, mpi_version, place_on_node
from parampi.progress import Progress
from parampi.report import MemberReport, Report
from parampi.rounds import Keeper
from parampi.safeguard import Safeguard
from parampi.solvers import Spectral, check_solver

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


def fitting(pattern: str) -> list[str]:
    """Files that a pattern stands for, or the one of that name. Raises DataError where a pattern fits none."""
    found = sorted(glob.glob(pattern))
    if not found and glob.has_magic(pattern):
        raise DataError(f"condition.files: no file fits {pattern}; is the folder right?")
    return found or [pattern]


class Run:
    """One run on all ranks of `comm`; files are rank 0's."""

    def __init__(
        self, config: RunConfig, comm: "Comm | None" = None, overwrite: bool = False, progress: str = "auto",
        resume: bool = False, alarm: Alarm | None = None,
    ):  # fmt: skip
        self.config, self.comm, self.overwrite, self.progress, self.resume = config, comm, overwrite, progress, resume
        self.alarm = alarm or Alarm()
        self.alarm.seconds = config.checkpoint.max_walltime
        self.rank, self.ranks = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())
        self.directory = Path(config.output.directory)
        self.sigmas = build(config, "sigmas")
        self.sampler = build(config, "sampler")
        self.solver = build(config, "solver")
        self.members = member_numbers(config.sampling.members)
        self.folder = Folder(self.directory)
        self.conditions: Conditions | None = None
        self.given: Given | None = None
        self.lead, self.leads = 0, 1
        self.done, self.places = list[list[int]](), dict[str, list[Any]]()

    def prepare(self) -> None:
        """Everything that can go wrong before sampling goes wrong here, on all ranks alike."""
        self.local_rank, self.ranks_here = place_on_node(self.comm)
        if threads := fair_threads(self.ranks_here):
            torch.set_num_threads(threads)
        self.step_map = self.sampler.steps(self.sigmas)
        check_solver(self.solver, self.step_map, tuple(self.config.model.shape))
        self.window = self.solver.window(self.config.sampling.window, self.step_map)
        self.read_card()
        self.conditions = on_all(self.comm, self.open_conditions)
        if self.conditions is not None:
            self.members = self.numbered(self.conditions.cases.indices)
            self.leads = len(self.conditions.leads.values) if self.conditions.leads else 1
        self.done, self.places = on_root(self.comm, self.take_up)
        self.layouts = [self.layout_of(lead) for lead in range(self.leads)]
        self.layout = self.layouts[0]
        self.mode = choose_mode(self.config.output.mode, self.layouts)
        self.attributes: dict[str, Any] = on_root(self.comm, self.check_files)
        self.statistics = on_all(self.comm, self.read_statistics)
        self.cells = on_all(self.comm, self.read_cells)
        if self.conditions is not None:
            folder = self.folder if self.config.checkpoint.every is not None else None
            self.given = Given(self.conditions, self.statistics, folder)
        self.solver = on_all(self.comm, self.informed)
        self.denoiser = on_all(self.comm, self.load)

    def read_card(self) -> None:
        """What the weights say of their network, on every rank."""
        model = self.config.model
        self.card = on_all(self.comm, lambda: card.read(model.weights))
        on_all(self.comm, lambda: self.card.agree(model.predicts, model.sigma_data))
        if self.config.condition is None and self.card.condition:
            on_all(self.comm, lambda: self.card.order_given([]))

    def open_conditions(self) -> Conditions | None:
        """What the files say, on every rank; fields are read when members are drawn."""
        wanted = self.config.condition
        if wanted is None:
            return None
        statistics = Statistics.from_file(Path(wanted.statistics or self.config.data.statistics))
        files = [wanted.files] if isinstance(wanted.files, str) else wanted.files
        paths = [Path(path) for pattern in files for path in fitting(pattern)]
        static = (Path(wanted.static), wanted.static_variables) if wanted.static else None
        rollout = Rollout(wanted.lead_times, wanted.lead_step, wanted.feed) if wanted.lead_times else None
        order = self.card.order_given([*wanted.variables, *wanted.static_variables])
        channels = self.read_statistics().names if rollout else ()
        return Conditions(
            paths, wanted.variables, statistics, wanted.select, wanted.missing, static, rollout, order, channels
        )  # fmt: skip

    def read_statistics(self) -> Statistics:
        """Of the data, with the network's channels in the network's order."""
        path = Path(self.config.data.statistics)
        found = Statistics.from_file(path)
        return found.select(self.card.order(found.names, f"data.statistics = {path}"))

    def numbered(self, cases: list[int]) -> list[int]:
        """Numbers of the members of all cases; they do not depend on how many others there are."""
        if max(self.members) >= PER_CASE or max(cases) >= PER_CASE:
            raise ConfigError(f"with a condition, members and cases are numbered below {PER_CASE}; draw them in several runs")
        return [case * PER_CASE + member for case in cases for member in self.members]

    def informed(self) -> Any:
        """The solver; a spectral one in Fourier modes that names no statistics gets those of the data."""
        fourier = isinstance(self.solver, Spectral) and self.solver.basis in (None, "fourier")
        if not fourier or self.solver.statistics is not None:
            return self.solver
        return replace(self.solver, statistics=parampi.Statistics.of_data(self.statistics))

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
        nothing: list[list[int]] = [[] for _ in range(self.leads)]
        if self.config.checkpoint.every is None and not self.resume:
            return nothing, {}
        check_target(self.directory / self.config.output.ensemble, self.overwrite or self.resume)
        self.folder.lock()
        if not self.resume:
            return nothing, {}
        same_run(self.folder, self.config.as_dict(), self.inputs())
        done = [self.folder.finished(self.members, lead) for lead in range(self.leads)]
        lead = next((lead for lead, found in enumerate(done) if len(found) < len(self.members)), 0)
        self.folder.sweep(done[lead], lead)
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
            self.folder.begin(self.config.as_dict(), self.inputs())

    def inputs(self) -> dict[str, str]:
        """Digests of the files that decide the fields."""
        files = {"model.weights": Path(self.config.model.weights), "data.statistics": Path(self.config.data.statistics)}
        found = {name: models.sha256(path) for name, path in files.items() if path.is_file()}
        if self.conditions is not None:
            # large files are not read for this
            found["condition.files"] = ", ".join(f"{path.name}: {path.stat().st_size}" for path in self.conditions.paths)
        return found

    def check_files(self) -> dict[str, str | int]:
        for name in (self.config.output.ensemble, self.config.output.report, self.config.output.figure):
            if name:
                check_target(self.directory / name, self.overwrite or self.resume)
        self.statistics = self.read_statistics()
        self.content().chosen(self.statistics.names)
        if self.leads > 1 and self.mode == "gather" and self.layout.groups > 1 and self.config.checkpoint.every is None:
            raise ConfigError(
                "checkpoint.every = null and output.mode = gather: results would be with rank 0 alone, and other ranks could "
                "not start the next lead time from them; use output.mode = virtual, or keep checkpoints"
            )
        if self.mode == "mpio":
            mpio.require_parallel(self.content(), self.comm)
        found, wanted = self.statistics.reference.shape[1:], tuple(self.config.model.shape)
        if found != wanted:
            raise ConfigError(
                f"model.shape = {list(wanted)} but the fields of data.statistics = {self.config.data.statistics} are "
                f"{list(found)} (channels, y, x); the two must describe the same grid"
            )
        return self.describe()

    def read_cells(self) -> Grid:
        """What the ensemble file takes over from a file of the grid."""
        output = self.config.output
        if output.grid is None:
            return Grid()
        return read_grid(Path(output.grid), self.statistics.axes, self.statistics.grid, output.grid_variables, output.mask)

    def content(self) -> Content:
        """What is written of the ensemble."""
        output = self.config.output
        variables = None if output.variables is None else tuple(output.variables)
        return Content(variables, output.members, tuple(output.summary), tuple(output.quantiles), output.compression,
                       self.mode != "mpio", output.digits)  # fmt: skip

    def size(self) -> str:
        """Of the ensemble file, for the announcement."""
        content, cases = self.content(), len(self.conditions.cases.indices) if self.conditions else 1
        variables, points = len(content.chosen(self.statistics.names)), math.prod(self.config.model.shape[1:])
        number = content.size(len(self.members) // cases, cases * self.leads, variables, points) / 1e6
        packing = " before compression" if content.compression else ""
        ways = {
            "virtual": f" and the parts of {self.layout.groups} ranks beside it",
            "mpio": ", written by all groups of ranks",
        }
        target = self.directory / self.config.output.ensemble
        return f"output: {number:.3g} MB{packing} in {target}{ways.get(self.mode, '')}"

    def describe(self) -> dict[str, str | int]:
        """What the ensemble file says about its making."""
        weights = Path(self.config.model.weights)
        return {
            "parampi_version": parampi.__version__,
            "parampi_config": json.dumps(self.config.as_dict()),
            "parampi_ensemble": uuid.uuid4().hex,
            "weights_sha256": models.sha256(weights) if weights.is_file() else "",
            "rank_layout": self.layout.describe(),
            "ranks": self.ranks,
            "time_ranks": self.layout.time_ranks,
            "mpi": mpi_version(),
            "software": f"python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}",
        }

    def load(self) -> Any:
        model = self.config.model
        device = models.choose_device(self.config.parallel.device, self.local_rank)
        network = models.build_network(model.network, model.arguments)
        models.load_weights(network, Path(model.weights))
        denoiser = models.build_denoiser(network, model.predicts, model.sigma_data, device)
        models.probe(denoiser, model.shape, float(self.sigmas[0]), getattr(torch, self.config.parallel.dtype), device,
                     self.given(self.members[:1]) if self.given else None)  # fmt: skip
        return denoiser

    def announce(self) -> str:
        solver, sampling = self.solver, self.config.sampling
        times = f" for {self.leads} lead times" if self.leads > 1 else ""
        device = next(self.denoiser.parameters()).device
        lines = [
            f"parampi {parampi.__version__}: {self.layout.describe()}; MPI: {mpi_version()}",
            f"drawing {len(self.members)} members{times} of {self.config.model.shape} with {self.sampler}, "
            f"{self.step_map.steps} points from sigma {self.sigmas[0]:.4g} to {self.sigmas[-1]:.4g}",
            f"solver {solver}, window {self.window}, tolerance {sampling.tolerance:g}, {self.config.parallel.mode} mode, "
            f"on {device} with {torch.get_num_threads()} thread(s) per rank",
            self.size(),
            advice(self.layout, self.window, self.ranks_here, os.cpu_count() or 1, device.type),
        ]
        return "\n".join(line for line in lines if line)

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
        leads = self.conditions.leads if self.conditions else None
        if leads and self.rank == 0:
            print(f"lead time {lead + 1} of {self.leads}: {leads.values[lead]:g} {leads.units}", flush=True)

    def draw_lead(self, missing: list[int]) -> tuple[Ensemble, NonFiniteError | InterruptionError | None]:
        """Members for one lead time (the only one where there is no roll-out), and what ended it early."""
        sampling, parallel, layout = self.config.sampling, self.config.parallel, self.layouts[self.lead]
        every = self.config.checkpoint.every
        keeper = Keeper(self.folder, every, lead=self.lead) if every is not None else None
        guard, self.places = Safeguard(self.alarm, keeper, self.places), {}
        with contextlib.ExitStack() as stack:
            kind = "window" if self.solver.ends(sampling.window, self.step_map) is None else "block"
            display = Progress(self.step_map.steps, self.window, kind, self.progress)
            progress = stack.enter_context(display) if self.rank == 0 else None
            if self.given:
                self.given.lead = self.lead
                self.given.group = stack.enter_context(self.group_of(layout))
            try:
                return sample(
                    self.denoiser, self.config.model.shape, missing, self.sigmas, self.sampler, self.solver, sampling.window,
                    sampling.tolerance, lead_seed(sampling.seed, self.lead), self.comm,
                    sigma_data=self.config.model.sigma_data, time_ranks=layout.time_ranks, mode=parallel.mode,
                    dtype=getattr(torch, parallel.dtype), network_batch=parallel.network_batch, batch=parallel.batch,
                    keep=self.keep, keep_on="groups" if self.output.everywhere else "root",
                    watch=progress.show if progress else None, safeguard=guard, condition=self.given,
                ), None  # fmt: skip
            except (NonFiniteError, InterruptionError) as error:
                assert error.ensemble is not None
                return error.ensemble, error

    @contextlib.contextmanager
    def group_of(self, layout: Layout) -> Iterator[Group]:
        """The ranks that share this rank's members."""
        if self.comm is None or layout.time_ranks == 1:
            yield Alone()
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

    def farewell(self) -> str:
        """What to say when a run stops early."""
        finished = [self.folder.finished(self.members, lead) for lead in range(self.leads)]
        count = sum(map(len, finished))
        reason = self.alarm.received or f"checkpoint.max_walltime = {self.config.checkpoint.max_walltime:g} s"
        remedy = f"go on with parampi resume {self.directory}" if self.config.checkpoint.every is not None else (
            "nothing was kept of the others, as checkpoint.every is null")  # fmt: skip
        what = "members" if self.leads == 1 else "fields"
        return f"stopped in good order ({reason}); {count} of {len(self.members) * self.leads} {what} are finished; {remedy}"

    def nothing_left(self) -> Ensemble:
        """All members were finished before; only the files are left to be written."""
        steps, serial = self.step_map.steps, self.step_map.evaluations
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
            self.write_report(error.ensemble)
            what = "members" if self.leads == 1 else "fields"
            target = self.directory / self.config.output.ensemble
            print(f"kept {len(report.members)} finished {what} in {target}", flush=True)

    def open_output(self) -> Output:
        target = self.directory / self.config.output.ensemble
        cases, leads = (self.conditions.cases, self.conditions.leads) if self.conditions else (None, None)
        places = Places(self.members, cases, leads)
        outline = Outline(self.statistics, places, self.config.sampling.seed, self.attributes, self.content(), self.cells)
        finished = [(lead, member) for lead, members in enumerate(self.done) for member in members]
        return Output(
            target, outline, self.comm, self.mode, writers(self.mode, self.layouts), finished,
            self.attributes["parampi_ensemble"], self.overwrite or self.resume,
        )  # fmt: skip

    def keep(self, state: Tensor, member: MemberReport) -> None:
        member = replace(member, lead=self.lead)
        if self.config.checkpoint.every is not None:
            self.folder.keep(state, member)
        if self.given:
            self.given.remember(member.member, state)
        self.write(state, member)

    def write(self, state: Tensor, member: MemberReport) -> None:
        fields = self.statistics.restore(state.cpu().double().numpy())
        facts = MemberFacts(self.config.sampling.seed, member.rounds, member.evaluations, member.residual)
        self.output.write(member.member, self.cells.masked(fields), facts, member.lead)

    def write_report(self, ensemble: Ensemble) -> None:
        facts = {"config": self.config.as_dict(), **self.attributes, **ensemble.report.as_dict()}
        facts.pop("parampi_config")
        (self.directory / self.config.output.report).write_text(json.dumps(facts, indent=1) + "\n")

    def draw_figure(self, ensemble: Ensemble) -> None:
        from parampi.fields import read_members
        from parampi.verify.figures import report_figure

        report = ensemble.report
        if not report.residuals or not self.config.output.members or self.config.output.variables:
            return
        number = next(iter(report.residuals))
        history = [(r.first, np.array(r.changes)) for r in report.residuals[number]]
        fields, _ = read_members(self.directory / self.config.output.ensemble, self.statistics.names)
        title = f"{len(report.members)} members, {report.rounds} rounds instead of {report.serial_rounds}"
        target = self.directory / str(self.config.output.figure)
        report_figure(
            target, fields, self.statistics, history, self.step_map.sigmas.numpy(), self.config.sampling.tolerance, title
        )

    def finish(self, ensemble: Ensemble) -> str:
        ensemble.report.add_earlier(self.earlier)
        self.write_report(ensemble)
        if self.config.output.figure:
            self.draw_figure(ensemble)
        self.folder.clear()
        written = [self.config.output.ensemble, self.config.output.report, self.config.output.figure or ""]
        return f"{ensemble.report.summary()}\nwrote {', '.join(str(self.directory / name) for name in written if name)}"


def run(
    config: RunConfig, comm: "Comm | None" = None, overwrite: bool = False, progress: str = "auto", resume: bool = False,
    alarm: Alarm | None = None,
) -> Ensemble:  # fmt: skip
    """Draw the ensemble a configuration describes and write its files. Every rank of `comm` makes the same call.

    Raises UserError (all ranks alike) before any sampling for everything that can be known then, and NonFiniteError, with the
    finished members in the ensemble file, when the network returns NaN or Inf, and InterruptionError when time is up or a
    signal came; with `resume` such a run goes on from its checkpoint. Signals are heard until this returns, or by `alarm`,
    which listens already.
    """
    with contextlib.nullcontext(alarm) if alarm else Alarm().listening() as hearing:
        return go(Run(config, comm, overwrite, progress, resume, hearing))


def go(job: Run) -> Ensemble:
    try:
        job.prepare()
        if job.rank == 0:
            print(job.announce(), flush=True)
        ensemble = job.draw()
        if job.rank == 0:
            print(job.finish(ensemble), flush=True)
    except InterruptionError as error:
        raise InterruptionError(on_root(job.comm, job.farewell)) from error
    finally:
        job.folder.release()
    return ensemble
