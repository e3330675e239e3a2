"""The scaling law's formulas against the package's own samplers and solvers."""

import math
from itertools import islice

import pytest
import torch
from scaling_law.corrector import Langevin, corrector_maps
from scaling_law.problems import GaussianAxes
from scaling_law.steps import exponential_steps, split_blocks
from scaling_law.sweeps import sweep_maps
from torch import Tensor

import parampi
from parampi.diffusion import Gaussian, block_grid, normal
from parampi.samplers import PIADMODE, PIADMSDE
from parampi.solvers import PIADM
from tests.examples.test_scaling_law_exact import swept

pytestmark = pytest.mark.slow

F64 = torch.float64
MEAN, VARIANCE = torch.tensor([0.5, -1.0, 2.0], dtype=F64), torch.tensor([3.0, 0.2, 0.9], dtype=F64)
GRID = block_grid(3, 5, 4.0, 0.01)
STOCHASTIC = {"sde": True, "ode": False}


def sampler(kind):
    return PIADMSDE(3) if kind == "sde" else PIADMODE(3, corrections=0)


@pytest.mark.parametrize("kind", STOCHASTIC)
def test_steps_are_those_of_the_samplers(kind):
    ours, theirs = exponential_steps(GRID.sigmas, STOCHASTIC[kind]), sampler(kind).steps(GRID.sigmas)
    for name in ("state", "denoised_weight", "noise"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert torch.allclose(mine, other[:, :1], rtol=1e-12, atol=1e-14) and not other[:, 1:].any()
    assert torch.equal(theirs.blocks, GRID.ends)


@pytest.mark.parametrize("kind", STOCHASTIC)
def test_sweeps_are_those_of_the_solver(kind, sweeps=2):
    """Every number of every member, with the package's noise, through all blocks."""
    drawn = parampi.sample(
        Gaussian(MEAN, VARIANCE), (3,), [4, 7], GRID.sigmas, sampler(kind), PIADM(sweeps, blocks=3), seed=9, sigma_data=1.0
    )
    steps = exponential_steps(GRID.sigmas, STOCHASTIC[kind])
    for field, member in zip(drawn.fields, (4, 7), strict=True):
        xi = normal(9, torch.tensor([member]), torch.arange(steps.steps + 1), (3,))[:, 0]
        for axis in range(3):
            x = math.sqrt(1 + float(steps.sigmas[0]) ** 2) * float(xi[0, axis])
            for part, begin in zip(split_blocks(steps, GRID.ends), [0, *GRID.ends.tolist()], strict=False):
                noise = xi[1 + begin : 1 + begin + part.steps, axis]
                x = swept(part, float(MEAN[axis]), float(VARIANCE[axis]), x, noise, "noise", "identity", sweeps)
            assert float(field[axis]) == pytest.approx(x, rel=1e-9)


def responses(steps, slopes: Tensor) -> tuple[Tensor, float]:
    """Return how the last point of a stencil with a linear denoiser depends on each of the noises, and on the first point."""
    n = steps.steps
    weights = torch.zeros(n + 1, n + 1, dtype=F64)
    weights[0, n] = 1.0
    for i in range(n):
        for tap in range(min(steps.taps, i + 1)):
            weights[i + 1] += (steps.state[i, tap] + steps.denoised_weight[i, tap] * slopes[i - tap]) * weights[i - tap]
        for tap in range(min(steps.noise.shape[1], i + 1)):
            weights[i + 1, i - tap] += steps.noise[i, tap]
    return weights[-1, :n], float(weights[-1, n])


def test_corrector_is_that_of_the_sampler():
    """Solved to the end by sweeps, against the sampler's points of positions and velocities one after another."""
    sigmas = GRID.sigmas[-4:]
    steps = PIADMODE(1, corrections=6, time=0.4, friction=1.3).steps(sigmas)
    problem = GaussianAxes(MEAN, VARIANCE, torch.ones(3, dtype=F64))
    predictor = next(sweep_maps(exponential_steps(sigmas, False), problem, "exact"))
    corrector = next(islice(corrector_maps(Langevin(0.4, 6, 1.3), problem, float(sigmas[-1])), 10, None))
    for axis, variance in enumerate(VARIANCE.tolist()):
        to_noise, to_start = responses(steps, variance / (variance + steps.sigmas[:-1] ** 2))
        assert float((predictor.gain * corrector.gain)[axis]) == pytest.approx(to_start, rel=1e-10)
        assert float(corrector.variance[axis]) == pytest.approx(float((to_noise**2).sum()), rel=1e-10)
