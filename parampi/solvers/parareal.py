"""Parareal: blocks solved one step after another, all at once, and corrected by a coarse propagator."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers import Equations, StepMap
from parampi.solvers.base import Solver, check_window, register
from parampi.solvers.stop_rules import growth

SHORTEST = 2
"""Fewest steps of a block: one alone would be its own coarse step."""


@register("parareal")
@dataclass(frozen=True)
class Parareal(Solver):
    """Parareal (Lions, Maday, Turinici 2001, C. R. Acad. Sci. Paris 332, 661), as for diffusion models in SRDS (Selvam,
    Merchant, Ermon 2024, arXiv:2412.08292), pipelined. With F the sampler's own steps through a block and G the same with the
    denoised field frozen at the block's beginning,

        U_new[b+1] = G(U_new[b]) + F(U_old[b]) - G(U_old[b]),            U[b] the state at the beginning of block b.

    After p iterations the first p blocks are exact. With B blocks of S steps, p iterations take p S + B - p rounds, in which at
    most two fields per block are evaluated: of use where there are few ranks. See docs/method/parareal.md.

    blocks  number of blocks, as equal as the sampler's steps allow; None for about the square root of the number of points

    Raises ConfigError for a window, and for samplers whose steps cannot be begun anew from one state.
    """

    blocks: int | None = None
    wavefront: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.blocks is not None and self.blocks < 1:
            raise ConfigError(
                f"Parareal's blocks = {self.blocks}; give at least one, or null for the root of the number of points"
            )

    def check(self, equations: Equations, shape: tuple[int, ...], window: int | None = None) -> None:
        step_map = equations.step_map
        if not bool(step_map.evaluated.all()):
            raise ConfigError(
                "Parareal is not defined for a sampler with velocities: its coarse step begins a block from a denoised field; "
                "take piadm, picard or another solver"
            )
        inside = range(SHORTEST, step_map.steps - SHORTEST + 1)
        if inside and not set(inside) & set(beginnings(step_map)):
            raise ConfigError(
                f"Parareal is not defined for a multistep sampler, whose steps read {step_map.taps} points: a block cannot "
                "begin from one state; take picard or another solver, or a sampler of one step (ddim, heun, dpmpp_2s)"
            )
        if window is not None:
            check_window(window, equations.steps)
            raise ConfigError(
                f"window = {window} makes no sense for parareal, which solves all blocks at once; set it to null (None), "
                "and blocks to the number of blocks"
            )

    def window(self, requested: int | None, equations: Equations) -> int:
        check_window(requested, equations.steps)
        return equations.steps

    def ends(self, requested: int | None, equations: Equations) -> Tensor:
        """Return the ends of the blocks, the last one N, at the admissible points that are nearest to equal blocks."""
        steps, allowed = equations.steps, [*beginnings(equations.step_map), equations.steps]
        count = min(self.blocks or max(1, round(math.sqrt(steps))), steps // SHORTEST)
        equal = [steps * (k + 1) / count for k in range(count - 1)]
        ends = [0]
        for point in sorted({min(allowed, key=lambda a: abs(a - end)) for end in equal}):
            if ends[-1] + SHORTEST <= point <= steps - SHORTEST:
                ends.append(point)
        return torch.tensor([*ends[1:], steps])


def beginnings(step_map: StepMap) -> list[int]:
    """Return the points 0 <= e < N from which a block can begin: no later step reads a point, or the noise of a step, before
    e."""
    steps, allowed = step_map.steps, torch.ones(step_map.steps, dtype=torch.bool)
    reads = (step_map.state != 0) | (step_map.denoised_weight != 0)
    for table in (reads, step_map.noise != 0):
        for tap in range(1, table.shape[1]):
            for i in table[:, tap].nonzero()[:, 0].tolist():
                allowed[max(i - tap + 1, 0) : i + 1] = False
    return [e for e in range(steps) if allowed[e]]


@dataclass(frozen=True)
class Coarse:
    """G of one block, `carry x + pull D(x) + noise`, and `weight`: the error at the last point per unit of change of the
    block's beginning."""

    carry: float
    pull: float
    weight: float


def coarse_steps(step_map: StepMap, ends: list[int], sigma_data: float) -> list[Coarse]:
    """Return G of every block. The slopes of F and G differ by at most |pull|: where D' is between 0 and 1, both are between
    carry and carry + pull. Later steps enlarge the difference at most by `growth`."""
    passed, coarse, begin = growth(step_map, sigma_data), [], 0
    for end in ends:
        carry = frozen_block(step_map, begin, end, x=1.0, denoised=0.0)
        pull = frozen_block(step_map, begin, end, x=0.0, denoised=1.0)
        coarse.append(Coarse(carry, pull, abs(pull) * float(passed[end])))
        begin = end
    return coarse


def frozen_block(step_map: StepMap, begin: int, end: int, *, x: float, denoised: float) -> float:
    """Return the state at the end of a block from x at its beginning, with one denoised field and no noise."""
    states = [x]
    for i in range(begin, end):
        taps = range(min(step_map.taps, i - begin + 1))
        states.append(
            sum(float(step_map.state[i, t]) * states[-1 - t] + float(step_map.denoised_weight[i, t]) * denoised for t in taps)
        )
    return states[-1]
