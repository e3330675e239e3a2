"""The reference that the engine is judged by: DDIM(eta) one step after another, written from the paper's formulas alone.

It shares nothing with the engine but the noise numbers, whose only definition is `parampi.diffusion.noise.normal`. For equal
bits it computes in the same order (state * x, + denoised_weight * D, + noise * xi), takes torch's square root of as many
numbers, and calls the denoiser with one field in memory of its own, as the engine does in `bitwise` mode.
"""

import math

import torch

from parampi.diffusion.noise import normal


def serial(denoiser, shape, member, sigmas, eta, seed=0, sigma_data=1.0, dtype=torch.float64):
    """All states (N + 1, *shape) of one member of DDIM(eta) (Song, Meng, Ermon 2021, arXiv:2010.02502) in EDM coordinates.

    Noise i + 1 belongs to the step from point i to point i + 1, noise 0 to the start N(0, sigma_0^2 + sigma_data^2).
    """
    a, b = sigmas[:-1], sigmas[1:]
    fresh = (eta * eta * (b * b) * (a * a - b * b) / (a * a)).sqrt()
    keep = (b * b - fresh * fresh).sqrt() / a
    x = math.sqrt(sigmas[0].item() ** 2 + sigma_data**2) * draw(seed, member, 0, shape, dtype)
    states = [x]
    for i, (level, keeps, adds) in enumerate(zip(a, keep.tolist(), fresh.tolist(), strict=True)):
        x = keeps * x + (1 - keeps) * denoiser(x[None], level[None].to(dtype, copy=True))[0]
        if eta:
            x = x + adds * draw(seed, member, i + 1, shape, dtype)
        states.append(x)
    return torch.stack(states)


def draw(seed, member, point, shape, dtype):
    """The standard normal field (*shape) of one member at one point."""
    return normal(seed, torch.tensor([member]), torch.tensor([point]), shape, dtype=dtype)[0, 0]
