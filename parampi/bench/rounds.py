"""Rounds, evaluations and final error of every solver on the public closed-form problems.

All members start from the same noise with every solver; errors are relative L2 errors of the final field against the serial
run, in float64. "hindsight" is the first round after which the final field is within 1e-3 of the serial run, judged with
hindsight; it is what published comparisons count. "rounds" is when the solver's own rule ended the run for the given tolerance.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from parampi.bench.known import known_statistics
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import PROBLEMS, Problem
from parampi.diffusion.sigmas import vp_linear
from parampi.engine import EngineOptions, engine_for
from parampi.engine.problem import SamplingProblem
from parampi.errors import ConfigError
from parampi.parallel import SerialGroup
from parampi.registry import known_names
from parampi.samplers import DDIM
from parampi.solvers import PIADM, Newton, Parareal, ParaSolver, ParaTAA, Picard, Serial, Solver, Spectral

CASES: dict[str, tuple[int, float]] = {"ddim-100": (100, 0.0), "ddpm-100": (100, 1.0), "ddpm-1000": (1000, 1.0)}
LABELLED_SOLVERS: dict[str, Solver] = {
    "Spectral": Spectral(),
    "Spectral, nothing known": Spectral(),
    "Picard": Picard(),
    "ParaDiGMS": Picard(linear_model="identity", guess="constant"),
    "ParaSolver": ParaSolver(),
    "ParaTAA, no memory": ParaTAA(memory=0),
    "ParaTAA": ParaTAA(),
    "PIADM": PIADM(),
    "Parareal": Parareal(),
    "Newton, diagonal": Newton(),
    "Newton, exact": Newton(jacobian="exact"),
}
HINDSIGHT = 1e-3
EXPENSIVE = {"Parareal": ("ddim-100",), "Newton, exact": ("ddim-100", "ddpm-100"), "PIADM": ("ddim-100", "ddpm-100")}
"""Solvers that are measured in these cases only."""
ALSO = (("PIADM", "ddpm-1000", True),)
"""Further cases of small problems: solver, case, small."""
MOST_SWEEPS = 64
SMALL = 64
"""Most numbers of a field for exact Jacobians."""
# Median rounds to a final error of 1e-3 on the same problems, measured with implementations that follow the publications;
# ParaDiGMS with the schedulers of diffusers, PIADM with the best blocks and sweeps in hindsight, Parareal as in SRDS
PUBLISHED: dict[str, dict[str, tuple[float | None, ...]]] = {
    "ParaDiGMS": {"ddim-100": (7, 13.5, 17), "ddpm-100": (21, 25, 24), "ddpm-1000": (22, 30, 34)},
    "ParaSolver": {"ddim-100": (11, 17, 18.5), "ddpm-100": (17, 20, 20), "ddpm-1000": (17, 24, 26)},
    "ParaTAA, no memory": {"ddim-100": (17, 20, 20), "ddpm-100": (31, 37, 37), "ddpm-1000": (45, 51, 44)},
    "ParaTAA": {"ddim-100": (9.5, 7, 12.5), "ddpm-100": (21.5, 21, 21), "ddpm-1000": (26.5, 45, 46)},
    "PIADM": {"ddim-100": (20, 20, 20), "ddpm-100": (40, 40, 40), "ddpm-1000": (60, None, None)},
    "Parareal": {"ddim-100": (28, 28, 46)},
}


@dataclass(frozen=True)
class RoundsRow:
    """Medians over seeds of one solver on one problem; `error` and `estimate` are the largest ones."""

    case: str
    problem: str
    solver: str
    tolerance: float
    hindsight: float | None
    published: float | None
    rounds: float
    evaluations: float
    error: float
    estimate: float


def measure(
    seeds: int = 5,
    *,
    cases: Sequence[str] = (),
    problems: Sequence[str] = (),
    solvers: Sequence[str] = (),
    tolerance: float = 1e-3,
) -> list[RoundsRow]:
    """Return all rows of the chosen cases, problems and solvers; of all of them where none is named."""
    rows = []
    labels = chosen("solver", solvers, LABELLED_SOLVERS)
    for case in chosen("case", cases, CASES):
        for name in chosen("problem", problems, PROBLEMS):
            rows += measure_problem(case, name, labels, seeds=seeds, tolerance=tolerance)
    return rows


def chosen(kind: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no {kind} {name!r}; {known_names(name, list(known))}")
    return list(names or known)


def measure_problem(case: str, name: str, labels: Sequence[str], *, seeds: int, tolerance: float) -> list[RoundsRow]:
    problem, (steps, eta) = PROBLEMS[name](), CASES[case]
    chain = SamplingProblem(
        BatchedDenoiser(problem, batch=64), DDIM(eta).steps(vp_linear(steps)), torch.arange(seeds), tuple(problem.shape)
    )
    serial = engine_for(chain, Serial(), SerialGroup()).run()
    measure_one = partial(measure_solver, chain=chain, serial=serial, tolerance=tolerance)
    return [measure_one(case, name, label) for label in labels if sensible(case, label, problem)]


def sensible(case: str, label: str, problem: Problem) -> bool:
    small = torch.Size(problem.shape).numel() <= SMALL
    return (case in EXPENSIVE.get(label, CASES) and (label != "Newton, exact" or small)) or (label, case, small) in ALSO


def measure_solver(case: str, name: str, label: str, *, chain: SamplingProblem, serial: Tensor, tolerance: float) -> RoundsRow:
    solver = LABELLED_SOLVERS[label]
    if label == "Spectral":
        solver = Spectral(statistics=known_statistics(PROBLEMS[name]()))
    if isinstance(solver, PIADM):
        solver = best_blocks(chain, serial)
    first = None if isinstance(solver, PIADM) else hindsight(chain, solver, serial)
    engine = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=tolerance))
    error, history = relative(engine.run(), serial), engine.history
    rounds, evaluations = median(history.rounds.tolist()), median(history.evaluations.tolist())
    first = rounds if isinstance(solver, PIADM) else first
    worst, estimate = float(error.max()), float(history.error_estimate.max())
    published = dict(zip(PROBLEMS, PUBLISHED.get(label, {}).get(case, ()), strict=False)).get(name)
    return RoundsRow(
        case=case,
        problem=name,
        solver=label,
        tolerance=tolerance,
        hindsight=first,
        published=published,
        rounds=rounds,
        evaluations=evaluations,
        error=worst,
        estimate=estimate,
    )


def best_blocks(chain: SamplingProblem, serial: Tensor) -> PIADM:
    """Return the blocks and the number of sweeps with the fewest rounds to a median final error of HINDSIGHT."""
    best, fewest = PIADM(), float("inf")
    for blocks in (1, 2, 4, 8):
        low, high = 0, int(min(fewest, MOST_SWEEPS) // blocks) + 1  # too few sweeps; enough, or more than would pay
        while high - low > 1:
            sweeps = (low + high) // 2
            engine = engine_for(chain, PIADM(sweeps, blocks), SerialGroup())
            if float(relative(engine.run(), serial).median()) > HINDSIGHT:
                low = sweeps
                continue
            high, rounds = sweeps, float(engine.history.rounds.max())
            if rounds < fewest:
                best, fewest = PIADM(sweeps, blocks), rounds
    return best


def hindsight(chain: SamplingProblem, solver: Solver, serial: Tensor) -> float | None:
    """Return the median over members of the first round after which the final field is within HINDSIGHT of the serial run's."""
    engine = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=HINDSIGHT / 100))
    first = [0] * len(serial)
    while not engine.finished and not all(first):
        engine.advance()
        reached = relative(engine.tail, serial) <= HINDSIGHT
        number = len(engine.history.log)
        first = [earlier or (number if ok else 0) for earlier, ok in zip(first, reached.tolist(), strict=True)]
    return median(first) if all(first) else None


def relative(fields: Tensor, reference: Tensor) -> Tensor:
    """Return relative L2 errors (m,)."""
    error, size = ((fields - reference).flatten(1), reference.flatten(1))
    ratio: Tensor = torch.linalg.vector_norm(error, dim=1) / torch.linalg.vector_norm(size, dim=1)
    return ratio


def to_markdown(rows: Sequence[RoundsRow]) -> str:
    header = (
        "case",
        "problem",
        "solver",
        "hindsight",
        "published",
        "rounds",
        "evaluations",
        "error (worst)",
        "estimate (worst)",
    )
    body: list[list[Any]] = [
        [r.case, r.problem, r.solver, r.hindsight, r.published, r.rounds, r.evaluations, r.error, r.estimate] for r in rows
    ]
    return markdown(header, body)
