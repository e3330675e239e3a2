"""Gaussian data of any dimension with few distinct variances, and exact divergences between Gaussians."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

F64 = torch.float64


@dataclass(frozen=True)
class GaussianAxes:
    """Gaussian data with independent axes of m kinds; all axes of a kind have the same mean and variance.

    mean, variance, count  (m,) float64; the counts add up to the dimension and need not be whole
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    @property
    def dim(self) -> int:
        """Return the dimension."""
        return round(float(self.count.sum()))

    @property
    def lipschitz(self) -> float:
        """Return the Lipschitz constant of the data's score: one over the least variance."""
        return 1 / float(self.variance.min())

    def noisy_variance(self, sigma: float) -> Tensor:
        """Return the variances (m,) of `x0 + sigma n`."""
        return self.variance + sigma**2

    def noisy_variances(self, sigmas: Tensor) -> Tensor:
        """Return the variances (m, n) at noise levels (n,)."""
        return self.variance[:, None] + sigmas**2

    def start(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Return mean error and variance (m,) of the published start, N(0, 1) in variance-preserving coordinates."""
        return -self.mean, torch.full_like(self.variance, 1 + sigma**2)

    def divergence(self, mean_error: Tensor, variance: Tensor, sigma: float) -> Tensor:
        """Return the KL divergence of data at level sigma from samples with this mean error and variance, (..., m) both."""
        excess = (self.noisy_variance(sigma) - variance) / variance
        each = ((excess - torch.log1p(excess)) + mean_error**2 / variance) / 2
        return (each * self.count).sum(-1).nan_to_num(math.inf, math.inf, math.inf)


class TrueStartAxes(GaussianAxes):
    """The same data, sampled from the right start, so that only steps and sweeps make errors."""

    def start(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Return no mean error and the data's own variance."""
        return torch.zeros_like(self.mean), self.noisy_variance(sigma)


def one_kind(mean: float, variance: float, count: float) -> GaussianAxes:
    """Return data whose axes are all alike."""
    return GaussianAxes(*(torch.tensor([number], dtype=F64) for number in (mean, variance, count)))


def spectrum(dim: int, shells: int = 8, slope: float = 2.0, mean: float = 0.5) -> GaussianAxes:
    """Return the same power law for every dimension: `shells` variances `k^-slope`, equally many of each, 1 on average."""
    variance = torch.arange(1, shells + 1, dtype=F64) ** -slope
    count = torch.full((shells,), dim / shells, dtype=F64)
    return GaussianAxes(torch.full((shells,), mean, dtype=F64), variance / variance.mean(), count)


def field(dim: int, slope: float = 3.0, mean: float = 0.5) -> GaussianAxes:
    """Return a random field on a square of sqrt(dim) points a side, `k^-slope` in two dimensions: more points, finer scales.

    Wavenumbers are 1 ... sqrt(dim)/2 with as many modes as there are in a ring, 1 on average. The least variance falls as
    dim^-1/2: the score gets steeper as the dimension grows, which the theory does not allow for.
    """
    wavenumber = torch.arange(1, max(2, math.isqrt(dim) // 2) + 1, dtype=F64)
    count = wavenumber * dim / wavenumber.sum()
    variance = wavenumber**-slope
    variance = variance * dim / (variance * count).sum()
    return GaussianAxes(torch.full_like(variance, mean), variance, count)


PROBLEMS: dict[str, Callable[[int], GaussianAxes]] = {"spectrum": spectrum, "field": field}
