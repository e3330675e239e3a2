"""The steps of PIADM: exponential integrators of the variance-preserving process, and an underdamped Langevin corrector."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, check_grid, register

ROWS = 3
"""Taps of a corrector's velocity: the position after it, the velocity before, the position before."""


def times(sigmas: Tensor) -> Tensor:
    """VP time `log(1 + sigma^2)`, in which alpha = exp(-t/2)."""
    return torch.log1p(sigmas**2)


def score_weight(sigmas: Tensor) -> Tensor:
    """`(1 + sigma^2) / sigma^2`: the score of y = alpha x, over alpha, is this times (D - x)."""
    return (1 + sigmas**2) / sigmas**2


@register("piadm_sde")
@dataclass(frozen=True)
class PIADMSDE:
    """The exponential integrator of the reverse SDE in PIADM-SDE (Chen, Ren, Ying, Rotskoff 2024, arXiv:2405.15986): in the
    time t = log(1 + sigma^2) and for y = alpha x,

        y_{i+1} = e^(eps/2) y_i + 2 (e^(eps/2) - 1) s(y_i) + sqrt(e^eps - 1) xi,           eps = t_i - t_{i+1},

    in EDM coordinates `x_{i+1} = x_i + 2 (1 - e^(-eps/2)) (1 + sigma_i^2)/sigma_i^2 (D_i - x_i) + c xi` with
    `c^2 = (1 - e^-eps) (1 + sigma_i^2)`.

    blocks  number of blocks of equal length in t that `PIADM` solves one after another; None for length about one
    """

    blocks: int | None = None
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_blocks(self.blocks)

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        eps, here = -times(sigmas).diff(), sigmas[:-1]
        drift = -2 * torch.expm1(-eps / 2) * score_weight(here)
        noise = (-torch.expm1(-eps) * (1 + here**2)).sqrt()
        return StepMap(sigmas, 1 - drift, drift, noise, blocks=block_ends(self.blocks, sigmas))


@register("piadm_ode")
@dataclass(frozen=True)
class PIADMODE:
    """Predictor and corrector of PIADM-ODE (Chen, Ren, Ying, Rotskoff 2024, arXiv:2405.15986).

    Predictor: the exponential integrator of the probability-flow equation, y_{i+1} = e^(eps/2) y_i + (e^(eps/2) - 1) s(y_i),
    in EDM coordinates `x_{i+1} = x_i + (1 - e^(-eps/2)) (1 + sigma_i^2)/sigma_i^2 (D_i - x_i)`.

    Corrector, at the end of every block whose noise level is positive: underdamped Langevin dynamics of y and a velocity v that
    begins as N(0, 1), `dy = v dt`, `dv = (s - g v) dt + sqrt(2 g) dW`, integrated exactly with the score held; a = e^(-g eps),

        y' = y + (1 - a)/g v + (eps - (1 - a)/g)/g s + xi_y,         v' = a v + (1 - a)/g s + xi_v,
        Var xi_y = 2/g (eps - 2 (1 - a)/g + (1 - a^2)/2g),     Var xi_v = 1 - a^2,     Cov = (1 - a)^2 / g.

    Positions and velocities are points of one chain, v_0, x_1, v_1, ..., x_M; the last velocity is not needed.

    blocks      number of blocks of equal length in t = log(1 + sigma^2); None for length about one
    corrections steps of the corrector per block; 0 for none
    time        that the corrector runs for
    friction    g

    Raises ConfigError for options out of range. `order` is that of the predictor; the corrector of a block changes no marginal
    to first order in its step.
    """

    blocks: int | None = None
    corrections: int = 8
    time: float = 0.1
    friction: float = 2.0
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_blocks(self.blocks)
        if self.corrections < 0 or not (self.time > 0 and self.friction > 0):
            raise ConfigError(
                f"corrections = {self.corrections}, time = {self.time}, friction = {self.friction}; time and friction must be "
                "positive, and corrections a number of steps (0 for none)"
            )

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ends, table = set(block_ends(self.blocks, sigmas).tolist()), Chain(float(sigmas[0]))
        weights = -torch.expm1(times(sigmas).diff() / 2) * score_weight(sigmas[:-1])
        for i, (there, weight) in enumerate(zip(sigmas[1:].tolist(), weights.tolist(), strict=True)):
            table.add(there, [1 - weight], [weight], [])
            if i + 1 in ends:
                table.end_block()
                if there > 0 and self.corrections:
                    self.correct(table, there)
                    table.end_block()
        return table.step_map()

    def correct(self, table: "Chain", sigma: float) -> None:
        """Add the points of a corrector at this noise level."""
        eps, g = self.time / self.corrections, self.friction
        decay, rest = math.exp(-g * eps), -math.expm1(-g * eps) / g
        score, scale = (1 + sigma**2) / sigma**2, math.sqrt(1 + sigma**2)
        push, kick = (eps - rest) / g * score, rest * score
        by_y, by_v, own = (scale * n for n in noises(eps, g))
        table.add(sigma, [], [], [scale])
        for step in range(self.corrections):
            table.add(sigma, [rest, 1 - push], [0.0, push], [by_y])
            if step < self.corrections - 1:
                table.add(sigma, [0.0, decay, -kick], [0.0, 0.0, kick], [own, by_v])


def noises(eps: float, g: float) -> tuple[float, float, float]:
    """(p, q, r): xi_y = p xi_1 and xi_v = q xi_1 + r xi_2 have the corrector's variances and covariance."""
    rest = -math.expm1(-g * eps) / g
    twice = -math.expm1(-2 * g * eps)
    position = 2 / g * small_difference(eps, g)
    covariance = g * rest**2
    p = math.sqrt(position)
    q = covariance / p
    return p, q, math.sqrt(max(twice - q**2, 0.0))


def small_difference(eps: float, g: float) -> float:
    """`eps - 2 (1 - a)/g + (1 - a^2)/2g` with a = e^(-g eps); its series where terms cancel, g^2 eps^3 / 3 at first."""
    z = g * eps
    if z < 0.05:
        terms = ((-z) ** k * (2.0 - 2.0 ** (k - 1)) / math.factorial(k) for k in range(3, 14))
        return math.fsum(terms) / g
    return eps + 2 * math.expm1(-z) / g - math.expm1(-2 * z) / (2 * g)


def check_blocks(blocks: int | None) -> None:
    if blocks is not None and blocks < 1:
        raise ConfigError(f"blocks = {blocks}; give at least one, or null for blocks of length about one in log(1 + sigma^2)")


def block_ends(blocks: int | None, sigmas: Tensor) -> Tensor:
    """Points (B,) at which blocks of equal length in VP time end; the last is the last point."""
    t = times(sigmas)
    count = blocks or max(1, round(float(t[0] - t[-1])))
    levels = t[0] + (t[-1] - t[0]) * torch.arange(1, count + 1, dtype=torch.float64) / count
    ends = torch.searchsorted(-t, -levels - 1e-9 * t[0]).clamp(1, len(sigmas) - 1)
    ends[-1] = len(sigmas) - 1
    distinct: Tensor = torch.unique(ends)
    return distinct


class Chain:
    """A table of steps with up to three taps that grows point by point, and its blocks."""

    def __init__(self, first: float):
        self.levels, self.blocks = [first], list[int]()
        self.state, self.drift, self.noise = list[list[float]](), list[list[float]](), list[list[float]]()

    def add(self, level: float, state: list[float], drift: list[float], noise: list[float]) -> None:
        self.levels.append(level)
        for rows, row, taps in ((self.state, state, ROWS), (self.drift, drift, ROWS), (self.noise, noise, 2)):
            rows.append(row + [0.0] * (taps - len(row)))

    def end_block(self) -> None:
        self.blocks.append(len(self.state))

    def step_map(self) -> StepMap:
        numbers = [torch.tensor(n, dtype=torch.float64) for n in (self.levels, self.state, self.drift, self.noise)]
        levels, rows = numbers[0], numbers[1:]
        if not (rows[2] != 0).any():
            rows = [row[:, :1] for row in rows]
        return StepMap(levels, rows[0], rows[1], rows[2], blocks=torch.tensor(self.blocks))
