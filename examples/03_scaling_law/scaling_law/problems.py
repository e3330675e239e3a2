"""Gaussian data of any dimension with few distinct modes, and exact divergences between Gaussians."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

F64 = torch.float64


@dataclass(frozen=True)
class Modes:
    """Gaussian data that are independent along axes: m kinds of axes, each with its mean and variance and how many there are.

    mean, variance, count  (m,) float64; counts add up to the dimension and need not be whole
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    @property
    def dim(self) -> int:
        return round(float(self.count.sum()))

    @property
    def lipschitz(self) -> float:
        """Of the score at the end, without early stop: one over the least variance."""
        return 1 / float(self.variance.min())

    def spread(self, sigma: float) -> Tensor:
        """Variances of `x0 + sigma n`, (m,)."""
        return self.variance + sigma**2

    def spread_at(self, sigmas: Tensor) -> Tensor:
        """The same at noise levels (n,), (m, n)."""
        return self.variance[:, None] + sigmas**2

    def start(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Mean error and variance (m,) of the published start, N(0, 1) in variance-preserving coordinates."""
        return -self.mean, torch.full_like(self.variance, 1 + sigma**2)

    def divergence(self, shift: Tensor, variance: Tensor, sigma: float) -> Tensor:
        """KL divergence of the data at noise level sigma from sampled fields of this mean error and variance, (..., m) both."""
        target = self.spread(sigma)
        excess = (target - variance) / variance
        each = ((excess - torch.log1p(excess)) + shift**2 / variance) / 2
        return (each * self.count).sum(-1).nan_to_num(math.inf, math.inf, math.inf)


class Started(Modes):
    """The same data, but sampled from the right start: what steps and sweeps cost alone."""

    def start(self, sigma: float) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(self.mean), self.spread(sigma)


def spectrum(dim: int, shells: int = 8, slope: float = 2.0, mean: float = 0.5) -> Modes:
    """The same power law for every dimension: `shells` variances `k^-slope`, equally many of each, 1 on average."""
    variance = torch.arange(1, shells + 1, dtype=F64) ** -slope
    count = torch.full((shells,), dim / shells, dtype=F64)
    return Modes(torch.full((shells,), mean, dtype=F64), variance / variance.mean(), count)


def field(dim: int, slope: float = 3.0, mean: float = 0.5) -> Modes:
    """A random field on a square of sqrt(dim) points a side, `k^-slope` in two dimensions: the more points, the finer scales.

    Wavenumbers 1 ... sqrt(dim)/2 with as many modes as there are in a ring, 1 on average. The least variance falls as dim^-1/2,
    so the score is the steeper the larger the dimension, which the theory does not allow for.
    """
    wavenumber = torch.arange(1, max(2, math.isqrt(dim) // 2) + 1, dtype=F64)
    count = wavenumber * dim / wavenumber.sum()
    variance = wavenumber**-slope
    variance = variance * dim / (variance * count).sum()
    return Modes(torch.full_like(variance, mean), variance, count)


PROBLEMS: dict[str, Callable[[int], Modes]] = {"spectrum": spectrum, "field": field}
