"""The steps of PIADM: exponential integrators of the variance-preserving process, and an underdamped Langevin corrector."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from parampi.diffusion.piadm_grid import MOST_STEPS
from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, check_grid, register
from parampi.samplers.langevin import moments, noises

ROWS = 3
"""Number of taps of a corrector's velocity: the position after it, the velocity before, the position before."""
MOST_CORRECTIONS = 10_000
"""Steps of the corrector in a block."""


def vp_times(sigmas: Tensor) -> Tensor:
    """Return VP time `log(1 + sigma^2)`, in which alpha = exp(-t/2)."""
    return torch.log1p(sigmas**2)


def score_weight(sigmas: Tensor) -> Tensor:
    """Return `(1 - e^(-eps/2)) (1 + sigma_i^2) / sigma_i^2` (N,): the weight of D - x in a step of length eps in VP time.

    The score s of y = alpha x is alpha (1 + sigma^2)/sigma^2 (D - x). Written with
    `e^-eps = (1 + sigma_{i+1}^2)/(1 + sigma_i^2)`, so that nothing cancels.
    """
    current, following = sigmas[:-1], sigmas[1:]
    ratio = (1 + following**2) / (1 + current**2)
    return (current - following) * (current + following) / current**2 / (1 + ratio.sqrt())


@register("piadm_sde")
@dataclass(frozen=True)
class PIADMSDE:
    """The exponential integrator of the reverse SDE in PIADM-SDE (Chen, Ren, Ying, Rotskoff 2024, arXiv:2405.15986): in the
    time t = log(1 + sigma^2) and for y = alpha x,

        y_{i+1} = e^(eps/2) y_i + 2 (e^(eps/2) - 1) s(y_i) + sqrt(e^eps - 1) xi,           eps = t_i - t_{i+1},

    in EDM coordinates `x_{i+1} = x_i + 2 (1 - e^(-eps/2)) (1 + sigma_i^2)/sigma_i^2 (D_i - x_i) + c xi` with
    `c^2 = (1 - e^-eps) (1 + sigma_i^2) = sigma_i^2 - sigma_{i+1}^2`.

    blocks  number of blocks of equal length in t that `PIADM` solves one after another; None for length about one

    Raises ConfigError for blocks < 1.
    """

    blocks: int | None = None
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_blocks(self.blocks)

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        denoised_weight = 2 * score_weight(sigmas)
        noise = ((sigmas[:-1] - sigmas[1:]) * (sigmas[:-1] + sigmas[1:])).sqrt()
        return StepMap(sigmas, 1 - denoised_weight, denoised_weight, noise, blocks=block_ends(self.blocks, sigmas))


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

    In EDM coordinates positions are x = y / alpha and velocities v / alpha, of standard deviation sqrt(1 + sigma^2). They are
    points of one chain, v_0, x_1, v_1, ..., x_M; the last velocity is not needed.

    blocks       number of blocks of equal length in t = log(1 + sigma^2); None for length about one
    corrections  steps of the corrector per block, 0 for none; None for as many as the predictor takes in the block
    time         that the corrector runs for; None for L^(-1/2)
    friction     g; None for 2 L^(1/2)

    L = (1 + sigma^2)/sigma^2 is the Lipschitz constant of the score at this level where the data are a point. The theorem takes
    time and friction of these orders, and with them the corrector is stable at every level. Raises ConfigError for options out
    of range.
    """

    blocks: int | None = None
    corrections: int | None = None
    time: float | None = None
    friction: float | None = None
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_blocks(self.blocks)
        positive = all(number is None or 0 < number < math.inf for number in (self.time, self.friction))
        if not 0 <= (self.corrections or 0) <= MOST_CORRECTIONS or not positive:
            raise ConfigError(
                f"corrections = {self.corrections}, time = {self.time}, friction = {self.friction}; time and friction must be "
                f"positive and finite, and corrections a number of steps up to {MOST_CORRECTIONS} (0 for none)"
            )

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ends, table = block_ends(self.blocks, sigmas).tolist(), Table(float(sigmas[0]))
        levels, weights = sigmas.tolist(), score_weight(sigmas).tolist()
        for begin, end in zip([0, *ends], ends, strict=False):
            for i in range(begin, end):
                table.add(levels[i + 1], [1 - weights[i]], [weights[i]], [])
            table.end_block()
            count = end - begin if self.corrections is None else self.corrections
            if levels[end] > 0 and count:
                self.correct(table, levels[end], count)
                table.end_block()
        return table.step_map()

    def correct(self, table: "Table", sigma: float, count: int) -> None:
        """Add the points of a corrector of `count` steps at this noise level."""
        scale = math.sqrt(1 + sigma**2)
        root = scale / sigma  # L^(1/2)
        eps, g = (1 / root if self.time is None else self.time) / count, self.friction or 2 * root
        decay, rest, push = moments(eps, g)
        by_y, by_v, own = (scale * n for n in noises(eps, g))
        push, kick = push * root**2, rest * root**2
        table.add(sigma, [], [], [scale])
        for step in range(count):
            table.add(sigma, [rest, 1 - push], [0.0, push], [by_y])
            if step < count - 1:
                table.add(sigma, [0.0, decay, -kick], [0.0, 0.0, kick], [own, by_v])


def check_blocks(blocks: int | None) -> None:
    """Raise ConfigError for fewer than one block, or for more than there can be points."""
    if blocks is not None and not 1 <= blocks <= MOST_STEPS:
        usual = "or null for blocks of length about one in log(1 + sigma^2)"
        raise ConfigError(f"blocks = {blocks}; give at least one and at most {MOST_STEPS}, {usual}")


def block_ends(blocks: int | None, sigmas: Tensor) -> Tensor:
    """Return the ends of `blocks` blocks of equal length in VP time; None for blocks of length about one."""
    t = vp_times(sigmas)
    return equal_time_blocks(blocks or max(1, round(float(t[0] - t[-1]))), sigmas)


def equal_time_blocks(count: int, sigmas: Tensor) -> Tensor:
    """Return ends (B,) of at most `count` blocks of equal length in VP time, the last one at the last point; blocks without
    points are left out."""
    t = vp_times(sigmas)
    levels = t[0] + (t[-1] - t[0]) * torch.arange(1, count + 1, dtype=torch.float64) / count
    ends = torch.searchsorted(-t, -levels - 1e-9 * t[0]).clamp(1, len(sigmas) - 1)
    ends[-1] = len(sigmas) - 1
    distinct: Tensor = torch.unique(ends)
    return distinct


class Table:
    """Table of steps with up to three taps that are added point by point, and the ends of their blocks."""

    def __init__(self, first: float):
        self.levels, self.blocks = [first], list[int]()
        self.state, self.denoised_weight, self.noise = list[list[float]](), list[list[float]](), list[list[float]]()

    def add(self, level: float, state: list[float], denoised_weight: list[float], noise: list[float]) -> None:
        self.levels.append(level)
        for rows, row, taps in (
            (self.state, state, ROWS),
            (self.denoised_weight, denoised_weight, ROWS),
            (self.noise, noise, 2),
        ):
            rows.append(row + [0.0] * (taps - len(row)))

    def end_block(self) -> None:
        self.blocks.append(len(self.state))

    def step_map(self) -> StepMap:
        numbers = [torch.tensor(n, dtype=torch.float64) for n in (self.levels, self.state, self.denoised_weight, self.noise)]
        levels, rows = numbers[0], numbers[1:]
        if not (rows[2] != 0).any():
            rows = [row[:, :1] for row in rows]
        return StepMap(levels, rows[0], rows[1], rows[2], blocks=torch.tensor(self.blocks))
