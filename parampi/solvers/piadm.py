"""Block-parallel Picard with a fixed number of sweeps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from parampi.diffusion.piadm_grid import MOST_STEPS
from parampi.errors import ConfigError
from parampi.samplers import Equations, StepMap
from parampi.samplers.piadm import equal_time_blocks, vp_times
from parampi.solvers.base import Solver, check_window, equal_blocks, register
from parampi.solvers.linear_models import Guess, LinearModel, constant_guess, linear_model
from parampi.solvers.stop_rules import FixedSweeps, Rule, StopRule


@register("piadm")
@dataclass(frozen=True)
class PIADM(Solver):
    """Parallelised inference algorithm for diffusion models (Chen, Ren, Ying, Rotskoff 2024, arXiv:2405.15986).

    Blocks of points are solved one after another, each by `sweeps` Picard sweeps from the state at its beginning, in which the
    score is that of the sweep before:

        y_m^(k+1) = e^(tau_m / 2) y_0 + sum_{j<m} e^((tau_m - tau_(j+1)) / 2) g_j,
        g_j = 2 (e^(eps_j / 2) - 1) s(y_j^k) + sqrt(e^eps_j - 1) xi_j

    In EDM coordinates the exponential integrator is the identity: A = 1, the slope where the predicted noise does not change.

    sweeps  K, the same for all blocks. No tolerance stops them, but the report estimates the error that remains. Blocks that
            are shorter than K are exact after as many sweeps as they have points
    blocks  number of blocks, of equal length in the time `log(1 + sigma^2)` of the variance-preserving process; None for those
            of the sampler (piadm_sde and piadm_ode have them), or else for blocks of the run's `window` points, or else for
            blocks of length one

    `parampi.solvers.piadm_parameters` has the theorem's choice of all numbers. Raises ConfigError for options out of range.
    """

    sweeps: int = 8
    blocks: int | None = None

    def __post_init__(self) -> None:
        for option in ("sweeps", "blocks"):
            number = getattr(self, option)
            if number is not None and not 1 <= number <= MOST_STEPS:
                raise ConfigError(f"PIADM's {option} = {number}; give at least 1, and at most {MOST_STEPS}")

    def window(self, requested: int | None, equations: Equations) -> int:
        check_window(requested, equations.steps)
        ends = self.ends(requested, equations)
        return int(torch.diff(ends, prepend=torch.zeros(1, dtype=ends.dtype)).max())

    def ends(self, requested: int | None, equations: Equations) -> Tensor:
        step_map = equations.step_map
        if self.blocks is not None:
            return equal_time_blocks(self.blocks, step_map.sigmas)
        if requested is not None:
            return equal_blocks(min(requested, step_map.steps), step_map.steps)
        if step_map.blocks is not None:
            return step_map.blocks
        return equal_time_blocks(max(1, round(float(vp_times(step_map.sigmas)[0]))), step_map.sigmas)

    def model(self, step_map: StepMap, sigma_data: float) -> LinearModel:
        return linear_model("noise", step_map, sigma_data)

    def first_guess(self, step_map: StepMap, sigma_data: float) -> Guess:
        return constant_guess(step_map, sigma_data)

    def rule(self, equations: Equations, sigma_data: float, tolerance: float) -> Rule:
        step_map = equations.step_map
        slopes = self.model(step_map, sigma_data).slopes
        return FixedSweeps(StopRule.of(step_map, slopes, sigma_data, tolerance), self.sweeps)
