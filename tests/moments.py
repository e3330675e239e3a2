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
    """Mean (d,) and covariance (d, d) at the last point, from those at the first; noises are independent of all else.

    What is carried is the joint law of the last K states and Q noises, one block of d rows for each, the latest first.
    """
    centre, taps, draws = problem.mean.flatten(), step_map.taps, step_map.noise.shape[1]
    d, rows = len(centre), taps + draws
    joint, spread = torch.zeros(rows * d, dtype=F64), torch.zeros(rows * d, rows * d, dtype=F64)
    joint[:d], spread[:d, :d] = mean, covariance
    fresh = slice(taps * d, (taps + 1) * d)
    for i in range(step_map.steps):
        joint[fresh], spread[fresh, :], spread[:, fresh] = 0.0, 0.0, 0.0
        spread[fresh, fresh] = torch.eye(d, dtype=F64)
        slope, offset = one_step(step_map, problem, i, centre)
        joint, spread = slope @ joint + offset, slope @ spread @ slope.T
    return joint[:d], spread[:d, :d]


def one_step(step_map: StepMap, problem: CorrelatedGaussian, i: int, centre: Tensor) -> tuple[Tensor, Tensor]:
    """The map of the last states and noises, the noise of this step among them, to those that the next step finds."""
    taps, draws, d = step_map.taps, step_map.noise.shape[1], len(centre)
    unit, size = torch.eye(d, dtype=F64), (taps + draws) * d
    slope, offset = torch.zeros(size, size, dtype=F64), torch.zeros(size, dtype=F64)
    for tap in range(taps):
        if i >= tap:
            gain = problem.gain(float(step_map.sigmas[i - tap]))
            denoised_weight = float(step_map.denoised_weight[i, tap])
            slope[:d, tap * d : (tap + 1) * d] = float(step_map.state[i, tap]) * unit + denoised_weight * gain
            offset[:d] += denoised_weight * (centre - gain @ centre)
    for tap in range(draws):
        at = (taps + tap) * d
        slope[:d, at : at + d] = float(step_map.noise[i, tap]) * unit
    for older in [*range(1, taps), *range(taps + 1, taps + draws)]:  # each moves one place back
        slope[older * d : (older + 1) * d, (older - 1) * d : older * d] = unit
    return slope, offset
