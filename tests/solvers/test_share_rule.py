"""The stop rule of the share that came true: what counts how much, and that members are held to their own norm."""

import numpy as np
import pytest
import torch

from parampi import sigmas
from parampi.bench.families import FAMILIES
from parampi.bench.rounds import relative
from parampi.diffusion.batched import BatchedDenoiser
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel import SerialGroup
from parampi.samplers import DDIM, DPMpp2MSDE, DPMppSDE
from parampi.solvers import ParaSolver, ParaTAA, Picard, RoundMeasures, Serial, StopRule
from parampi.solvers.linear_models import linear_model
from parampi.solvers.share_rule.rule import LARGEST, SAFETY, SMALLEST, ShareRule, rule_for
from parampi.solvers.share_rule.shares import LEAST, MOST, TRIED, UNTRIED, nearest, with_neighbours
from tests.stencils import langevin

STEPS, SIGMA_DATA, TOLERANCE = 8, 0.5, 1e-2
STEP_MAP = DDIM(0.0).steps(sigmas.karras(STEPS))
SLOPES = linear_model("gaussian", STEP_MAP, SIGMA_DATA).slopes


def measures(changes, residual=None, *, losses=None, size=1.0):
    """A round of all points of one member, whose residuals are shares of the sigma_data, and its size of the field."""
    column = np.array(changes, float)[:, None]
    lost = np.zeros_like(column) if losses is None else np.array(losses, float)[:, None]
    left = np.zeros_like(column) if residual is None else np.array(residual, float)[:, None]
    statistics = np.stack([left**2, np.full_like(column, size**2)]) * SIGMA_DATA**2
    return RoundMeasures(column, lost, np.array([0]), np.array([len(column)]), np.zeros(1), statistics)


def begun():
    rule = ShareRule.of(STEP_MAP, SLOPES, SIGMA_DATA, TOLERANCE)
    rule.begin(1, STEPS)
    return rule


def lost_by(rule, measured):
    """Errors (n,) of points, relative to sigma_data."""
    inside, steps = np.ones((STEPS, 1), np.bool_), np.arange(STEPS)[:, None]
    residual = np.sqrt(measured.stop_statistics[0]) / SIGMA_DATA
    return rule.losses(measured, residual, np.ones(1), inside=inside, steps=steps)[:, 0]


def test_what_was_never_measured_counts_as_the_worst_case():
    rule, worst = begun(), StopRule.of(STEP_MAP, SLOPES, SIGMA_DATA, TOLERANCE)
    changes = np.linspace(0, 1, STEPS)
    np.testing.assert_allclose(SAFETY * lost_by(rule, measures(changes)), worst.weight * changes)


@pytest.mark.parametrize(("share", "sweeps", "expected"), [
    (0.6, 1, 0.6), (9.0, 1, MOST), (0.0, 1, UNTRIED), (0.0, 2, UNTRIED * TRIED), (0.0, 7, LEAST),
])  # fmt: skip
def test_shares_that_came_true_count_and_small_ones_are_believed_with_time(share, sweeps, expected):
    rule, changes = begun(), np.full(STEPS, 0.1)
    for _ in range(sweeps):
        lost_by(rule, measures(changes, share * rule.reached[:, 0]))
    last = lost_by(rule, measures(changes, share * rule.reached[:, 0]))
    np.testing.assert_allclose(last, expected * rule.worst.weight * changes)


def test_the_worst_case_of_a_residual_is_what_the_last_sweep_changed_and_lost():
    rule, changes, losses = begun(), np.linspace(0, 1, STEPS), np.linspace(1, 0, STEPS)
    lost_by(rule, measures(changes, losses=losses))
    scale = (1 + (STEP_MAP.sigmas.numpy() / SIGMA_DATA) ** 2) ** 0.5
    weight = STEP_MAP.denoised_weight[:, 0].abs().numpy()
    np.testing.assert_allclose(rule.reached[:, 0], weight * scale[:-1] * changes + scale[1:] * losses)


def test_states_that_were_moved_too_far_or_not_far_enough_lack_the_difference():
    """After a sweep whose changes and moves nearly cancelled, a share of 0.01 says nothing of one in which they cannot."""
    changes, weight = np.full(STEPS, 0.1), begun().worst.weight
    for linear, share in ((1.0, 0.01), (0.1, 0.01)):
        rule = begun()
        for _ in range(6):  # until small shares are believed
            losses = linear * rule.reaches(changes[:, None], np.zeros((STEPS, 1)), np.arange(STEPS)[:, None])[:, 0] / rule.made
            left = share * rule.reached[:, 0]
            lost = lost_by(rule, measures(changes, left, losses=losses))
        moved = rule.worst.passed * losses
        np.testing.assert_allclose(lost[1:], (share * (weight * changes + moved))[1:], rtol=0.1)
        for factor in (0.0, 3.0):
            again = begun()
            again.reached, again.moved, again.sweeps = rule.reached.copy(), rule.moved.copy(), rule.sweeps.copy()
            last = lost_by(again, measures(changes, left, losses=factor * losses))
            assert (last[1:] > 0.9 * abs(factor - 1) * moved[1:]).all()


def test_the_last_point_that_is_left_is_judged_by_the_frozen_one_s_share_too():
    """It has no other neighbour."""
    for left, expected in ((2, 0.9), (3, LEAST)):
        rule, begin = begun(), STEPS - left
        rule.reached[:], rule.sweeps[:] = 1.0, 9.0
        column = np.full((left, 1), 0.1)
        statistics = np.stack([np.r_[0.81, np.zeros(left - 1)][:, None], np.ones((left, 1))]) * SIGMA_DATA**2
        round_ = RoundMeasures(column, 0 * column, np.array([begin]), np.array([left]), np.zeros(1), statistics)
        steps = begin + np.arange(left)[:, None]
        lost = rule.losses(
            round_, np.sqrt(statistics[0]) / SIGMA_DATA, np.ones(1), inside=np.ones((left, 1), np.bool_), steps=steps
        )
        np.testing.assert_allclose(lost[-1, 0], expected * rule.worst.weight[-1] * 0.1)


def test_unknown_shares_are_those_of_the_nearest_points():
    known = np.array([[False], [True], [False], [True]])
    values = np.array([[9.0], [1.0], [9.0], [2.0]])
    assert nearest(values, known, 5.0)[:, 0].tolist() == [1, 1, 1, 2]
    assert nearest(values, np.zeros_like(known), 5.0)[:, 0].tolist() == [5, 5, 5, 5]
    assert with_neighbours(np.array([[1.0], [3.0], [2.0], [0.0]]))[:, 0].tolist() == [3, 3, 3, 2]


def test_estimates_are_relative_to_the_member_s_own_field():
    """That of the last point, whose noise is small enough to tell; a field that is too large is not believed."""
    changes = np.r_[0.0, np.full(STEPS - 1, 1e-4)]
    ends = {size: float(begun().judge(measures(changes, size=size)).error_estimate[0]) for size in (0.05, 1.0, 2.0, 1e9)}
    assert ends[0.05] == pytest.approx(20 * ends[1.0], rel=0.1) and ends[1e9] == pytest.approx(ends[2.0], rel=0.1)
    sizes = begun().sizes(np.array([[0.0], [1e9]]), np.array([STEPS - 2]), np.array([2]))
    assert SMALLEST < sizes[0] <= LARGEST


def test_begin_comes_before_load():
    rule = ShareRule.of(STEP_MAP, SLOPES, SIGMA_DATA, TOLERANCE)
    assert rule.state() == {}
    with pytest.raises(TypeError, match="begin"):
        rule.load({})
    with pytest.raises(TypeError, match="residuals"):
        rule.judge(RoundMeasures(np.zeros((1, 1)), np.zeros((1, 1)), np.array([0]), np.array([1]), np.zeros(1)))


def test_velocities_are_judged_by_the_worst_case():
    velocities = langevin(5)
    assert isinstance(rule_for(velocities, linear_model("gaussian", velocities, 1.0).slopes, 1.0, 1e-2), StopRule)
    assert isinstance(rule_for(STEP_MAP, SLOPES, 1.0, 1e-2), ShareRule)


def ended(family, step_map, solver, window, tolerance, members):
    """Errors relative to the member's own field, and estimates."""
    problem = FAMILIES[family]()
    network, numbers, shape = BatchedDenoiser(problem, batch=256), torch.arange(members), tuple(problem.shape)
    chain = SamplingProblem(network, step_map, numbers, shape, sigma_data=problem.sigma_data)
    serial = engine_for(chain, Serial(), SerialGroup()).run()
    engine = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=tolerance, window=window))
    return relative(engine.run(), serial).numpy(), engine.history.error_estimate


@pytest.mark.parametrize(
    ("family", "step_map", "solver", "window", "tolerance"),
    [
        pytest.param("heavy vectors", DPMpp2MSDE().steps(sigmas.vp_linear(20)), Picard(), 16, 1e-3, id="read-again"),
        pytest.param("heavy vectors", DPMppSDE().steps(sigmas.vp_cosine(10)), Picard(), None, 2e-3, id="norm"),
        pytest.param("heavy vectors", DDIM().steps(sigmas.vp_linear(30)), ParaTAA(), 8, 1e-2, id="norm-mixed"),
        pytest.param("spirals", DDIM(0.5).steps(sigmas.vp_linear(20)), ParaTAA(), 16, 5e-2, id="grown-for-a-while"),
        pytest.param("heavy white fields", DDIM(0.5).steps(sigmas.vp_cosine(23)), ParaSolver(), 16, 3e-4, id="frozen-guess"),
    ],
)
def test_members_end_within_the_tolerance_of_their_own_norm(family, step_map, solver, window, tolerance):
    """Of 16 members up to 4 ended above it, by up to 16 times, by the worst case relative to a typical field."""
    errors, estimates = ended(family, step_map, solver, window, tolerance, 16)
    assert (errors <= tolerance).all(), errors / tolerance
    assert 1 < np.median(estimates / errors) < 20
