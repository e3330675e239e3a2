"""Whether the tolerance means the error: many runs of a solver's own rule beside their true errors, and beside an oracle.

Every member of every run is judged by itself: its relative L2 error against the serial run, the estimate of it that the run
gave, and the rounds it took beside those of an oracle, which stops at the first round from which on the final field is within
the tolerance. All points are in one window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.bench.known import known_statistics
from parampi.bench.rounds import chosen, relative
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import FieldMixture, GaussianMixture, Problem
from parampi.diffusion.sigmas import karras, vp_linear
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel import SerialGroup
from parampi.samplers import DDIM, DPMpp2M, Heun
from parampi.samplers.base import StepMap
from parampi.solvers import Picard, Serial, Solver, Spectral

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
PROBLEMS: dict[str, Callable[[], Problem]] = {
    "gmm64": GaussianMixture,
    "grf32": lambda: FieldMixture(n=32),
    "grfmix32": lambda: FieldMixture(n=32, components=6),
}
STEP_MAPS: dict[str, Callable[[], StepMap]] = {
    "ddim-50": lambda: DDIM(0.0).steps(vp_linear(50)),
    "ddpm-50": lambda: DDIM(1.0).steps(vp_linear(50)),
    "heun-18": lambda: Heun().steps(karras(18)),
    "dpmpp_2m-25": lambda: DPMpp2M().steps(karras(25)),
}
SOLVER_LABELS = ("spectral", "spectral, nothing known", "picard")


@dataclass(frozen=True)
class ToleranceRow:
    """Runs of one sampler on one problem. `within`: share of the runs that ended within the tolerance; `estimate`: median of
    estimate / true error; `rounds` and `oracle`: means; `over`: most rounds of a run above the oracle's. The last row is of
    all."""

    problem: str
    sampler: str
    runs: int
    within: float
    estimate: float
    rounds: float
    oracle: float
    over: int


@dataclass(frozen=True)
class Runs:
    """Numbers (runs,) of all runs of a problem and a sampler."""

    errors: NDArray[np.float64]
    tolerances: NDArray[np.float64]
    estimates: NDArray[np.float64]
    rounds: NDArray[np.int64]
    oracle: NDArray[np.int64]

    def row(self, problem: str, sampler: str) -> ToleranceRow:
        ratio = self.estimates / np.maximum(self.errors, 1e-16)
        within = float((self.errors <= self.tolerances).mean())
        over = int((self.rounds - self.oracle).max())
        means = mean(self.rounds.tolist()), mean(self.oracle.tolist())
        return ToleranceRow(problem, sampler, len(ratio), within, median(ratio.tolist()), *means, over)


def measure(
    seeds: int = 5, problems: Sequence[str] = (), samplers: Sequence[str] = (), solver: str = "spectral"
) -> list[ToleranceRow]:
    """Return a row per problem and sampler, and one of all of them."""
    chosen("solver", [solver], SOLVER_LABELS)
    names = [(p, s) for p in chosen("problem", problems, PROBLEMS) for s in chosen("sampler", samplers, STEP_MAPS)]
    cases = [one_case(PROBLEMS[p](), STEP_MAPS[s](), seeds, solver) for p, s in names]
    columns = zip(*(vars(runs).values() for runs in cases), strict=True)
    everything = Runs(*(np.concatenate(column) for column in columns))
    rows = [runs.row(*name) for runs, name in zip(cases, names, strict=True)]
    return [*rows, everything.row("all", "all")]


def one_case(problem: Problem, step_map: StepMap, seeds: int, solver: str) -> Runs:
    chain = SamplingProblem(BatchedDenoiser(problem, batch=64), step_map, torch.arange(seeds), tuple(problem.shape))
    serial = engine_for(chain, Serial(), SerialGroup()).run()
    kind: Solver = Picard() if solver == "picard" else Spectral()
    if solver == "spectral":
        kind = Spectral(statistics=known_statistics(problem))
    path, parts = error_path(chain, kind, serial), []
    for tolerance in TOLERANCES:
        engine = engine_for(chain, kind, SerialGroup(), EngineOptions(tolerance=tolerance))
        errors = relative(engine.run(), serial).numpy()
        oracle = settled(path, tolerance)
        tolerances = np.full(len(errors), tolerance)
        parts.append((errors, tolerances, engine.history.error_estimate, engine.history.rounds, oracle))
    return Runs(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def error_path(chain: SamplingProblem, solver: Solver, serial: Tensor) -> NDArray[np.float64]:
    """Return errors (rounds, m) of the last point after each round of a run that goes on to the smallest tolerance and
    beyond."""
    engine, path = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=TOLERANCES[-1] / 100)), []
    while not engine.finished:
        engine.advance()
        path.append(relative(engine.tail, serial).numpy())
    return np.array(path)


def settled(path: NDArray[np.float64], tolerance: float) -> NDArray[np.int64]:
    """Return the first round (m,) from which on errors (rounds, m) stay within the tolerance."""
    outside = path > tolerance
    last = len(path) - np.argmax(outside[::-1], axis=0)
    return np.where(outside.any(0), last + 1, 1)


def to_markdown(rows: Sequence[ToleranceRow]) -> str:
    header = ("problem", "sampler", "runs", "within", "estimate / error", "rounds", "oracle", "most above")
    body = [
        [r.problem, r.sampler, r.runs, *(round(number, 3) for number in (r.within, r.estimate, r.rounds, r.oracle)), r.over]
        for r in rows
    ]
    return markdown(header, body)
