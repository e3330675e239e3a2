"""The scaling law's search: the parameters it finds meet the divergence, and fewer do not."""

import math
from dataclasses import replace

import pytest
from scaling_law.plan import EARLY_STOP, BlockPlan, interleave
from scaling_law.problems import spectrum
from scaling_law.search import (
    bisect,
    fewest_steps,
    find_horizon,
    least_count,
    predictor_and_corrector_sweeps,
    predictor_sweeps,
    settled_sweeps,
)

pytestmark = pytest.mark.slow

TARGET = 0.09


def test_least_counts_and_numbers():
    assert [least_count(lambda n, least=least: n >= least) for least in (1, 2, 3, 7, 8, 1000)] == [1, 2, 3, 7, 8, 1000]
    assert bisect(lambda x: x * x >= 2, 0.0, 8.0) == pytest.approx(math.sqrt(2), rel=2e-6)


def test_a_divergence_must_be_met_for_good():
    values = [5.0, 0.1, 5.0, 0.3, 0.2, 0.2, 0.25, 0.2, 0.2]
    assert settled_sweeps(iter(values), 0.5) == (4, 0.3)
    assert settled_sweeps(iter(values), 0.15) is None
    assert settled_sweeps(iter(values), 0.5, most=3) is None
    assert settled_sweeps(iter([math.nan, math.inf, *values]), 0.5) == (6, 0.3)


@pytest.mark.parametrize("stochastic", [True, False])
def test_parameters_meet_the_divergence_and_fewer_do_not(stochastic):
    problem = spectrum(200)
    horizon = find_horizon(problem, TARGET, stochastic)
    blocks = math.ceil(horizon)
    plan = fewest_steps(problem, TARGET, stochastic, horizon, blocks)
    fewer = replace(plan, steps_per_block=plan.steps_per_block - 1)
    assert plan.serial_divergence() <= 0.75 * TARGET < fewer.serial_divergence()
    assert replace(plan, steps_per_block=4000, horizon=horizon - 0.05).serial_divergence() > TARGET / 4
    sweeps, divergence = predictor_sweeps(plan, TARGET)
    reached = [plan.divergence(maps) for _, maps in zip(range(sweeps + 3), plan.predictor_maps(), strict=False)]
    assert reached[sweeps - 1] == divergence and max(reached[sweeps - 1 :]) <= TARGET < reached[sweeps - 2]
    assert plan.points == len(plan.grid.sigmas) - 1 - (blocks - 1) * plan.steps_per_block
    assert float(plan.grid.sigmas[-1]) == pytest.approx(math.sqrt(math.expm1(EARLY_STOP)))


def test_sweeps_of_predictor_and_corrector_have_the_least_sum():
    problem = spectrum(200)
    horizon = find_horizon(problem, TARGET, False)
    plan = fewest_steps(problem, TARGET, False, horizon, math.ceil(horizon), corrector=True)
    k, corrector_sweeps, divergence = predictor_and_corrector_sweeps(plan, TARGET)
    total = k + corrector_sweeps
    predictors = [maps for _, maps in zip(range(total), plan.predictor_maps(), strict=False)]
    correctors = [maps for _, maps in zip(range(total), zip(*plan.corrector_maps(), strict=True), strict=False)]

    def reached(k, corrector_sweeps):
        return plan.divergence(interleave(predictors[k - 1], correctors[corrector_sweeps - 1]))

    assert reached(k, corrector_sweeps) == divergence <= TARGET
    for fewer in range(1, total - 1):
        rest = total - 1 - fewer
        assert max(reached(fewer, rest), reached(fewer, rest + 1), reached(fewer + 1, rest)) > TARGET


@pytest.mark.parametrize("stochastic", [True, False])
def test_one_block_needs_the_fewest_rounds(stochastic):
    """In blocks, sweeps are saved, but not as many as there are blocks."""
    problem = spectrum(256)
    horizon, rounds = find_horizon(problem, TARGET, stochastic), []
    for blocks in (1, 2, 4):
        plan = fewest_steps(problem, TARGET, stochastic, horizon, blocks, corrector=not stochastic)
        counts = predictor_sweeps(plan, TARGET) if stochastic else predictor_and_corrector_sweeps(plan, TARGET)
        rounds.append(blocks * sum(counts[:-1]))
    assert rounds == sorted(rounds)


def test_a_plan_that_cannot_be_met_has_no_sweeps():
    plan = BlockPlan(spectrum(4096), True, 1.0, 1, 4)
    assert predictor_sweeps(plan, 1e-6, 5) is None
    assert predictor_and_corrector_sweeps(replace(plan, stochastic=False), 1e-9, 5) is None
