"""The forecast problem of Lorenz-96: its simulator is of the order it claims, its networks are better than persistence."""

import json
import math
from itertools import pairwise

import pytest
import torch
from safetensors import safe_open

from parampi.bench import lorenz96_training
from parampi.bench.lorenz96 import (
    FORCING,
    LEADS,
    NOISE,
    STEP,
    Lorenz96Network,
    advance,
    advection,
    attractor,
    lorenz96,
    runge_kutta,
    simulate,
    tendency,
    weights_path,
)
from parampi.errors import ConfigError


@pytest.fixture(scope="module")
def states():
    return attractor(16, seed=100)[:, None]


def test_advection_conserves_the_sum_of_squares(states):
    rate = (states * advection(states)).sum(-1)
    assert rate.abs().max() < 1e-12 * (states * advection(states)).abs().sum(-1).max()


def test_the_resting_state_stays(states):
    rest = torch.full((1, 40), FORCING, dtype=torch.float64)
    assert torch.equal(tendency(rest), torch.zeros_like(rest))
    assert not torch.equal(tendency(states), torch.zeros_like(states))


def test_steps_are_of_order_four(states):
    def after(steps):
        x = states
        for _ in range(steps):
            x = runge_kutta(x, 0.2 / steps)
        return x

    reference = after(256)
    errors = [(after(steps) - reference).abs().max().item() for steps in (8, 16, 32)]
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert all(3.7 < order < 4.5 for order in orders), (errors, orders)


def test_noise_has_the_stated_strength():
    """One step of many states that are the same: the noise is all that sets them apart."""
    rest = torch.full((2000, 40), FORCING, dtype=torch.float64)
    kicked = advance(rest, STEP, torch.Generator().manual_seed(0)) - rest
    expected = NOISE * math.sqrt(STEP)
    assert abs(kicked.std().item() - expected) < 4 * expected / math.sqrt(2 * kicked.numel())


def test_simulations_are_independent_of_how_many_lead_times_follow():
    assert torch.equal(simulate(2, 3, 0.1, seed=5)[:, :2], simulate(2, 1, 0.1, seed=5))


@pytest.mark.parametrize("lead", LEADS)
def test_weights_are_small_and_of_their_lead_time(lead):
    problem = lorenz96(lead)
    assert weights_path(lead).stat().st_size < 150_000
    assert problem.lead == lead and problem.starts.shape == (8, 1, 40) and problem.starts.dtype == torch.float64
    assert all(parameter.dtype == torch.float64 for parameter in problem.network.parameters())
    assert problem is lorenz96(lead)


def test_other_lead_times_are_refused():
    with pytest.raises(ConfigError, match=r"lead time 0\.3; take one of 0\.1, 0\.2"):
        lorenz96(0.3)


@pytest.mark.parametrize("lead", LEADS)
def test_forecasts_are_far_better_than_persistence(lead, states):
    """The mean of the change, which is what the network denoises pure noise to."""
    problem = lorenz96(lead)
    generator = torch.Generator().manual_seed(7)
    after = advance(states, lead, generator)
    noise = 40.0 * torch.randn(states.shape, generator=generator, dtype=torch.float64)
    drawn = problem.network(noise, torch.full((16,), 40.0, dtype=torch.float64), problem.condition(states))
    assert drawn.shape == states.shape and drawn.dtype == torch.float64
    error = (problem.update(states, drawn) - after).square().mean().sqrt()
    persistence = (states - after).square().mean().sqrt()
    assert error < 0.2 * persistence, (error, persistence)


def test_the_change_undoes_the_update(states):
    problem = lorenz96(0.2)
    drawn = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(problem.change(states, problem.update(states, drawn)), drawn)


def test_the_network_commutes_with_turns_of_the_ring(states):
    network, condition = lorenz96(0.1).network, lorenz96(0.1).condition(states)
    sigma = torch.logspace(-2, 1, 16, dtype=torch.float64)
    x = sigma[:, None, None] * torch.randn(16, 1, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    turned = network(x.roll(7, -1), sigma, condition.roll(7, -1))
    torch.testing.assert_close(turned, network(x, sigma, condition).roll(7, -1))


def test_training_aims_at_the_denoiser(states):
    """The loss of a network is the error of its denoised fields, in units of what its own output is multiplied by."""
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(0)
    network = Lorenz96Network().double()
    x0, noise = (torch.randn(16, 1, 40, generator=generator, dtype=torch.float64) for _ in range(2))
    sigma, condition = torch.logspace(-2, 1, 16, dtype=torch.float64), states / 4
    denoised = network(x0 + sigma[:, None, None] * noise, sigma, condition)
    weight = (1 + 1 / sigma**2)[:, None, None]
    expected = (weight * (denoised - x0).square()).mean()
    torch.testing.assert_close(lorenz96_training.loss(network, x0, condition, sigma, noise), expected)


def test_a_short_training_runs_through(tmp_path, monkeypatch):
    out = tmp_path / "weights.safetensors"
    monkeypatch.setattr(lorenz96_training, "SIMULATIONS", 4)
    monkeypatch.setattr(lorenz96_training, "LEAD_TIMES", 3)
    monkeypatch.setattr("sys.argv", ["training", "0.1", "--out", str(out), "--steps", "2", "--batch", "4"])
    threads = torch.get_num_threads()
    try:
        lorenz96_training.main()
    finally:
        torch.set_num_threads(threads)
    with safe_open(out, "pt") as file, safe_open(weights_path(0.1), "pt") as shipped:
        assert set(file.keys()) == set(shipped.keys())
        assert json.loads(file.metadata()["lead"]) == 0.1 and set(file.metadata()) == set(shipped.metadata())
