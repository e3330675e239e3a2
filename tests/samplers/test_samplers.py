"""What every sampler must satisfy: a sampler that is registered is tested here without a line of its own (rung 1)."""

import dataclasses

import pytest
import torch

from parampi import sigmas
from parampi.errors import ConfigError
from parampi.samplers import DDIM, DDPM, EDM, UniPC, check_grid
from tests.engines import CAUSAL
from tests.samplers.orders import order_of_means, order_of_variances
from tests.samplers.walk import walk

F64 = torch.float64
GRIDS = {
    "karras": sigmas.karras(12),
    "vp_linear": sigmas.vp_linear(50),
    "no final zero": sigmas.log_uniform(20, 0.01, 50.0),
    "one step": torch.tensor([3.0, 0.0], dtype=F64),
}
# of order 3 but for a last step of first order, whose error is small where the grid ends at a low level
BETTER = (UniPC,)
# churn is shared out among the steps, so that how much of a wrong start is forgotten is another thing for every number of them
STEPS_CHANGE_THE_NOISE = (EDM,)
WRONG = {
    "increasing": [0.0, 1.0, 2.0],
    "repeated": [3.0, 1.0, 1.0, 0.0],
    "negative": [3.0, 1.0, -0.1],
    "not a number": [3.0, float("nan"), 0.0],
    "not a number at the end": [3.0, 1.0, float("nan")],
    "infinite": [float("inf"), 1.0, 0.0],
    "zero before the end": [3.0, 0.0, 0.0],
    "one level": [3.0],
    "no level": [],
    "a matrix": [[3.0, 1.0], [2.0, 0.0]],
}

every_sampler = pytest.mark.parametrize("sampler", [kind() for kind in CAUSAL.values()], ids=list(CAUSAL))
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=list(GRIDS))
every_eta = pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])


@every_sampler
def test_is_a_frozen_dataclass_with_a_declared_order(sampler):
    assert dataclasses.is_dataclass(sampler) and isinstance(sampler.order, int) and sampler.order >= 1
    for option in dataclasses.fields(sampler):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(sampler, option.name, None)


@every_sampler
@every_grid
def test_coefficients_are_finite_numbers_per_step_and_tap(sampler, grid):
    """At least one step per level of the grid, of which none is left out but the first, which may be raised (churn)."""
    step_map = sampler.steps(grid)
    assert step_map.steps >= len(grid) - 1 and len(step_map.sigmas) == step_map.steps + 1
    assert step_map.sigmas[-1] == grid[-1] and set(grid[1:].tolist()) <= set(step_map.sigmas.tolist())
    for name in ("state", "denoised_weight", "noise"):
        numbers = getattr(step_map, name)
        assert len(numbers) == step_map.steps and numbers.ndim == 2, name
        assert numbers.dtype == F64 and numbers.device.type == "cpu" and numbers.isfinite().all(), name
        early = torch.arange(numbers.shape[1]) > torch.arange(len(numbers))[:, None]
        assert not numbers[early].any(), f"{name} reaches before the first point"
    assert step_map.state.shape == step_map.denoised_weight.shape
    assert step_map.stochastic == bool((step_map.noise != 0).any())
    assert step_map.start_level >= grid[0] and step_map.evaluations <= step_map.steps
    if step_map.blocks is not None:
        ends = step_map.blocks.tolist()
        assert ends == sorted(set(ends)) and ends[0] > 0 and ends[-1] == step_map.steps


@every_sampler
@every_grid
def test_a_field_that_is_its_own_denoised_field_stays(sampler, grid):
    """D(x) = x says that x is data already: without noise it stays, and velocities, which nothing pushes, are 0."""
    step_map = sampler.steps(grid)
    one = torch.ones(1, dtype=F64)
    states = walk(step_map, lambda x, sigma: x, one, [torch.zeros(1, dtype=F64)] * step_map.steps)
    positions = torch.cat([step_map.evaluated, torch.tensor([True])])
    torch.testing.assert_close(states[:, 0], positions.to(F64), rtol=0, atol=1e-11)


@every_sampler
def test_takes_lists_and_single_precision(sampler):
    expected = sampler.steps(torch.tensor([4.0, 2.0, 0.5], dtype=F64))
    for grid in ([4.0, 2.0, 0.5], torch.tensor([4.0, 2.0, 0.5], dtype=torch.float32)):
        assert torch.equal(sampler.steps(grid).state, expected.state)


@every_sampler
def test_refuses_what_is_no_noise_grid(sampler):
    for wrong in WRONG.values():
        with pytest.raises(ConfigError, match="sigmas"):
            sampler.steps(torch.tensor(wrong, dtype=F64))


def test_refusal_names_the_first_offending_level():
    with pytest.raises(ConfigError, match=r"sigmas\[1\] = 1 is followed by sigmas\[2\] = 1.5; sort them"):
        check_grid(torch.tensor([3.0, 1.0, 1.5, 2.0]))


@pytest.mark.slow
@every_sampler
def test_measured_order_of_the_variance_is_the_declared_one(sampler):
    measured = order_of_variances(sampler)
    assert measured > sampler.order - 0.06
    assert measured < sampler.order + 0.06 or type(sampler) in BETTER


@pytest.mark.slow
@every_sampler
def test_measured_order_of_the_mean_is_the_declared_one_or_better(sampler):
    assert order_of_means(sampler) > sampler.order - 0.06 or type(sampler) in STEPS_CHANGE_THE_NOISE


@every_eta
def test_ddim_ends_at_the_denoised_field(eta):
    """At sigma = 0 only data are left: nothing of the noisy state and no new noise."""
    step_map = DDIM(eta).steps(sigmas.karras(12))
    assert (step_map.state[-1], step_map.denoised_weight[-1], step_map.noise[-1]) == (0, 1, 0)


@every_eta
@every_grid
def test_ddim_keeps_and_adds_exactly_the_noise_of_the_next_level(eta, grid):
    step_map = DDIM(eta).steps(grid)
    level = (step_map.state[:, 0] * grid[:-1]) ** 2 + step_map.noise[:, 0] ** 2
    torch.testing.assert_close(level, grid[1:] ** 2, rtol=1e-12, atol=0)


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
def test_ddim_refuses_an_eta_outside_its_range(eta):
    with pytest.raises(ConfigError, match=r"between 0 .* and 1"):
        DDIM(eta)


def test_ddpm_is_ddim_with_the_posterior_variance():
    """su^2 of Ho, Jain, Abbeel 2020: (1 - abar_prev)/(1 - abar) beta / abar_prev in EDM coordinates."""
    grid = sigmas.vp_linear(50)
    step_map, same = DDPM().steps(grid), DDIM(1.0).steps(grid)
    assert torch.equal(step_map.noise, same.noise) and torch.equal(step_map.state, same.state)
    abar = 1 / (1 + grid**2)
    before, after = abar[1:], abar[:-1]
    posterior = (1 - before) / (1 - after) * (1 - after / before)
    torch.testing.assert_close(step_map.noise[:, 0] ** 2, posterior / before, rtol=1e-9, atol=1e-14)


def test_ddim_without_noise_keeps_the_predicted_noise():
    """eta = 0: x[i+1] = D + sigma_{i+1} (x - D) / sigma_i."""
    grid = sigmas.karras(12)
    step_map = DDIM(0.0).steps(grid)
    assert not step_map.stochastic
    torch.testing.assert_close(step_map.state[:, 0], grid[1:] / grid[:-1], rtol=1e-15, atol=0)
