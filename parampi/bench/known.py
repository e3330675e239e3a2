"""Mean and spectrum of the closed-form problems, for solvers that know the data."""

import torch
from torch import Tensor

from parampi.basis import EOF, Fourier
from parampi.diffusion.exact import FieldMixture, GaussianMixture
from parampi.solvers.spectral.prior import SpectralPrior


def known_statistics(problem: object) -> SpectralPrior | None:
    """Return the spectral prior of a mixture; None for other problems.

    The covariance of a mixture of Gaussians is that of its components plus that of their means. In 64 dimensions the basis are
    the directions in which the means differ; for fields it is Fourier modes, with the components' variance and their power.
    """
    if isinstance(problem, GaussianMixture):
        return mixture(problem)
    if isinstance(problem, FieldMixture):
        return regimes(problem)
    return None


def mixture(problem: GaussianMixture) -> SpectralPrior:
    mean = problem.means.mean(0)
    values, vectors = directions(problem.means - mean)
    spectrum = torch.cat([values, torch.zeros(1, dtype=values.dtype)]) + problem.variance
    basis = EOF(problem.shape, vectors=vectors.reshape(-1, *problem.shape))
    return SpectralPrior(mean.reshape(problem.shape), spectrum, basis)


def directions(means: Tensor) -> tuple[Tensor, Tensor]:
    """Return variances (r,) and directions (r, D) of centred means (R, D)."""
    _, sizes, vectors = torch.linalg.svd(means, full_matrices=False)
    varied = sizes > 1e-9 * sizes.max()
    return sizes[varied] ** 2 / len(means), vectors[varied].contiguous()


def regimes(problem: FieldMixture) -> SpectralPrior:
    mean = problem.means.mean(0)
    power = problem.spectrum + ((problem.means - mean).abs() ** 2).mean(0)
    rows, columns = Fourier(problem.shape).wavevector.long()
    # real fields: a mode and its opposite have the same power
    flipped = torch.where(columns < 0, -rows, rows) % problem.n
    field = torch.fft.irfft2(mean, s=(problem.n, problem.n), norm="ortho")
    return SpectralPrior(field[None], power[flipped, columns.abs()], "fourier")
