"""A mixture of two Gaussians in any dimension, divided into what is exact and one axis that is simulated.

Half of the data are N(mu, v), half N(-mu, v). With u the coordinate along mu the denoiser is

    along mu    D = v/(v + sigma^2) u + sigma^2/(v + sigma^2) |mu| tanh(|mu| u/(v + sigma^2))
    across      D = v/(v + sigma^2) x

The axes across are Gaussian data and independent of u, and u of them: samplers and sweeps keep them independent, and
divergences add up. Those across are exact; u is drawn many times, and its divergence estimated from a histogram.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scaling_law.problems import F64, GaussianAxes, TrueStartAxes, one_kind


@dataclass(frozen=True)
class TwoGaussians:
    """Two components at a distance that grows with the dimension, so that entries have unit second moment on average."""

    dim: int
    variance: float = 0.25

    @property
    def distance(self) -> float:
        """Return |mu|."""
        return math.sqrt(self.dim * (1 - self.variance))

    @property
    def across(self) -> GaussianAxes:
        """Return the axes across, exactly."""
        return one_kind(0.0, self.variance, self.dim - 1)

    @property
    def component(self) -> GaussianAxes:
        """Return one of the components, with the axis along mu as the second kind, from its own start."""
        mean, count = (torch.tensor(pair, dtype=F64) for pair in ((0.0, self.distance), (self.dim - 1.0, 1.0)))
        return TrueStartAxes(mean, torch.full_like(mean, self.variance), count)

    def denoise(self, u: Tensor, sigmas: Tensor) -> Tensor:
        """Return D along mu, (..., n) at noise levels (n,)."""
        total = self.variance + sigmas**2
        return (self.variance * u + sigmas**2 * self.distance * torch.tanh(self.distance * u / total)) / total

    def start_divergence(self, horizon: float) -> float:
        """Return the KL divergence of the data at time `horizon` from N(0, 1).

        The part across is a formula, the part along mu an integral by the trapezoidal rule.
        """
        alpha = math.exp(-horizon / 2)
        variance, centre = alpha**2 * self.variance - math.expm1(-horizon), alpha * self.distance
        y = torch.linspace(-centre - 12, centre + 12, 20001, dtype=F64)
        log_density = torch.logaddexp(-((y - centre) ** 2) / (2 * variance), -((y + centre) ** 2) / (2 * variance))
        log_density = log_density - math.log(2) - math.log(2 * math.pi * variance) / 2
        log_ratio = log_density + y**2 / 2 + math.log(2 * math.pi) / 2
        along = float(torch.trapezoid(log_density.exp() * log_ratio, y))
        return along + (self.dim - 1) / 2 * (variance - 1 - math.log(variance))


def quantiles(mixture: TwoGaussians, sigma: float, bins: int) -> Tensor:
    """Return the borders (bins - 1,) of equally likely bins along mu at noise level sigma, by bisection."""
    scale = math.sqrt(2 * (mixture.variance + sigma**2))
    target = torch.arange(1, bins, dtype=F64) / bins
    low, high = (torch.full_like(target, side * (mixture.distance + 10 * scale)) for side in (-1, 1))
    for _ in range(100):
        middle = (low + high) / 2
        errors = torch.erf((middle - mixture.distance) / scale) + torch.erf((middle + mixture.distance) / scale)
        below = 0.5 + errors / 4 < target
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def histogram_divergence(u: Tensor, mixture: TwoGaussians, sigma: float, bins: int = 32) -> float:
    """Return the KL divergence of the true law along mu from that of draws u (n,), both in equally likely bins, less its bias.

    The bias is (bins - 1)/2n; a scatter of about sqrt(bins/2)/n remains. Differences within a bin are not measured.
    """
    ends = torch.tensor([-1e13, 1e13], dtype=F64)
    borders = torch.cat([ends[:1], quantiles(mixture, sigma, bins), ends[1:]])
    counts = torch.histogram(u.clamp(-1e12, 1e12), borders).hist
    share = (counts + 0.5) / (len(u) + 0.5 * bins)
    return float(-(share * bins).log().mean()) - (bins - 1) / (2 * len(u))
