"""First guesses from the denoised fields at the ends of windows."""

import numpy as np
import pytest
import torch

from parampi.diffusion.sigmas import log_uniform
from parampi.engine.latest_fields import LatestFields, places_before
from parampi.samplers import DDIM, DPMpp2M, Heun
from parampi.solvers import Picard, Serial, Spectral
from parampi.solvers.linear_models import FAR, Trend, trend_of
from tests.engines import REGIMES, chain, engine, relative_errors

GRID = log_uniform(20, 0.02, 40.0)


def latest(sampler, window: int, trend: Trend | None = None, rounds: int = 1) -> LatestFields:
    """The fields that a window of one member has shown after some rounds."""
    one = engine(chain(REGIMES, sampler, GRID, members=1), Picard(), window)
    one.latest = LatestFields(one.slice, trend or trend_of(sampler.steps(GRID)))
    for _ in range(rounds):
        one.denoised.enter(one.evaluate(one.collect()))
        one.latest.take(one.denoised.rows)
    return one.latest


def test_levels_are_told_apart():
    levels, evaluated = np.array([3.0, 2.0, 2.0, 1.0, 1.0]), np.array([True, True, True, False, True])
    last, before = places_before(levels, evaluated)
    assert last.tolist() == [0, 1, 2, 2, 4]
    assert before.tolist() == [-1, 0, 0, 2, 2]


@pytest.mark.parametrize("sampler", [DDIM(0.0), Heun(), DPMpp2M()], ids=lambda sampler: type(sampler).__name__)
def test_what_is_linear_in_log_sigma_is_extrapolated_exactly(sampler):
    """Steps take of a line what they would take of its values, as long as all of it is extrapolated."""
    step_map, kept = sampler.steps(GRID), latest(sampler, 6)
    kept.trend = Trend(1e9, linear=True)
    steps = np.arange(6, 12)[:, None]
    made, line = kept.weights_at(steps), 2.0 - 0.3 * kept.levels
    taken = made.last * line[kept.last] + made.before * line[kept.before]
    weights = step_map.denoised_weight.numpy()
    expected = [[sum(weights[i, k] * line[i - k] for k in range(step_map.taps))] for i in steps[:, 0]]
    assert np.allclose(made.shares, 1.0)
    assert np.allclose(taken, expected, rtol=1e-12)


def test_a_stochastic_sampler_keeps_the_last_field():
    kept = latest(DDIM(1.0), 6)
    made, weights = kept.weights_at(np.arange(6, 9)[:, None]), DDIM(1.0).steps(GRID).denoised_weight.numpy()
    assert not made.before.any()
    assert np.allclose(made.last, made.shares[0] * weights[6:9, :1])


def test_shares_fade_with_the_distance_and_end_with_the_lead_time():
    kept = latest(DDIM(0.0), 6)
    shares = kept.weights_at(np.arange(6, 45)[:, None]).shares[0, :, 0]
    distance = kept.levels[6:20] - kept.levels[5]
    assert np.allclose(shares[:14], np.exp(-((distance / FAR) ** 4)), rtol=1e-12)
    assert shares[0] > 0.99 and shares[13] < 1e-9
    assert not shares[14:].any()  # of the next lead times


def test_levels_that_nearly_coincide_are_not_extrapolated_without_bounds():
    grid = torch.cat([GRID[:10], GRID[9:10] * (1 - 1e-5), GRID[10:]])
    problem = chain(REGIMES, DDIM(0.0), grid, members=2)
    serial, rounds = engine(problem, Serial()).run(), []
    for guess in ("extrapolated", "gaussian"):
        one = engine(problem, Picard(guess=guess), 11)
        assert (relative_errors(one.run(), serial) <= 1e-3).all()
        rounds.append(one.history.made)
    assert rounds[0] <= rounds[1] + 1


def test_nothing_is_kept_where_no_point_enters():
    assert latest(DDIM(0.0), 20).give() is None
    kept = latest(DDIM(0.0), 6)
    fields = kept.give()
    assert fields is not None and fields.shape == (2, 1, 1, 16, 16) and kept.give() is None


def test_the_fields_are_those_at_the_end_of_the_window():
    problem = chain(REGIMES, DDIM(0.0), GRID, members=1)
    one = engine(problem, Picard(), 5)
    batch = one.collect()
    fields = one.evaluate(batch)
    one.denoised.enter(fields)
    one.latest.take(one.denoised.rows)
    assert torch.equal(one.latest.give()[:, 0], fields[3:5])


@pytest.mark.parametrize("solver", [Picard, Spectral], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("sampler", "least"), [(DDIM(0.0), 0.75), (Heun(), 0.9), (DDIM(1.0), 1.02)], ids=["ddim", "heun", "ddpm"]
)
def test_windows_need_fewer_rounds(solver, sampler, least):
    """Rounds relative to those of the guess by the linear model, with errors within the tolerance."""
    grid = log_uniform(60 if isinstance(sampler, DDIM) else 30, 0.02, 40.0)
    problem = chain(REGIMES, sampler, grid, members=4)
    serial, plain = engine(problem, Serial()).run(), "model" if solver is Spectral else "gaussian"
    rounds = {}
    for guess in ("extrapolated", plain):
        one = engine(problem, solver(guess=guess), 4, tolerance=1e-2)
        assert (relative_errors(one.run(), serial) <= 1e-2).all()
        rounds[guess] = one.history.rounds.mean()
    assert rounds["extrapolated"] <= least * rounds[plain]
