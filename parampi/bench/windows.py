"""Windows shorter than the chain, and trained networks: rounds and evaluations beside the serial sampler's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor

from parampi.bench.rounds import chosen, relative
from parampi.bench.subject import Subject, closed_form
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.sigmas import karras, log_uniform, vp_linear
from parampi.engine import EngineOptions, engine_for
from parampi.engine.problem import SamplingProblem
from parampi.parallel import SerialGroup
from parampi.samplers import DDIM, DDPM, EDM, DPMpp2M, Heun
from parampi.samplers.base import StepMap
from parampi.solvers import Picard, Serial, Solver, Spectral

TOLERANCE = 1e-2
SOLVER_LABELS = ("Spectral", "Spectral, nothing known", "Picard", "ParaDiGMS")
LENGTHS = (8, 16, 32, 64)
NETWORK_CASES = ("heun-18", "edm-18", "ddim-100", "ddpm-100", "2m-25")


@dataclass(frozen=True)
class WindowsRow:
    """Medians over seeds, but `error` and `estimate` the largest. `serial`: the serial sampler's evaluations; `hindsight`: the
    first round after which the final field is within the tolerance, None in windows; `rounds` and `evaluations` by the stop
    rule; `times`: rounds relative to the serial evaluations, or in windows on the closed-form problem to N / window."""

    case: str
    solver: str
    window: int | None
    serial: int
    hindsight: float | None
    rounds: float
    times: float
    evaluations: float
    error: float
    estimate: float


def measure(
    subject: Subject | None = None, seeds: int = 5, cases: Sequence[str] = (), solvers: Sequence[str] = ()
) -> list[WindowsRow]:
    """Return rows of the 1000-step DDPM of regimes in windows, or of a trained network, in one window and in windows of 8."""
    labels = chosen("solver", solvers, SOLVER_LABELS)
    if subject is None:
        return closed_rows(seeds, labels)
    rows: list[WindowsRow] = []
    for case in chosen("case", cases, NETWORK_CASES):
        chain = chain_of(subject, step_map(case, subject), seeds)
        serial = engine_for(chain, Serial(), SerialGroup()).run()
        for label in labels:
            solver = solver_of(label, subject)
            rows += [row(case, label, chain, solver, serial=serial, window=window) for window in (None, 8)]
    return rows


def closed_rows(seeds: int, labels: Sequence[str]) -> list[WindowsRow]:
    subject = closed_form("grfmix64")
    chain = chain_of(subject, DDPM().steps(vp_linear(1000)), seeds)
    serial = engine_for(chain, Serial(), SerialGroup()).run()
    measure_row = partial(row, "ddpm-1000", chain=chain, serial=serial)
    return [measure_row(label, solver=solver_of(label, subject), window=n) for label in labels for n in LENGTHS]


def step_map(case: str, subject: Subject) -> StepMap:
    """Return the step map on the noise levels of the configuration: spaced evenly in log sigma for first order, else as in EDM;
    down to 0."""
    kind, _, steps = case.rpartition("-")
    ends = subject.lowest, subject.highest
    sampler = {"heun": Heun(), "edm": EDM(), "ddim": DDIM(), "ddpm": DDPM(), "2m": DPMpp2M()}[kind]
    grid = log_uniform(int(steps), *ends) if kind in ("ddim", "ddpm") else karras(int(steps), *ends)
    step_map: StepMap = sampler.steps(grid)  # type: ignore[attr-defined]
    return step_map


def chain_of(subject: Subject, step_map: StepMap, seeds: int) -> SamplingProblem:
    scale = float(getattr(subject.denoiser, "sigma_data", 1.0))
    return SamplingProblem(
        BatchedDenoiser(subject.denoiser, batch=subject.batch), step_map, torch.arange(seeds), subject.shape, 0, scale
    )


def solver_of(label: str, subject: Subject) -> Solver:
    known: dict[str, Solver] = {
        "Spectral": Spectral(statistics=subject.statistics),
        "Spectral, nothing known": Spectral(),
        "Picard": Picard(),
        "ParaDiGMS": Picard(linear_model="identity", guess="constant"),
    }
    return known[label]


def row(case: str, label: str, chain: SamplingProblem, solver: Solver, *, serial: Tensor, window: int | None) -> WindowsRow:
    """Return the row of one solver in windows of one length, beside the serial fields (m, *shape)."""
    engine = engine_for(chain, solver, SerialGroup(), EngineOptions(window, TOLERANCE))
    reached: list[int] = [0] * len(serial)
    while not engine.finished:
        engine.advance()
        if window is None:
            within, number = relative(engine.tail, serial) <= TOLERANCE, len(engine.history.log)
            reached = [first or (number if ok else 0) for first, ok in zip(reached, within.tolist(), strict=True)]
    history, evaluations = engine.history, chain.equations.evaluations
    rounds, evaluated = median(history.rounds.tolist()), median(history.evaluations.tolist())
    # what a window of this length needs at least, where every point is an evaluation
    least = evaluations / window if window and case == "ddpm-1000" else evaluations
    error, estimate = float(relative(engine.result, serial).max()), float(history.error_estimate.max())
    hindsight = median(reached) if window is None else None
    return WindowsRow(
        case=case,
        solver=label,
        window=window,
        serial=evaluations,
        hindsight=hindsight,
        rounds=rounds,
        times=rounds / least,
        evaluations=evaluated / evaluations,
        error=error,
        estimate=estimate,
    )


def to_markdown(rows: Sequence[WindowsRow]) -> str:
    header = ("case", "solver", "window", "serial", "hindsight", "rounds", "times", "evaluations", "error", "estimate")
    calls = [f"{r.evaluations:.2f} N" for r in rows]
    body = [
        [r.case, r.solver, r.window, r.serial, r.hindsight, r.rounds, round(r.times, 2), evaluations, r.error, r.estimate]
        for r, evaluations in zip(rows, calls, strict=True)
    ]
    return markdown(header, body)
