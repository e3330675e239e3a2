"""Algorithms 1 and 2 of Karras, Aittala, Aila and Laine 2022 (arXiv:2206.00364), line by line; sigma(t) = t."""

import math

import torch

from parampi import sigmas
from parampi.samplers import EDM, Heun
from tests.samplers.walk import walk

F64 = torch.float64
GRIDS = {"18 steps to 0": sigmas.karras(18), "12 steps to 0.02": sigmas.karras(12, 0.02, 50.0, final_zero=False)}
OPTIONS = (
    {"s_churn": 40.0},
    {"s_churn": 80.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003},
    {"s_churn": 10.0},
    {"s_churn": 0.0, "s_noise": 1.1},
)


def algorithm_1(denoise, x, t):
    """Deterministic sampling by Heun's method."""
    count = len(t) - 1
    for i in range(count):
        d = (x - denoise(x, t[i])) / t[i]
        following = x + (t[i + 1] - t[i]) * d
        if t[i + 1] != 0:
            d_end = (following - denoise(following, t[i + 1])) / t[i + 1]
            following = x + (t[i + 1] - t[i]) * (d / 2 + d_end / 2)
        x = following
    return x


def algorithm_2(denoise, x, t, noises, s_churn=40.0, s_tmin=0.0, s_tmax=math.inf, s_noise=1.0):
    """Stochastic sampling; `noises[i]` is the standard normal field of step i."""
    count = len(t) - 1
    for i in range(count):
        gamma = min(s_churn / count, math.sqrt(2) - 1) if s_tmin <= t[i] <= s_tmax else 0.0
        raised = t[i] + gamma * t[i]
        x = x + (raised**2 - t[i] ** 2).clamp(min=0).sqrt() * s_noise * noises[i]
        d = (x - denoise(x, raised)) / raised
        following = x + (t[i + 1] - raised) * d
        if t[i + 1] != 0:
            d_end = (following - denoise(following, t[i + 1])) / t[i + 1]
            following = x + (t[i + 1] - raised) * (d / 2 + d_end / 2)
        x = following
    return x


def stochastic(sampler, options, denoise, shape, grid):
    """Relative difference of EDM's sampler and algorithm 2, from the same numbers."""
    start, *noises = torch.randn(len(grid), *shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    step_map = sampler.steps(grid)
    expected = algorithm_2(denoise, float(grid[0]) * start, grid, noises, **options)
    first = float(grid[0]) * start + sampler.raised(grid)[1][0] * noises[0]
    # the noise of algorithm 2's step i + 1 is that of the step that makes its point, number 2 i + 1
    own = [torch.zeros(shape, dtype=F64)] * step_map.steps
    for i in range(1, len(grid) - 1):
        own[2 * i - 1] = noises[i]
    end = walk(step_map, denoise, first, own)[-1]
    return float((end - expected).norm() / expected.norm())


def deterministic(denoise, shape, grid):
    start = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=F64) * float(grid[0])
    step_map, expected = Heun().steps(grid), algorithm_1(denoise, start, grid)
    end = walk(step_map, denoise, start, [torch.zeros(shape, dtype=F64)] * step_map.steps)[-1]
    return float((end - expected).norm() / expected.norm())


def differences(problems):
    """All options and grids: the row of the table, and what computes the largest difference over the problems."""
    for grid in GRIDS.values():
        heun = "heun", "Karras et al. 2022, algorithm 1", ""
        yield heun, lambda grid=grid: max(deterministic(*problem, grid) for problem in problems)
        for options in OPTIONS:
            edm = "edm", "Karras et al. 2022, algorithm 2", ", ".join(f"{name}={value:g}" for name, value in options.items())
            sampler = EDM(**options)
            yield (
                edm,
                lambda grid=grid, sampler=sampler, options=options: max(
                    stochastic(sampler, options, *problem, grid) for problem in problems
                ),
            )
