"""Collocation: the probability-flow equation itself, through points on both sides."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, check_grid, register

ORDERS = (2, 4, 6)


@dataclass(frozen=True)
class CollocationMap(StepMap):
    """Noise levels whose points are solved for together, each step reading `order` denoised fields on both of its sides.

    What a step makes of them belongs to the solver, whose linear model is part of it. `state` and `denoised_weight` are the
    step that reads its own point only and fits data of unit variance,

        x[i+1] = phi x[i] + w (D_i - L_i x[i]),   phi = sqrt((1 + s_{i+1}^2) / (1 + s_i^2)),   L_i = 1 / (1 + s_i^2),

    w being phi times the step in log sigma: a first impression, which no result depends on.
    """

    order: int = 4


@register("collocation")
@dataclass(frozen=True)
class Collocation:
    """Collocation for the probability-flow equation, exponentially fitted to a Gaussian model of the data.

    With `t = -log sigma` and the model's `L = c / (c + sigma^2)` in each mode, `dx/dt = D - x = (L - 1) x + rho`, where
    `rho = D - L x` is small for data that are nearly Gaussian. Each step integrates the polynomial through `rho` at `order`
    points, as many behind as before it where there are, against the exact propagator of the rest,

        x[i+1] = Phi(i+1, i) x[i] + sum_j W[i,j] rho_j,     Phi(b, a) = sqrt((c + sigma_b^2) / (c + sigma_a^2)).

    A point that comes later costs nothing in a sweep over all points, but no sampler that goes from point to point can read it:
    there is no serial run, and no window but that of all points. The error is that of the equation's solution for the noise
    levels given, of this order in the steps of log sigma. Solved by `Spectral`, whose mean and spectrum the model is.

    order  2, 4 or 6; ConfigError for another one, or for fewer points than that
    """

    order: Literal[2, 4, 6] = 4
    two_sided: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ConfigError(f"Collocation's order = {self.order} is not one of 2, 4, 6")

    def steps(self, sigmas: Tensor) -> CollocationMap:
        sigmas = check_grid(sigmas)
        if len(sigmas) <= self.order:
            raise ConfigError(
                f"Collocation of order {self.order} reads {self.order} points at each step, but there are only "
                f"{len(sigmas) - 1} steps; take more, or a lower order"
            )
        here, there = sigmas[:-1], sigmas[1:]
        # a step to 0 is infinitely long in log sigma; any finite number will do
        length = torch.log(here / there.clamp(min=1e-3 * float(here[-1])))
        passed = ((1 + there**2) / (1 + here**2)).sqrt()
        weight = passed * length
        return CollocationMap(sigmas, passed - weight / (1 + here**2), weight, torch.zeros_like(here), order=self.order)
