"""The divergence that the theorem of PIADM-SDE bounds: of the law of all points jointly, not of the last one alone.

It is summed over the steps by the chain rule: conditioned on the points so far, data and sampler make the next point normal,
with a mean and a variance each. Both are known exactly for Gaussian data.
"""

import torch
from torch import Tensor

from parampi.samplers import StepMap
from scaling_law.problems import F64, GaussianAxes
from scaling_law.steps import split_blocks
from scaling_law.sweeps import step_slopes


def reverse_slopes(steps: StepMap, problem: GaussianAxes) -> Tensor:
    """Return `E[x[i+1] | x[i]]` per x[i] in the true reverse process, both without the mean, (m, n)."""
    return problem.noisy_variances(steps.sigmas[1:]) / problem.noisy_variances(steps.sigmas[:-1])


def path_divergence(steps: StepMap, problem: GaussianAxes) -> float:
    """Return the KL divergence of the true law of all points from the serial sampler's, with its start."""
    error = reverse_slopes(steps, problem) - step_slopes(steps, problem.variance)
    mean_part = error**2 * problem.noisy_variances(steps.sigmas[:-1]) / (2 * steps.noise[:, 0] ** 2)
    each = variance_part(steps, problem) + mean_part
    return start_divergence(problem, float(steps.sigmas[0])) + float((each.sum(1) * problem.count).sum())


def start_divergence(problem: GaussianAxes, sigma: float) -> float:
    """Return the KL divergence of the data at noise level sigma from the start."""
    return float(problem.divergence(*problem.start(sigma), sigma))


def variance_part(steps: StepMap, problem: GaussianAxes) -> Tensor:
    """Return the cost (m, n) of the single steps' variances, `noise^2` instead of `noise^2` times the true slope."""
    excess = reverse_slopes(steps, problem) - 1
    return (excess - torch.log1p(excess)) / 2


def swept_path_divergence(steps: StepMap, ends: Tensor, problem: GaussianAxes, sweeps: int) -> float:
    """Return the KL divergence of the true law of all points from that after `sweeps` sweeps of PIADM's model in each block.

    The last sweep adds the noises to scores of the sweep before, which is a function of the noises so far, so the chain rule
    holds. With the true process as x the distances `u_k = y_k - x` of the sweeps k < K from it obey, without noise,

        u_k[i+1] = u_k[i] - beta_i (u_(k-1)[i] - u_(K-1)[i]),      beta = 1 - dx[i+1]/dx[i],

    and the sampler's mean is off by `(1 - beta - true slope) x - beta u_(K-1)`. Second moments of all of these are carried on.
    """
    total = start_divergence(problem, float(steps.sigmas[0]))
    for block in split_blocks(steps, ends):
        total += block_divergence(block, problem, sweeps)
    return total


def block_divergence(block: StepMap, problem: GaussianAxes, sweeps: int) -> float:
    """Return the sum over a block's steps. Moments are of x, the mean, the block's start and u_0 ... u_(K-1), in this order."""
    true, beta = reverse_slopes(block, problem), 1 - step_slopes(block, problem.variance)
    fresh = true * block.noise[:, 0] ** 2
    scale = (1 + block.sigmas**2).sqrt() / (1 + block.sigmas[0] ** 2).sqrt()
    moments = first_moments(block, problem, sweeps)
    total = (variance_part(block, problem).sum(1) * problem.count).sum()
    for i in range(block.steps):
        error = torch.zeros_like(moments[:, 0])
        error[:, 0], error[:, -1] = 1 - beta[:, i] - true[:, i], -beta[:, i]
        cost = torch.einsum("mj,mjk,mk->m", error, moments, error) / (2 * block.noise[i, 0] ** 2)
        total = total + (cost * problem.count).sum()
        carry = transition(true[:, i], beta[:, i], float(scale[i + 1]), sweeps)
        moments = carry @ moments @ carry.mT
        moments[:, 0, 0] += fresh[:, i]
        # the first guess, u_0 = scale (start + mean) - mean - x, shares x's noise
        moments[:, 0, 3] -= fresh[:, i]
        moments[:, 3, 0] -= fresh[:, i]
        moments[:, 3, 3] += fresh[:, i]
    return float(total)


def first_moments(block: StepMap, problem: GaussianAxes, sweeps: int) -> Tensor:
    """Return the moments (m, 3 + K, 3 + K) at the block's start, where x is the start and all distances are 0."""
    moments = torch.zeros(len(problem.variance), 3 + sweeps, 3 + sweeps, dtype=F64)
    moments[:, [0, 0, 2, 2], [0, 2, 0, 2]] = problem.noisy_variance(float(block.sigmas[0]))[:, None]
    moments[:, 1, 1] = problem.mean**2
    return moments


def transition(true: Tensor, beta: Tensor, scale: float, sweeps: int) -> Tensor:
    """Return one step of (x, mean, start, u_0 ... u_(K-1)) without noise, (m, 3 + K, 3 + K)."""
    carry = torch.zeros(len(true), 3 + sweeps, 3 + sweeps, dtype=F64)
    carry[:, 0, 0] = true
    carry[:, 1, 1] = carry[:, 2, 2] = 1.0
    carry[:, 3, 0], carry[:, 3, 1], carry[:, 3, 2] = -true, scale - 1, scale
    for k in range(4, 3 + sweeps):
        carry[:, k, k] = 1.0
        carry[:, k, k - 1] -= beta
        carry[:, k, -1] += beta
    return carry
