"""Steps of PIADM's exponential integrators and of DDIM on one grid, as coefficients, and their division into blocks."""

import torch
from torch import Tensor

from parampi.samplers import DDIM, StepMap


def exponential_steps(sigmas: Tensor, stochastic: bool) -> StepMap:
    """Return steps in which the score is frozen and the rest of the drift is exact.

    With `eps = log (1 + sigma_i^2)/(1 + sigma_(i+1)^2)`

        x[i+1] = x[i] + g (1 - e^(-eps/2)) (1 + sigma_i^2)/sigma_i^2 (D - x[i]) + noise

    with g = 2 and noise of variance sigma_i^2 - sigma_(i+1)^2 (SDE), or g = 1 and none (ODE). Chen, Ren, Ying and
    Rotskoff 2024 (arXiv:2405.15986), in EDM coordinates.
    """
    before, after = sigmas[:-1] ** 2, sigmas[1:] ** 2
    shrink = 1 - ((1 + after) / (1 + before)).sqrt()
    weight = (2 if stochastic else 1) * shrink * (1 + before) / before
    noise = (before - after).sqrt() if stochastic else torch.zeros_like(weight)
    return StepMap(sigmas, state=1 - weight, denoised_weight=weight, noise=noise)


def ddim_steps(sigmas: Tensor, stochastic: bool) -> StepMap:
    """Return the steps of DDPM, or of DDIM without noise."""
    return DDIM(1.0 if stochastic else 0.0).steps(sigmas)


def split_blocks(steps: StepMap, ends: Tensor) -> list[StepMap]:
    """Return the steps of each block; `ends` are the points at which blocks end."""
    begins = [0, *ends[:-1].tolist()]
    return [
        StepMap(steps.sigmas[a : b + 1], steps.state[a:b], steps.denoised_weight[a:b], steps.noise[a:b])
        for a, b in zip(begins, ends.tolist(), strict=True)
    ]
