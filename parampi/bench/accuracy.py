"""Errors to the true solution of the probability-flow equation against rounds: serial samplers and collocation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.bench.rounds import chosen, relative
from parampi.bench.subject import Subject, closed_form
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import PROBLEMS
from parampi.diffusion.sigmas import karras, log_uniform
from parampi.engine import EngineOptions, engine_for
from parampi.engine.problem import SamplingProblem
from parampi.errors import ConfigError
from parampi.parallel import SerialGroup
from parampi.samplers import DDIM, Collocation, DPMpp2M, DPMpp3M, Heun, Sampler, UniPC
from parampi.solvers import Serial, Spectral

SERIAL: dict[str, Sampler] = {
    "DDIM": DDIM(),
    "Heun": Heun(),
    "DPM-Solver++ 2M": DPMpp2M(),
    "DPM-Solver++ 3M": DPMpp3M(),
    "UniPC": UniPC(),
}
BUDGETS = (5, 7, 10, 14, 20, 25, 35, 50, 70, 100, 140, 200)
POINTS = (8, 12, 16, 24, 32, 48, 64)
ORDERS = (2, 4, 6)
PRECISION = 1e-10
"""Relative tolerance of the true solution; its final error is some ten times that."""
SETTLED = 1.2
"""Factor above the error that remains within which a run has reached it."""
MOST_ROUNDS = 12


@dataclass(frozen=True)
class AccuracyRow:
    """Medians over seeds. `points`: network evaluations of a serial run, or collocation points; `rounds`: evaluations one after
    another, for collocation to SETTLED times the error that remains; `by_rule`: when the stop rule ends a run whose tolerance
    is that error; `path`: errors after each round."""

    problem: str
    method: str
    points: int
    rounds: float
    error: float
    by_rule: float | None = None
    path: tuple[float, ...] = ()


def measure(problems: Sequence[str] = (), network: Subject | None = None, seeds: int = 5) -> list[AccuracyRow]:
    """Return rows of closed-form problems (all where none is named and there is no network) and of a trained network."""
    names = chosen("problem", problems, PROBLEMS) if problems or network is None else []
    rows = []
    for subject in (*map(closed_form, names), *([network] if network else [])):
        truth = solution(subject, start(subject, seeds))
        rows += serial_rows(subject, truth)
        rows += [collocated(subject, truth, order, points) for order in ORDERS for points in POINTS]
    return rows


def chain_of(subject: Subject, sampler: Sampler, sigmas: Tensor, seeds: int) -> SamplingProblem:
    network = BatchedDenoiser(subject.denoiser, batch=subject.batch)
    scale = float(getattr(subject.denoiser, "sigma_data", 1.0))
    return SamplingProblem(network, sampler.steps(sigmas), torch.arange(seeds), subject.shape, 0, scale)


def start(subject: Subject, seeds: int) -> Tensor:
    return chain_of(subject, DDIM(), log_uniform(2, subject.lowest, subject.highest), seeds).start()


def solution(subject: Subject, x: Tensor) -> Tensor:
    """Solve `dx/dt = D - x`, t = -log sigma, from the highest noise level to the lowest, by an adaptive Runge-Kutta method of
    order 8 (Dormand and Prince 1980, as in Hairer, Norsett and Wanner's DOP853), which knows nothing of this package's own."""
    try:
        from scipy.integrate import solve_ivp
    except ImportError:
        raise ConfigError("the true solution needs scipy; install it: pip install scipy") from None
    network = BatchedDenoiser(subject.exact, batch=subject.batch)

    def slope(t: float, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        fields = torch.from_numpy(flat).view(x.shape)
        levels = torch.full((len(x),), math.exp(-t), dtype=torch.float64)
        result: NDArray[np.float64] = (network(fields, levels) - fields).double().numpy().ravel()
        return result

    span = -math.log(subject.highest), -math.log(subject.lowest)
    trajectory = solve_ivp(slope, span, x.numpy().ravel(), method="DOP853", rtol=PRECISION, atol=PRECISION)
    return torch.from_numpy(trajectory.y[:, -1].copy()).view(x.shape)


def serial_rows(subject: Subject, truth: Tensor) -> list[AccuracyRow]:
    """Return the rows of each sampler with the better of two spacings of its noise levels."""
    rows = []
    for name, sampler in SERIAL.items():
        for budget in BUDGETS:
            steps = max(budget // 2, 1) if isinstance(sampler, Heun) else budget
            grids = (spacing(steps, subject.lowest, subject.highest, final_zero=False) for spacing in (karras, log_uniform))
            errors = []
            for grid in grids:
                chain = chain_of(subject, sampler, grid, len(truth))
                errors.append(middle(relative(engine_for(chain, Serial(), SerialGroup()).run(), truth)))
            evaluations = chain.equations.evaluations
            rows.append(AccuracyRow(subject.name, name, evaluations, evaluations, min(errors)))
    return rows


def collocated(subject: Subject, truth: Tensor, order: int, points: int) -> AccuracyRow:
    """Return a row of collocation, its noise levels spaced evenly in log sigma."""
    sampler = Collocation(order)  # type: ignore[arg-type]
    chain = chain_of(subject, sampler, log_uniform(points, subject.lowest, subject.highest), len(truth))
    solver = Spectral(statistics=subject.statistics)
    engine = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=1e-12))
    path: list[NDArray[np.float64]] = []
    while not engine.finished and len(path) < MOST_ROUNDS:
        engine.advance()
        path.append(relative(engine.tail, truth).numpy())
    errors = np.array(path)
    settled = [1 + int(np.argmax(column <= SETTLED * column[-1])) for column in errors.T]
    judged = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=middle(torch.from_numpy(errors[-1]))))
    judged.run()
    by_rule = median(judged.history.rounds.tolist())
    medians = np.median(errors, axis=1)
    name = f"collocation, order {order}"
    return AccuracyRow(subject.name, name, points, median(settled), float(medians[-1]), by_rule, tuple(medians.tolist()))


def middle(values: Tensor) -> float:
    return float(np.median(values.numpy()))


def to_markdown(rows: Sequence[AccuracyRow]) -> str:
    header = ("problem", "method", "points", "rounds", "by the rule", "error")
    body = [[r.problem, r.method, r.points, r.rounds, r.by_rule, r.error] for r in rows]
    return markdown(header, [[f"{v:.1e}" if k == 5 else v for k, v in enumerate(line)] for line in body])
