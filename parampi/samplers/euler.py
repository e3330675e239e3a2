"""Euler's method, and its ancestral form."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, zeros_like

from parampi.samplers.base import StepMap, check_grid, register
from parampi.samplers.ddim import DDIM


@register("euler")
@dataclass(frozen=True)
class Euler:
    """Euler's method for the probability-flow equation dx/dsigma = (x - D)/sigma (Karras, Aittala, Aila, Laine 2022,
    arXiv:2206.00364, algorithm 1 without its second stage):

        x[i+1] = x[i] + (sigma_{i+1} - sigma_i) (x[i] - D_i) / sigma_i.

    In EDM coordinates this is DDIM.
    """

    order: ClassVar[int] = 1

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio = sigmas[1:] / sigmas[:-1]
        return StepMap(sigmas, state=ratio, drift=1 - ratio, noise=zeros_like(ratio))


@register("euler_ancestral")
@dataclass(frozen=True)
class EulerAncestral(DDIM):
    """Euler's method to a noise level below the next one, and fresh noise up to it (k-diffusion's ancestral sampler):

        x[i+1] = x[i] + (down - sigma_i) (x[i] - D_i) / sigma_i + up xi,
        up = eta sigma_{i+1} sqrt(sigma_i^2 - sigma_{i+1}^2) / sigma_i,         down = sqrt(sigma_{i+1}^2 - up^2).

    In EDM coordinates this is DDIM(eta), and DDPM for eta = 1. Raises ConfigError unless 0 <= eta <= 1.
    """

    eta: float = 1.0
