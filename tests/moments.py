"""What a sampler makes of Gaussian data, exactly: mean and covariance carried through the coefficients of its step map."""

import torch
from torch import Tensor

from parampi.samplers import StepMap

F64 = torch.float64


class CorrelatedGaussian:
    """The denoiser of N(mean, covariance), `D = mean + C (C + sigma^2)^-1 (x - mean)`, fields of any shape with d entries."""

    sigma_data = 1.0

    def __init__(self, mean: Tensor, covariance: Tensor):
        """mean (*shape), float64; covariance (d, d)."""
        self.mean, self.covariance, self.shape = mean, covariance, tuple(mean.shape)
        self.values, self.vectors = torch.linalg.eigh(covariance)

    def gain(self, sigma: float) -> Tensor:
        """dD/dx (d, d)."""
        return (self.vectors * (self.values / (self.values + sigma**2))) @ self.vectors.T

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        shift = (x - self.mean).flatten(1) @ self.vectors
        damped = shift * (self.values / (self.values + sigma.to(x)[:, None] ** 2))
        return self.mean + (damped @ self.vectors.T).view(x.shape)


def carried(step_map: StepMap, problem: CorrelatedGaussian, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) at the last point, from those at the first; noises are independent of all else."""
    centre = problem.mean.flatten()
    unit = torch.eye(len(centre), dtype=F64)
    numbers = (step_map.sigmas[:-1], step_map.state, step_map.drift, step_map.noise)
    for sigma, state, drift, noise in zip(*(n.tolist() for n in numbers), strict=True):
        gain = problem.gain(sigma)
        slope = state * unit + drift * gain
        mean = slope @ mean + drift * (centre - gain @ centre)
        covariance = slope @ covariance @ slope.T + noise**2 * unit
    return mean, covariance
