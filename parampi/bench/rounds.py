"""Rounds, evaluations and final error of every solver on the public closed-form problems.

All members start from the same noise with every solver; errors are relative L2 errors of the final field against the serial
run, in float64. "oracle" is the first round after which the last point of the window is within 1e-3 of the serial run, judged
with hindsight; it is what published comparisons count. "rounds" is when the stop rule ended the run for the given tolerance.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.exact import PROBLEMS, Problem
from parampi.diffusion.network import Network
from parampi.diffusion.sigmas import vp_linear
from parampi.driver import Engine
from parampi.errors import ConfigError
from parampi.parallel import Alone
from parampi.samplers import DDIM
from parampi.samplers.chain import Chain
from parampi.solvers import Picard, Serial, Solver

CASES: dict[str, tuple[int, float]] = {"ddim-100": (100, 0.0), "ddpm-100": (100, 1.0), "ddpm-1000": (1000, 1.0)}
SOLVERS: dict[str, Solver] = {"Picard": Picard(), "Picard, as published": Picard(linear_model="identity", guess="constant")}
TOLERANCES = (1e-2, 1e-3, 1e-5)
HINDSIGHT = 1e-3
# ParaDiGMS with the schedulers of diffusers, full window, median rounds to a final error of 1e-3 on the same problems
PARADIGMS: dict[str, dict[str, float]] = {
    "ddim-100": {"gmm64": 7, "grf64": 13.5, "grfmix64": 17},
    "ddpm-100": {"gmm64": 21, "grf64": 25, "grfmix64": 24},
    "ddpm-1000": {"gmm64": 22, "grf64": 30, "grfmix64": 34},
}


@dataclass(frozen=True)
class Row:
    """Medians over seeds, but `error` and `estimate` the largest ones."""

    case: str
    problem: str
    solver: str
    window: int
    tolerance: float
    rounds: float
    evaluations: float
    error: float
    estimate: float
    oracle: float | None
    paradigms: float


def measure(seeds: int = 5, cases: Sequence[str] = (), problems: Sequence[str] = ()) -> list[Row]:
    """All rows of the chosen cases and problems; of all of them where none is named."""
    rows = []
    for case in chosen("case", cases, CASES):
        for name in chosen("problem", problems, PROBLEMS):
            rows += measure_problem(case, name, PROBLEMS[name](), seeds)
    return rows


def chosen(kind: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no {kind} {name!r}; choose from {', '.join(known)}")
    return list(names or known)


def measure_problem(case: str, name: str, problem: Problem, seeds: int) -> list[Row]:
    steps, eta = CASES[case]
    chain = Chain(Network(problem, batch=64), DDIM(eta).steps(vp_linear(steps)), torch.arange(seeds), tuple(problem.shape))
    serial = Engine(chain, Serial(), Alone()).run()
    rows = []
    for label, solver in SOLVERS.items():
        oracle = hindsight(chain, solver, serial)
        for tolerance in TOLERANCES:
            engine = Engine(chain, solver, Alone(), None, tolerance)
            error = relative(engine.run(), serial)
            account = engine.account
            rounds, evaluations = median(account.rounds.tolist()), median(account.evaluations.tolist())
            worst, estimate = float(error.max()), float(account.lacking.max())
            rows.append(
                Row(case, name, label, steps, tolerance, rounds, evaluations, worst, estimate, oracle, PARADIGMS[case][name])
            )
    return rows


def hindsight(chain: Chain, solver: Solver, serial: Tensor) -> float | None:
    """Median over members of the first round after which the final field is within HINDSIGHT of the serial run's."""
    engine = Engine(chain, solver, Alone(), None, tolerance=HINDSIGHT / 100)
    first = [0] * len(serial)
    while not engine.finished and not all(first):
        engine.advance()
        window = engine.slice.window
        last = torch.stack([window.x[window.taps - 1 + n, m] for m, n in enumerate(engine.slice.lengths)])
        reached = relative(last, serial) <= HINDSIGHT
        number = len(engine.account.history)
        first = [seen or (number if ok else 0) for seen, ok in zip(first, reached.tolist(), strict=True)]
    return median(first) if all(first) else None


def relative(fields: Tensor, reference: Tensor) -> Tensor:
    """Relative L2 errors (m,)."""
    error, size = ((fields - reference).flatten(1), reference.flatten(1))
    ratio: Tensor = torch.linalg.vector_norm(error, dim=1) / torch.linalg.vector_norm(size, dim=1)
    return ratio


def to_markdown(rows: Sequence[Row]) -> str:
    header = (
        "case",
        "problem",
        "solver",
        "tol",
        "rounds",
        "evaluations",
        "error (worst)",
        "estimate (worst)",
        "oracle 1e-3",
        "ParaDiGMS 1e-3",
    )
    body: list[list[Any]] = [
        [r.case, r.problem, r.solver, r.tolerance, r.rounds, r.evaluations, r.error, r.estimate, r.oracle, r.paradigms]
        for r in rows
    ]
    return markdown(header, body)
