"""DPM-Solver++, singlestep: a stage inside every step, which is a point of its own."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from parampi.samplers.base import StepMap, check_grid, register
from parampi.samplers.dpmpp import Form, check_option, slope_weight
from parampi.samplers.exponential import log_steps


@register("dpmpp_2s")
@dataclass(frozen=True)
class DPMpp2S:
    """DPM-Solver++ 2S (Lu, Zhou, Bao, Chen, Li, Zhu 2022, arXiv:2211.01095, algorithm 1): a first-order step to a stage u, then
    D linear in lambda = -log sigma through the point and its stage,

        u = (sigma_u / sigma_i) x_i + (1 - sigma_u / sigma_i) D_i,
        x_{i+1} = e^-h x_i + (1 - e^-h) D_i + w (D_u - D_i) h / (lambda_u - lambda_i),

    w = (1 - e^-h) / 2 for form = "midpoint" and 1 - (1 - e^-h) / h for "heun".

    stages             "midpoint": one in the middle, in log sigma, of every step between levels of the grid, but for a step to
                       0, which is of first order. "grid": every other level of the grid is a stage, so that a grid of N steps
                       costs N evaluations
    lower_order_final  with stages = "grid" and an even number of steps, the last two are of first order (always if the grid
                       ends at 0). The last of an odd number always is

    Raises ConfigError for options that are no choice.
    """

    form: Form = "midpoint"
    stages: Literal["midpoint", "grid"] = "midpoint"
    lower_order_final: bool = True
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_option(self, "form", "midpoint", "heun")
        check_option(self, "stages", "midpoint", "grid")

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        levels, staged = self.halved(sigmas) if self.stages == "midpoint" else (sigmas, self.whole_pairs(sigmas))
        first, second = levels[1:] / levels[:-1], torch.zeros(len(levels) - 1, dtype=torch.bool)
        state = torch.stack([first, torch.zeros_like(first)], dim=1)
        denoised_weight = torch.stack([1 - first, torch.zeros_like(first)], dim=1)
        second[1 : 2 * staged : 2] = True  # the second half of each step with a stage
        state[second], denoised_weight[second] = self.from_stage(levels[: 2 * staged + 1])
        return StepMap(levels, state, denoised_weight, torch.zeros_like(first))

    def from_stage(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Return `state` and `denoised_weight` (n, 2) of the n second halves, taps the stage and the point before it; levels (2
        n + 1,)."""
        half, whole = log_steps(levels)[::2], log_steps(levels[::2])
        weight = slope_weight(self.form, whole) * whole / half
        full = -torch.expm1(-whole)
        state = torch.stack([torch.zeros_like(full), levels[2::2] / levels[:-1:2]], dim=1)
        return state, torch.stack([weight, full - weight], dim=1)

    def halved(self, sigmas: Tensor) -> tuple[Tensor, int]:
        """Return all levels with a stage in the middle of every step but one to 0, and the number of stages."""
        staged = len(sigmas) - 1 - int(sigmas[-1] == 0)
        stages = (sigmas[:staged] * sigmas[1 : staged + 1]).sqrt()
        pairs = torch.stack([sigmas[:staged], stages], dim=1).flatten()
        return torch.cat([pairs, sigmas[staged:]]), staged

    def whole_pairs(self, sigmas: Tensor) -> int:
        """Return the steps over two levels of the grid."""
        count = len(sigmas) - 1
        return (count - 1) // 2 if self.lower_order_final or sigmas[-1] == 0 else count // 2
