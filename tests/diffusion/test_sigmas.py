"""Noise grids against their published formulas, and the refusal of grids that make no sense."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parampi.diffusion.sigmas import (
    VPTimes,
    explicit,
    karras,
    log_uniform,
    training_times,
    vp_cosine,
    vp_cosine_alphas_cumprod,
    vp_linear,
    vp_linear_alphas_cumprod,
)
from parampi.errors import ConfigError

F64 = torch.float64
GRIDS = {
    "karras": karras,
    "karras to sigma_min": lambda n: karras(n, final_zero=False),
    "log_uniform": lambda n: log_uniform(n, 0.01, 50.0),
    "log_uniform to 0": lambda n: log_uniform(n, 0.01, 50.0, final_zero=True),
    "linear, trailing": vp_linear,
    "linear, leading": lambda n: vp_linear(n, spacing="leading"),
    "linear, linspace": lambda n: vp_linear(n, spacing="linspace"),
    "cosine": vp_cosine,
    "linear to time 0": lambda n: vp_linear(n, final_zero=False),
    "cosine to time 0": lambda n: vp_cosine(n, spacing="leading", steps_offset=1, final_zero=False),
}


@pytest.mark.parametrize("name", GRIDS)
@settings(deadline=None)
@given(steps=st.integers(2, 400))
def test_every_grid_is_a_decreasing_list_of_steps_plus_one_doubles(name, steps):
    grid = GRIDS[name](steps)
    assert grid.shape == (steps + 1,) and grid.dtype == F64 and grid.device.type == "cpu"
    assert bool((grid.diff() < 0).all()) and float(grid[-1]) >= 0


@pytest.mark.parametrize("name", GRIDS)
def test_one_step_is_enough(name):
    assert GRIDS[name](1).shape == (2,)


def test_karras_is_equation_5():
    grid = karras(18)
    for i in (0, 1, 9, 17):
        expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
        assert float(grid[i]) == pytest.approx(expected, rel=1e-13)
    assert float(grid[-1]) == 0
    ends = karras(10, 0.1, 5.0, rho=3.0, final_zero=False)[[0, -1]].tolist()
    assert ends == pytest.approx([5.0, 0.1], rel=1e-13)


def test_log_uniform_has_equal_ratios():
    ratios = log_uniform(12, 0.02, 7.0).log().diff()
    assert torch.allclose(ratios, ratios[:1].expand(12), rtol=1e-12, atol=0)
    assert log_uniform(12, 0.02, 7.0)[[0, -1]].tolist() == pytest.approx([7.0, 0.02], rel=1e-13)


def test_linear_schedule_by_a_plain_loop():
    kept, product = [], 1.0
    for t in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        kept.append(product)
    assert torch.allclose(vp_linear_alphas_cumprod(), torch.tensor(kept, dtype=F64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("steps", [1, 10, 16, 18, 48, 96, 100, 333, 1000])
def test_default_grid_is_its_formula(steps):
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=F64)
    kept = torch.cumprod(1 - betas, 0)
    times = torch.arange(1000, 0, -1000 / steps).round().long() - 1
    expected = torch.cat([((1 - kept[times]) / kept[times]).sqrt(), torch.zeros(1, dtype=F64)])
    torch.testing.assert_close(vp_linear(steps), expected, rtol=4e-15, atol=0)


@pytest.mark.parametrize(
    ("steps", "at", "sigma"),
    [(10, 1, 60.27141006782407), (18, 17, 0.19224439613156583), (100, 50, 3.424136619044041), (1000, 999, 0.0100005000375)],
)
def test_default_grid_golden_numbers(steps, at, sigma):
    assert float(vp_linear(steps)[at]) == pytest.approx(sigma, rel=1e-13)
    assert float(vp_linear(steps)[0]) == pytest.approx(157.40728081040757, rel=1e-13)


def test_cosine_schedule_follows_its_angle_and_stays_finite():
    kept = vp_cosine_alphas_cumprod(1000)
    angle = (torch.arange(1, 1001, dtype=F64) / 1000 + 0.008) / 1.008 * math.pi / 2
    expected = torch.cos(angle) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert torch.allclose(kept[:990], expected[:990], rtol=1e-9, atol=0)
    assert float(kept[-1] / kept[-2]) == pytest.approx(1 - 0.999, rel=1e-9)
    assert bool(vp_cosine(1000).isfinite().all())


def test_spacings_of_ten_steps():
    assert training_times(10, 1000, "trailing") == list(range(999, 0, -100))
    assert training_times(10, 1000, "leading") == list(range(900, -1, -100))
    assert training_times(10, 1000, "leading", steps_offset=1) == list(range(901, 0, -100))
    assert training_times(10, 1000, "linspace") == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
    assert training_times(3, 1000, [700, 300, 5]) == [700, 300, 5]


@settings(deadline=None)
@given(steps=st.integers(1, 1000), train_steps=st.sampled_from([1000, 1024, 4000]))
def test_spacings_against_numpy(steps, train_steps):
    leading = (np.arange(steps) * (train_steps // steps))[::-1]
    linspace = np.linspace(0, train_steps - 1, steps).round()[::-1]
    trailing = np.round(np.arange(train_steps, 0, -train_steps / steps))[:steps] - 1
    assert training_times(steps, train_steps, "leading") == leading.tolist()
    assert training_times(steps, train_steps, "linspace") == linspace.tolist()
    # Double and single precision may take either neighbour where a time lies half-way between two.
    assert np.abs(np.array(training_times(steps, train_steps, "trailing")) - trailing).max() <= 1


def test_trailing_never_runs_past_time_zero():
    assert all(len(times) == n and times[-1] >= 0 for n in range(1, 1001) for times in [training_times(n, 1000, "trailing")])


def test_without_final_zero_the_grid_ends_at_training_time_zero():
    time_zero = math.sqrt(1e-4 / (1 - 1e-4))
    assert float(vp_linear(50, final_zero=False)[-1]) == pytest.approx(time_zero, rel=1e-12)
    assert torch.equal(vp_linear(50, final_zero=False)[:-1], vp_linear(50)[:-1])
    with pytest.raises(ConfigError, match="already reaches"):
        vp_linear(50, spacing="leading", final_zero=False)


def test_explicit_copies_and_accepts_any_list():
    given_values = torch.tensor([3.0, 1.0, 0.0], dtype=F64)
    grid = explicit(given_values)
    given_values[0] = 7
    assert grid.tolist() == [3, 1, 0] and explicit([3, 1, 0]).tolist() == [3, 1, 0]
    assert explicit(torch.tensor([2, 1])).dtype == F64 and explicit(np.array([2.0, 1.0])).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([5.0, 1.0, 2.0, 0.0], r"sigmas\[1\] = 1 is followed by sigmas\[2\] = 2"),
        ([5.0, 1.0, 1.0], r"sigmas\[1\] = 1 is followed by sigmas\[2\] = 1"),
        ([5.0, float("nan"), 1.0], r"sigmas\[1\] = nan must be finite"),
        ([float("inf"), 1.0], r"sigmas\[0\] = inf must be finite"),
        ([5.0, 1.0, -0.5], r"sigmas\[2\] = -0.5 must be finite and not negative"),
        ([5.0], "at least two"),
        ([[5.0, 1.0]], "at least two"),
        (["a", "b"], "list of numbers"),
        (3.0, "list of numbers"),
    ],
)
def test_explicit_names_what_is_wrong(values, message):
    with pytest.raises(ConfigError, match=message):
        explicit(values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: karras(0), "steps = 0"),
        (lambda: karras(2.5), "steps = 2.5"),
        (lambda: karras(True), "steps = True"),
        (lambda: karras(8, sigma_min=0.0), "sigma_min = 0.0"),
        (lambda: karras(8, sigma_max=math.inf), "sigma_max = inf"),
        (lambda: karras(8, rho=0), "rho = 0"),
        (lambda: log_uniform(8, 2.0, 1.0), "sigma_min < sigma_max"),
        (lambda: vp_linear(1001), "steps = 1001"),
        (lambda: vp_linear(10, beta_first=0.5, beta_last=0.1), "beta_first = 0.5"),
        (lambda: vp_linear(10, spacing="quadratic"), "'quadratic' is not one of trailing"),
        (lambda: vp_linear(10, steps_offset=1), "steps_offset = 1"),
        (lambda: vp_linear(1, spacing="leading", steps_offset=1000), "from 999 at most"),
        (lambda: vp_linear(3, spacing=[900, 500]), "steps = 3, but 2"),
        (lambda: vp_linear(2, spacing=[500, 900]), "fall strictly"),
        (lambda: vp_linear(2, spacing=[1000, 900]), "from 999 at most"),
        (lambda: vp_linear(2, spacing=[900, 1.5]), "whole numbers"),
        (lambda: vp_linear(2, spacing=["a", "b"]), "whole numbers"),
        (lambda: vp_linear(2, spacing=None), "a list of whole numbers"),
        (lambda: vp_cosine(10, max_beta=1.0), "max_beta = 1.0"),
        (lambda: vp_cosine(10, train_steps=0), "train_steps = 0"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_clock_reads_whole_times_at_the_training_sigmas():
    kept = vp_linear_alphas_cumprod()
    sigmas = ((1 - kept) / kept).sqrt()
    times = VPTimes(kept)(sigmas)
    assert times.dtype == F64 and torch.allclose(times, torch.arange(1000, dtype=F64), rtol=0, atol=1e-9)


@settings(deadline=None)
@given(time=st.floats(0, 999))
def test_clock_runs_both_ways(time):
    clock = VPTimes()
    assert float(clock(clock.sigma(torch.tensor(time, dtype=F64)))) == pytest.approx(time, abs=1e-9)


def test_clock_stands_still_outside_its_schedule():
    clock = VPTimes(vp_cosine_alphas_cumprod())
    assert clock(torch.tensor([[0.0, 1e-9], [1e9, math.inf]], dtype=F64)).tolist() == [[0, 0], [999, 999]]
    assert clock.sigma(torch.tensor([-5.0, 2000.0])).tolist() == clock.sigma(torch.tensor([0.0, 999.0])).tolist()


@pytest.mark.parametrize("kept", [[0.9], [0.5, 0.9], [1.0, 0.5], [0.5, float("nan")], [[0.9, 0.5]]])
def test_clock_refuses_what_is_not_a_schedule(kept):
    with pytest.raises(ConfigError, match="alphas_cumprod"):
        VPTimes(torch.tensor(kept))
