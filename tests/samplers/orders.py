"""Orders of convergence on Gaussian data, for which mean and variance are carried exactly."""

from functools import cache
from itertools import pairwise
from math import log2

import torch

from parampi import sigmas
from tests.moments import CorrelatedGaussian, carried

F64 = torch.float64
VARIANCES = torch.tensor([0.25, 1.0, 4.0], dtype=F64)
PROBLEM = CorrelatedGaussian(torch.ones(3, dtype=F64), VARIANCES.diag())


def log_uniform(steps):
    return sigmas.log_uniform(steps, 0.05, 4.0)


@cache
def moments(sampler, steps, offset=0.0, grid=log_uniform):
    """Means (3,) and variances (3,) at the end for data N(1, v), v in VARIANCES, begun at the exact marginals but for an offset
    of the means."""
    step_map = sampler.steps(grid(steps))
    start = torch.ones(3, dtype=F64) + offset, (VARIANCES + step_map.start_level**2).diag()
    mean, covariance = carried(step_map, PROBLEM, *start)
    return mean, covariance.diagonal()


def order_of_variances(sampler, steps=400, grid=log_uniform):
    """From `steps` to twice as many. The exact answer is the marginal at the end, for ODE and SDE alike."""
    exact = VARIANCES + grid(steps)[-1] ** 2
    coarse, fine = ((moments(sampler, n, 0.0, grid)[1] - exact).abs().sum() for n in (steps, 2 * steps))
    return log2(coarse / fine)


def order_of_means(sampler, steps=200, grid=log_uniform):
    """By successive halving: a mean that is off at the start is forgotten at a rate that depends on the sampler."""
    means = [moments(sampler, steps * n, 3.0, grid)[0] for n in (1, 2, 4)]
    coarse, fine = ((a - b).abs().sum() for a, b in pairwise(means))
    return log2(coarse / fine) if coarse > 1e-13 else float("inf")
