"""Euler's method, and its ancestral form."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from parampi.samplers.base import StepMap, alias, check_grid, register
from parampi.samplers.churn import Churn
from parampi.samplers.ddim import DDIM


@register("euler")
@dataclass(frozen=True)
class Euler(Churn):
    """Euler's method for the probability-flow equation dx/dsigma = (x - D)/sigma (Karras, Aittala, Aila, Laine 2022,
    arXiv:2206.00364, algorithms 1 and 2 without their second stage):

        x_{i+1} = xhat_i + (t_{i+1} - that_i) (xhat_i - D(xhat_i, that_i)) / that_i,

    where that_i = t_i, xhat_i = x_i unless there is churn (`s_churn`, `s_tmin`, `s_tmax`, `s_noise` as in `EDM`). Without churn
    this is DDIM in EDM coordinates. Raises ConfigError for options out of range.
    """

    order: ClassVar[int] = 1

    def steps(self, sigmas: torch.Tensor) -> StepMap:
        levels = check_grid(sigmas)
        raised, added, start = self.raised(levels)
        ratio = levels[1:] / raised[:-1]
        return StepMap(raised, ratio, (raised[:-1] - levels[1:]) / raised[:-1], added[1:], start=start)


EulerAncestral = alias("euler_ancestral", DDIM, eta=1.0)
"""Euler's method to a noise level below the next one, and fresh noise up to it (k-diffusion's ancestral sampler):

    x[i+1] = x[i] + (down - sigma_i) (x[i] - D_i) / sigma_i + up xi,
    up = eta sigma_{i+1} sqrt(sigma_i^2 - sigma_{i+1}^2) / sigma_i,         down = sqrt(sigma_{i+1}^2 - up^2).

In EDM coordinates this is `DDIM(eta)`, with eta = 1 by default."""
