"""Functions of exponential integrators, and the step in log sigma, without cancellation."""

from math import factorial

import torch
from torch import Tensor

TERMS = 20


def log_steps(sigmas: Tensor) -> Tensor:
    """Return `h_i = log(sigma_i / sigma_{i+1})` (N,), infinite for a step to 0; exact to rounding for levels that are close
    too."""
    return torch.log1p((sigmas[:-1] - sigmas[1:]) / sigmas[1:])


def phi(k: int, z: Tensor) -> Tensor:
    """Return `phi_k(z) = (e^z - sum_{j<k} z^j / j!) / z^k`, 1/k! at 0, for k >= 1 and z <= 0 (-inf gives 0).

    phi_k(z) is the integral of e^((1-u) z) u^(k-1) / (k-1)! over u from 0 to 1. Its series within |z| < 1, and the recurrence
    `phi_k = (phi_{k-1} - 1/(k-1)!) / z` from expm1 beyond, where it is stable (Hochbruck and Ostermann 2010, Acta Numerica 19).
    """
    near = z.clamp(min=-1.0)
    series = torch.full_like(z, 1 / factorial(TERMS + k))
    for j in reversed(range(TERMS)):
        series = series * near + 1 / factorial(j + k)
    far = z.clamp(max=-1.0)
    value = torch.expm1(far) / far
    for j in range(1, k):
        value = (value - 1 / factorial(j)) / far
    return torch.where(z > -1.0, series, value)
