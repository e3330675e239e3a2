"""DDIM, and DDPM as its stochastic end."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, alias, check_grid, register


@register("ddim")
@dataclass(frozen=True)
class DDIM:
    """Denoising diffusion implicit model (Song, Meng, Ermon 2021, arXiv:2010.02502, eq. 12 and 16), written in EDM coordinates:

        x[i+1] = (sd_i / sigma_i) x[i] + (1 - sd_i / sigma_i) D_i + su_i xi_i,
        su_i^2 = eta^2 sigma_{i+1}^2 (sigma_i^2 - sigma_{i+1}^2) / sigma_i^2,        sd_i^2 = sigma_{i+1}^2 - su_i^2.

    `eta = 0` is DDIM, an exponential Euler step of the probability-flow ODE; `eta = 1` is DDPM with the posterior variance
    (Ho, Jain, Abbeel 2020, arXiv:2006.11239). Raises ConfigError unless 0 <= eta <= 1.
    """

    eta: float = 0.0
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"eta = {self.eta} is not between 0 (DDIM, deterministic) and 1 (DDPM); choose a value in [0, 1]")

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        current, following = sigmas[:-1], sigmas[1:]
        up = (self.eta**2 * following**2 * (current**2 - following**2) / current**2).sqrt()
        down = (following**2 - up**2).sqrt()
        return StepMap(sigmas, state=down / current, denoised_weight=1 - down / current, noise=up)


DDPM = alias("ddpm", DDIM, eta=1.0)
"""Ancestral sampling with the posterior variance (Ho, Jain, Abbeel 2020, arXiv:2006.11239, algorithm 2): `DDIM(eta=1)`."""
