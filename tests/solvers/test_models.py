"""Linear models and first guesses for steps that read several points."""

import math

import numpy as np
import pytest
import torch

from parampi.solvers.linear_models import (
    Trend,
    constant_guess,
    frozen_guess,
    gaussian_guess,
    gaussian_response,
    linear_model,
    scale_slopes,
)
from tests.stencils import heun, langevin, levels, random_stencil, stencils

F64 = torch.float64
STENCILS = stencils()
every_stencil = pytest.mark.parametrize("step_map", STENCILS.values(), ids=list(STENCILS))


@every_stencil
@pytest.mark.parametrize(("name", "response"), [("noise", 1.0), ("data", 0.0)])
def test_named_models_are_the_steps_slopes_for_a_response(step_map, name, response):
    model = linear_model(name, step_map, 0.7)
    for i in range(step_map.steps):
        for tap in range(step_map.taps):
            expected = step_map.state[i, tap] + response * step_map.denoised_weight[i, tap] if tap <= i else 0.0
            assert model.slopes[i, tap] == expected
    assert (model.response == response).all()


def gaussian_path(step_map, sigma_data):
    """States (N + 1,) of a scalar path for N(0, sigma_data^2), one step after another, from 1; and its noises (N,)."""
    noises = torch.randn(step_map.steps, generator=torch.Generator().manual_seed(0), dtype=F64)
    x, response = [torch.tensor(1.0, dtype=F64)], gaussian_response(step_map, sigma_data)
    for i in range(step_map.steps):
        new = torch.tensor(0.0, dtype=F64)
        for tap in range(min(step_map.taps, i + 1)):
            new = new + (step_map.state[i, tap] + step_map.denoised_weight[i, tap] * response[i - tap]) * x[i - tap]
        for q in range(min(step_map.noise.shape[1], i + 1)):
            new = new + step_map.noise[i, q] * noises[i - q]
        x.append(new)
    return torch.stack(x), noises


@every_stencil
def test_the_gaussian_guess_is_the_sampler_s_path_for_gaussian_data(step_map):
    expected, noises = gaussian_path(step_map, 0.7)
    guess = gaussian_guess(step_map, 0.7)
    x = [expected[0]]
    for i in range(step_map.steps):
        new = sum(guess.slopes[i, tap] * x[i - tap] for tap in range(min(step_map.taps, i + 1)))
        x.append(new + sum(guess.noise[i, q] * noises[i - q] for q in range(min(guess.noise.shape[1], i + 1))))
    torch.testing.assert_close(torch.stack(x), expected, rtol=1e-12, atol=1e-12)


@every_stencil
def test_the_constant_guess_keeps_states_on_their_scale_and_velocities_with_velocities(step_map):
    """Each point is guessed from one point, of its own kind where there is one: `x / sqrt(sigma^2 + sigma_data^2)` is kept."""
    slopes, scale = scale_slopes(step_map, 0.7), (step_map.sigmas**2 + 0.49).sqrt()
    assert not constant_guess(step_map, 0.7).noise.any()
    for i in range(step_map.steps):
        reads = torch.nonzero(slopes[i]).flatten().tolist()
        assert len(reads) <= 1 and all(tap <= i for tap in reads)
        if reads:
            assert slopes[i, reads[0]] == pytest.approx(float(scale[i + 1] / scale[i - reads[0]]))


def test_one_tap_keeps_the_scale_of_the_point_before():
    step_map = random_stencil(0, 6)
    scale = (step_map.sigmas**2 + 1).sqrt()
    torch.testing.assert_close(scale_slopes(step_map, 1.0)[:, 0], scale[1:] / scale[:-1])


def test_positions_follow_positions():
    slopes = scale_slopes(langevin(4), 1.0)
    # the first velocity has none before it; from there on each point is as the one two before
    torch.testing.assert_close(slopes, torch.tensor([[0.0, 0.0], *[[0.0, 1.0]] * 7], dtype=slopes.dtype), rtol=1e-15, atol=0)


def test_the_frozen_guess_takes_all_drift_from_one_field():
    step_map = heun(levels(5))
    guess = frozen_guess(step_map)
    assert torch.equal(guess.slopes, step_map.state) and torch.equal(guess.noise, step_map.noise)
    assert guess.trend == Trend(math.inf, linear=False)
    assert (guess.trend.share(np.array([0.1, 30.0])) == 1).all()
