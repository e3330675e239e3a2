"""Variances of modes and of shells, from samples."""

from typing import NamedTuple

import torch
from torch import Tensor

from parampi.basis.base import Basis
from parampi.errors import ConfigError


class Variance(NamedTuple):
    """Variances and mean of samples: `variance` (S,) of shells or (M,) of modes, in units of what white noise of unit variance
    has there; `mean` (*shape)."""

    variance: Tensor
    mean: Tensor


def mode_variance(basis: Basis, fields: Tensor) -> Variance:
    """Return the variance of every mode of samples (N, *shape) about their mean, and the mean; both float64.

        v = 1 / ((N - 1) noise) sum_n (forward(x_n) - forward(mean))^2

    so that the best linear denoiser that is diagonal in the modes has the response `v / (v + sigma^2)`. Zero where a mode is
    always zero. ConfigError for less than two samples.
    """
    modes, mean = centred_squares(basis, fields)
    noise = basis.noise.to(modes)
    return Variance(torch.where(noise > 0, modes / noise, 0.0), mean)


def variance(basis: Basis, fields: Tensor) -> Variance:
    """Return the variance of samples (N, *shape) about their mean per shell, `sum(weight variance) / sum(weight noise)`, and
    the mean.

    For the orthonormal bases this is the mean over the shell's degrees of freedom; summed over all of those it is the samples'
    variance, summed over all points.
    """
    modes, mean = centred_squares(basis, fields)
    return Variance(basis.shell_sums(modes) / basis.shell_sums(basis.noise.to(modes)), mean)


def centred_squares(basis: Basis, fields: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unbiased variance (M,) of every mode, and the mean field."""
    if len(fields) < 2:
        raise ConfigError(f"a variance needs at least 2 samples, got {len(fields)}")
    mean = fields.mean(0, dtype=torch.float64)
    total = torch.zeros(basis.modes, dtype=torch.float64, device=fields.device)
    for field in fields:
        total += basis.forward(field.double() - mean).square()
    return total / (len(fields) - 1), mean
