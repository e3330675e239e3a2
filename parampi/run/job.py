"""The job of `parampi run`: from a checked configuration to an ensemble file, a report and a figure."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from parampi.ensemble import Ensemble
from parampi.errors import AfterwardsError, InterruptionError, NonFiniteError
from parampi.parallel.agree import on_all, on_root
from parampi.parallel.launch import fair_threads, place_on_node
from parampi.parallel.silent_exit import no_silent_exit
from parampi.run.artifacts import attempt, draw_figure, write_report
from parampi.run.checkpoint.folder import Folder
from parampi.run.condition_source import condition_source
from parampi.run.config import RunConfig
from parampi.run.earlier_files import identities
from parampi.run.hooks import with_hooks
from parampi.run.inputs import read_inputs
from parampi.run.metadata import announcement
from parampi.run.model_loading import load_denoiser, probe_denoiser
from parampi.run.page.writing import leave_page
from parampi.run.plan import Plan, make_plan, with_sources
from parampi.run.planning.auto import with_layout
from parampi.run.run_log import RunLog
from parampi.run.sampling import Result, draw
from parampi.run.stop_request import StopRequest
from parampi.run.stopwatch import Stopwatch, require_serial
from parampi.run.watchdog import watched

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


def run(
    config: RunConfig,
    comm: "Comm | None" = None,
    *,
    overwrite: bool = False,
    progress: str = "auto",
    resume: bool = False,
    measure_serial: bool = False,
    stop: StopRequest | None = None,
) -> Ensemble:
    """Draw the ensemble a configuration describes and write its files. Every rank of `comm` makes the same call.

    Raises UserError (all ranks alike) before any sampling for everything that can be known then, and NonFiniteError, with the
    finished members in the ensemble file, when the network returns NaN or Inf, and InterruptionError when time is up or a
    signal came; with `resume` such a run goes on from its checkpoint. AfterwardsError tells that the ensemble is complete, and
    its report or figure is not. Signals are heard until this returns, or by `stop`,
    which listens already. `measure_serial` draws the first member once more with the serial sampler, for its seconds.
    """
    with (
        listen_for_stop(stop, config) as stop,
        release_at_end(Folder(config.output.directory, config.output.ensemble)) as folder,
        ExitStack() as stack,
    ):
        local_rank, ranks_here = share_node(comm)
        with no_silent_exit(comm), watched(stop, config.parallel.hang_timeout, comm) as watchdog:
            config = with_layout(config, comm, local_rank=local_rank, ranks_here=ranks_here)
            stopwatch = Stopwatch.start(comm, ranks_here, watchdog.next_members)
            inputs = read_inputs(config, comm)
            require_serial(inputs, measure_serial)
            plan = make_plan(inputs, folder, comm, overwrite=overwrite, resume=resume)
            log = stack.enter_context(logged(plan, comm))
            source = condition_source(inputs, folder if plan.keeps_checkpoints else None)
            denoiser = on_all(comm, lambda: load_denoiser(inputs, local_rank))
            inputs, case = with_hooks(inputs, denoiser, source, comm)
            probed = on_all(comm, lambda: probe_denoiser(inputs, denoiser, source, case))
            plan = with_sources(replace(plan, inputs=inputs), comm)
            stopwatch.time_calls(inputs, denoiser, source)
            on_root(comm, lambda: log.say(announcement(plan, denoiser, ranks_here)))
            with explain_interruption(plan, stop, comm):
                result = draw(
                    plan, denoiser, comm=comm, source=source, watchdog=watchdog, progress=progress, log=log, probed=probed,
                    stopwatch=stopwatch,
                )  # fmt: skip
            stopwatch.end(result.ensemble.report, inputs, denoiser, source, whole=not resume, serial=measure_serial)
            failures = on_root(comm, lambda: finish(plan, result, log))
    if failures:
        raise AfterwardsError(f"{plan.ensemble_file} is complete, but {'; '.join(failures)}")
    return result.ensemble


def share_node(comm: "Comm | None") -> tuple[int, int]:
    """Return this rank's place among the ranks of its node, and their number; takes its share of the cores."""
    local_rank, ranks_here = place_on_node(comm)
    if threads := fair_threads(ranks_here):
        torch.set_num_threads(threads)
    return local_rank, ranks_here


@contextmanager
def listen_for_stop(stop: StopRequest | None, config: RunConfig) -> Iterator[StopRequest]:
    """Yield the request to stop, with the time limit set."""
    with nullcontext(stop) if stop else StopRequest().listening() as heard:
        heard.seconds = config.checkpoint.max_walltime
        yield heard


@contextmanager
def logged(plan: Plan, comm: "Comm | None") -> Iterator[RunLog]:
    """Yield the log of a run, which also says how it ended; on ranks other than 0 one that writes no file."""
    rank = 0 if comm is None else comm.Get_rank()
    log = RunLog(plan.config.output.log_file if rank == 0 else None)
    if rank == 0:
        log.note(f"{'going on' if plan.resumes else 'beginning'} on {socket.gethostname()}, process {os.getpid()}")
    try:
        yield log
    except BaseException as error:
        log.note(f"ended by {type(error).__name__}: {error}")
        raise


@contextmanager
def release_at_end(folder: Folder) -> Iterator[Folder]:
    """Release the folder's lock at the end, also after an error."""
    try:
        yield folder
    finally:
        folder.release()


@contextmanager
def explain_interruption(plan: Plan, stop: StopRequest, comm: "Comm | None") -> Iterator[None]:
    """Say how far a run came that was stopped, and how it goes on."""
    try:
        yield
    except NonFiniteError:
        on_root(comm, lambda: remember_files(plan))
        raise
    except InterruptionError as error:
        on_root(comm, lambda: remember_files(plan))
        raise InterruptionError(on_root(comm, lambda: stop_message(plan, stop))) from error


def remember_files(plan: Plan) -> None:
    """Keep in the checkpoint what was written of the ensemble and its report: the run replaces it when it goes on."""
    files = {key: path for key, path in plan.config.output.files().items() if key != "figure"}
    if plan.keeps_checkpoints and plan.folder.exists:
        attempt(lambda: plan.folder.remember_files(identities(files)))


def stop_message(plan: Plan, stop: StopRequest) -> str:
    count = sum(len(plan.folder.finished(plan.inputs.members, lead)) for lead in range(plan.inputs.leads))
    reason = stop.received or f"checkpoint.max_walltime = {plan.config.checkpoint.max_walltime:g} s"
    remedy = (
        f"go on with parampi resume {plan.directory}"
        if plan.keeps_checkpoints
        else "nothing was kept of the others, as checkpoint.every is null"
    )
    total = len(plan.inputs.members) * plan.inputs.leads
    return f"stopped in good order ({reason}); {count} of {total} {plan.unit}s are finished; {remedy}"


def finish(plan: Plan, result: Result, log: RunLog) -> list[str]:
    """Write report, figure and page, remove the checkpoint, and say what there is. Return what could not be made. On rank 0.

    The ensemble is complete and in its place: nothing that fails now takes it back.
    """
    report, files = result.ensemble.report, plan.config.output.files()
    report.add_earlier(result.earlier, plan.inputs.equations.evaluations, plan.inputs.swept)
    failures, omitted = [], ""
    if failure := attempt(lambda: write_report(plan.config, plan.attributes, result.ensemble))[1]:
        failures.append(f"its report {files.pop('report')} could not be written: {failure}")
    if "figure" in files:
        obstacle, failure = attempt(lambda: draw_figure(plan.inputs, plan.mode, result.ensemble))
        if obstacle or failure:
            figure = files.pop("figure")
            omitted = f"\nno {figure}: {obstacle}" if obstacle else ""
            failures += [f"its figure {figure} could not be drawn: {failure}"] if failure else []
    if "page" in files and (failure := leave_page(plan, report)):
        log.warn(f"no {files.pop('page')}: {failure}")
    plan.folder.clear()
    timing = f"\n{report.timing.line()}" if report.timing else ""
    log.say(f"{report.summary()}\nwrote {', '.join(map(str, files.values()))}{omitted}{timing}")
    return failures
