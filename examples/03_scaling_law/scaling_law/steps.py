"""Steps of PIADM's exponential integrators and of DDIM on one grid, as coefficients."""

import torch
from torch import Tensor

from parampi.samplers import DDIM, StepMap


def exponential_steps(sigmas: Tensor, stochastic: bool) -> StepMap:
    """The score frozen over a step of `eps = log (1 + sigma_i^2)/(1 + sigma_(i+1)^2)`, the rest of the drift exact:

        x[i+1] = x[i] + g (1 - e^(-eps/2)) (1 + sigma_i^2)/sigma_i^2 (D - x[i]) + noise

    with g = 2 and noise of variance sigma_i^2 - sigma_(i+1)^2 (SDE), or g = 1 and none (ODE). Chen, Ren, Ying and
    Rotskoff 2024 (arXiv:2405.15986), in EDM coordinates.
    """
    here, there = sigmas[:-1] ** 2, sigmas[1:] ** 2
    shrink = 1 - ((1 + there) / (1 + here)).sqrt()
    drift = (2 if stochastic else 1) * shrink * (1 + here) / here
    noise = (here - there).sqrt() if stochastic else torch.zeros_like(drift)
    return StepMap(sigmas, state=1 - drift, denoised_weight=drift, noise=noise)


def ddim_steps(sigmas: Tensor, stochastic: bool) -> StepMap:
    """DDPM, or DDIM without noise."""
    return DDIM(1.0 if stochastic else 0.0).steps(sigmas)
