"""DDIM, and DDPM as its stochastic end."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, alias, check_grid, register


@register("ddim")
@dataclass(frozen=True)
class DDIM:
    """Denoising diffusion implicit model (Song, Meng, Ermon 2021, arXiv:2010.02502, eq. 12 and 16), written in EDM coordinates:

        x[i+1] = (sd_i / sigma_i) x[i] + (1 - sd_i / sigma_i) D_i + su_i xi_i,
        su_i^2 = eta^2 sigma_{i+1}^2 (sigma_i^2 - sigma_{i+1}^2) / sigma_i^2,        sd_i^2 = sigma_{i+1}^2 - su_i^2.

    eta_scales  "deviation" of the noise, as above and in diffusers; or "variance", its square: su_i^2 has eta and not eta^2, as
                azula has it
    variance    of the noise where eta is 1: "posterior", as above; or "large", that of the training's own step (`fixed_large`
                of diffusers), su_i^2 = (sigma_i^2 - sigma_{i+1}^2) (1 + sigma_{i+1}^2) / (1 + sigma_i^2), none in a step to 0

    `eta = 0` is DDIM, an exponential Euler step of the probability-flow ODE; `eta = 1` is DDPM with the posterior variance
    (Ho, Jain, Abbeel 2020, arXiv:2006.11239). Raises ConfigError unless 0 <= eta <= 1.
    """

    eta: float = 0.0
    eta_scales: Literal["deviation", "variance"] = "deviation"
    variance: Literal["posterior", "large"] = "posterior"
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"eta = {self.eta} is not between 0 (DDIM, deterministic) and 1 (DDPM); choose a value in [0, 1]")
        if self.eta_scales not in ("deviation", "variance"):
            raise ConfigError(f"eta_scales = {self.eta_scales!r} is neither 'deviation' (diffusers) nor 'variance' (azula)")
        if self.variance not in ("posterior", "large"):
            raise ConfigError(f"variance = {self.variance!r} is neither 'posterior' nor 'large' (fixed_large of diffusers)")
        if self.variance == "large" and self.eta != 1:
            raise ConfigError(f"variance = 'large' is of DDPM, and eta = {self.eta}; give eta = 1, or leave variance out")

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        current, following = sigmas[:-1], sigmas[1:]
        share = self.eta**2 if self.eta_scales == "deviation" else self.eta
        up = (share * following**2 * (current**2 - following**2) / current**2).sqrt()
        down = (following**2 - up**2).sqrt()
        if self.variance == "large":
            added = ((current**2 - following**2) * (1 + following**2) / (1 + current**2)).sqrt()
            up = torch.where(following > 0, added, torch.zeros_like(added))
        return StepMap(sigmas, state=down / current, denoised_weight=1 - down / current, noise=up)


DDPM = alias("ddpm", DDIM, eta=1.0)
"""Ancestral sampling with the posterior variance (Ho, Jain, Abbeel 2020, arXiv:2006.11239, algorithm 2): `DDIM(eta=1)`."""
