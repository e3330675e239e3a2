"""The stop rules: what they accept, what they put on the account, and that they always go on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from parampi import sigmas
from parampi.samplers import DDIM
from parampi.solvers import FixedSweeps, RoundMeasures, StopRule
from parampi.solvers.linear_models import gaussian_response, linear_model
from parampi.solvers.stop_rules import VARIANCES, growth, readers, sensitivities
from tests.stencils import langevin, levels, multistep, random_stencil, stencils

F64 = torch.float64
STEPS, MEMBERS, TOLERANCE = 10, 2, 1e-2


def gaussian_rule(step_map, sigma_data=0.5, tolerance=TOLERANCE):
    return StopRule.of(step_map, linear_model("gaussian", step_map, sigma_data).slopes, sigma_data, tolerance)


RULE = gaussian_rule(DDIM(1.0).steps(sigmas.karras(STEPS)))
RULES = {"ddpm": RULE, "three taps": gaussian_rule(random_stencil(7, STEPS, 3)), "velocities": gaussian_rule(langevin(5))}

every_rule = pytest.mark.parametrize("stop", RULES.values(), ids=list(RULES))
every_stencil = pytest.mark.parametrize("step_map", stencils().values(), ids=list(stencils()))
changes = arrays.arrays(np.float64, (STEPS, MEMBERS), elements=st.floats(0, 10))
firsts = arrays.arrays(np.int64, (MEMBERS,), elements=st.integers(0, STEPS - 1))


def rule(weight, budget, passed=None):
    passed = np.ones(len(weight)) if passed is None else np.array(passed, float)
    return StopRule(np.array(weight, float), passed, np.array(budget, float))


def judge(stop, changes, first=0, length=None, error_estimate=0.0, losses=None):
    """One member's verdict."""
    column = np.array(changes, float)[:, None]
    lost = np.zeros_like(column) if losses is None else np.array(losses, float)[:, None]
    lengths = np.array([len(changes) if length is None else length])
    verdict = stop.judge(RoundMeasures(column, lost, np.array([first]), lengths, np.array([error_estimate])))
    return int(verdict.slides[0]), float(verdict.error_estimate[0])


def test_accepts_the_prefix_within_the_budget_and_accounts_for_it():
    stop = rule([1, 2, 1, 1], [0, 1, 2, 3, 4])
    assert judge(stop, [0, 0.5, 0.25, 9]) == (3, 1.25)


def test_stops_at_the_first_point_over_the_budget_even_if_later_ones_are_within():
    stop = rule([1, 1, 1, 1], [0, 0.1, 0.2, 10, 10])
    assert judge(stop, [0, 0.5, 0, 0]) == (1, 0)


def test_reads_weights_and_budget_at_absolute_points():
    stop = rule([0, 0, 5, 1], [0, 0, 0, 1, 2])
    assert judge(stop, [0, 0.5], first=2) == (2, 0.5)
    assert judge(stop, [0.1, 0.5], first=2) == (2, 1.0)


def test_does_not_look_beyond_a_window_s_length():
    stop = rule([1, 1, 1, 1], [0, 1, 1, 1, 1])
    assert judge(stop, [0, 0, np.nan, np.nan], length=2) == (2, 0)
    assert judge(stop, [np.nan] * 4, length=0, error_estimate=0.5) == (0, 0.5)


def test_an_account_over_the_budget_still_accepts_points_that_lack_nothing():
    stop = rule([1, 1], [0, 0.1, 0.2])
    assert judge(stop, [0, 0], error_estimate=0.7) == (2, 0.7)


def test_losses_are_accounted_for_as_they_reach_the_end():
    stop = rule([1, 1, 1], [0, 1, 2, 3], passed=[1, 2, 4])
    assert judge(stop, [0, 0.5, 0.5], losses=[0, 0.25, 0]) == (3, 1.5)
    assert judge(stop, [0, 0.5, 0.5], losses=[0, 0.25, 0.5]) == (2, 1.0)
    assert judge(stop, [0, 0, 0], losses=[0.5, 0, 9], length=2) == (2, 0.5)


def test_weights_turn_relative_changes_into_what_a_step_lacks():
    """|drift_i| |delta_i| / sigma_data, delta_i being the change on the scale sqrt(sigma_i^2 + sigma_data^2)."""
    grid = torch.tensor([2.0, 1.0, 0.0], dtype=F64)
    stop = gaussian_rule(DDIM().steps(grid), 0.5, 1e-3)
    np.testing.assert_allclose(stop.weight, [0.5 * (4 + 0.25) ** 0.5 / 0.5, 1 * (1 + 0.25) ** 0.5 / 0.5])
    np.testing.assert_allclose(stop.passed, [(1 + 0.25) ** 0.5 / 0.5, 1.0])
    np.testing.assert_allclose(stop.budget, [0, 1e-3 / 3, 1e-3])


def test_one_step_samplers_pass_changes_on_without_growth():
    """Where state + denoised_weight = 1 and both are positive, no Gaussian data make a change grow."""
    for eta in (0.0, 0.5, 1.0):
        step_map = DDIM(eta).steps(sigmas.vp_linear(30))
        torch.testing.assert_close(growth(step_map, 1.0), torch.ones(31, dtype=F64))


# Step maps of several taps, against brute force


def end_of(step_map, response, bumped=None, size=1e-3):
    """The last point of a scalar linear chain that starts at 0, and to whose point `bumped` something is added."""
    x = [0.0]
    for i in range(step_map.steps):
        if i == bumped:
            x[-1] += size
        gain = [
            float(step_map.state[i, tap] + step_map.denoised_weight[i, tap] * response[i - tap]) * x[i - tap]
            for tap in range(min(step_map.taps, i + 1))
        ]
        x.append(sum(gain))
    return x[-1] + (size if bumped == step_map.steps else 0.0)


@every_stencil
def test_growth_is_the_largest_sensitivity_of_the_end_to_a_point(step_map):
    """Point by point, adding something to it: for the variances the rule knows, for an infinite one, and at least 1."""
    sigma_data = 0.8
    responses = [torch.ones(step_map.steps, dtype=F64)]
    for variance in VARIANCES:
        total = variance * sigma_data**2
        responses.append(total / (total + step_map.sigmas[:-1] ** 2))
    actual = growth(step_map, sigma_data)
    assert actual.shape == (step_map.steps + 1,)
    for j in range(step_map.steps + 1):
        brute = max(abs(end_of(step_map, response, j)) / 1e-3 for response in responses)
        assert actual[j] == pytest.approx(max(1.0, brute), rel=1e-10)


@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 4))
def test_sensitivities_are_products_of_companion_matrices(seed, steps, taps):
    generator = torch.Generator().manual_seed(seed)
    slopes = torch.randn(2, steps, taps, generator=generator, dtype=F64)
    actual = sensitivities(slopes)
    for model in range(2):
        for j in range(steps + 1):
            last = torch.zeros(taps, dtype=F64)
            last[0] = 1.0
            for i in range(j, steps):
                last = torch.cat([(slopes[model, i] * last).sum()[None], last[:-1]])
            assert actual[model, j] == pytest.approx(float(last[0]), rel=1e-9, abs=1e-12)


@every_stencil
@pytest.mark.parametrize("name", ["gaussian", "identity", "noise", "data"])
def test_weight_sums_over_the_steps_that_read_a_point(step_map, name):
    """Each with the most that its model may miss, for slopes of the denoiser in [0, 1], and with what the rest makes of it."""
    sigma_data = 0.8
    slopes = linear_model(name, step_map, sigma_data).slopes
    stop, grown = StopRule.of(step_map, slopes, sigma_data, 1e-2), growth(step_map, sigma_data)
    for p in range(step_map.steps):
        lacks = 0.0
        for tap in range(min(step_map.taps, step_map.steps - p)):
            i = p + tap
            state, denoised_weight, model = (
                float(numbers[i, tap]) for numbers in (step_map.state, step_map.denoised_weight, slopes)
            )
            missed = [abs(state + denoised_weight * slope - model) for slope in np.linspace(0, 1, 11)]
            lacks += max(abs(denoised_weight), *missed) * float(grown[i + 1])
        scale = float((step_map.sigmas[p] ** 2 + sigma_data**2).sqrt()) / sigma_data
        assert stop.weight[p] == pytest.approx(lacks * scale, rel=1e-12)
        made = float((step_map.sigmas[p + 1] ** 2 + sigma_data**2).sqrt()) / sigma_data
        assert stop.passed[p] == pytest.approx(float(grown[p + 1]) * made, rel=1e-12)


@every_stencil
def test_budget_is_spent_where_denoised_fields_come_in(step_map):
    stop, grown = gaussian_rule(step_map), growth(step_map, 0.5)
    share = (step_map.denoised_weight.abs().sum(1) * grown[1:]).numpy()
    np.testing.assert_allclose(np.diff(stop.budget), TOLERANCE * share / share.sum(), rtol=1e-12)


def test_a_velocity_that_moves_lacks_nothing_but_rounding():
    """The steps that read it are linear in it, and the model has them."""
    stop = RULES["velocities"]
    assert (stop.weight[1::2] < 1e-13).all() and (stop.weight[::2] > 1e-6).all()
    slides, error_estimate = judge(stop, [0, 0.5, 9, 9])
    assert slides == 2 and error_estimate == pytest.approx(0, abs=1e-13)


@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 5))
def test_readers_of_a_point_are_the_steps_behind_it(seed, steps, taps):
    """Also where a step would read more points than there are."""
    uses = torch.rand(steps, taps, generator=torch.Generator().manual_seed(seed), dtype=F64)
    expected = [sum(float(uses[p + tap, tap]) for tap in range(taps) if p + tap < steps) for p in range(steps)]
    np.testing.assert_allclose(readers(uses).numpy(), expected)


def test_responses_are_slopes_of_the_gaussian_denoiser():
    step_map = multistep(levels(5))
    np.testing.assert_allclose(gaussian_response(step_map, 2.0), 4 / (4 + step_map.sigmas[:-1].numpy() ** 2))


@every_rule
def test_budget_ends_at_the_tolerance(stop):
    assert stop.budget[0] == 0 and stop.budget[-1] == pytest.approx(TOLERANCE)
    assert (np.diff(stop.budget) >= 0).all()


@every_rule
@given(changes, changes, firsts)
def test_always_goes_on_and_never_spends_more_than_the_budget(stop, changes, losses, first):
    """The first point swept came from a frozen one: its change is 0, so every round accepts at least one point."""
    changes[0] = losses[0] = 0
    lengths, error_estimate = STEPS - first, stop.budget[first] / 2
    verdict = stop.judge(RoundMeasures(changes, losses, first, lengths, error_estimate))
    assert (verdict.slides >= 1).all() and (verdict.slides <= lengths).all()
    assert (verdict.error_estimate >= error_estimate).all()
    assert (verdict.error_estimate <= np.maximum(stop.budget[first + verdict.slides], error_estimate) + 1e-15).all()


@every_rule
@given(changes, changes, firsts)
def test_members_are_judged_one_by_one(stop, changes, losses, first):
    lengths, error_estimate = STEPS - first, np.zeros(MEMBERS)
    joint = stop.judge(RoundMeasures(changes, losses, first, lengths, error_estimate))
    for m in range(MEMBERS):
        alone = stop.judge(RoundMeasures(changes[:, [m]], losses[:, [m]], first[[m]], lengths[[m]], error_estimate[[m]]))
        assert alone.slides[0] == joint.slides[m] and alone.error_estimate[0] == joint.error_estimate[m]


@every_rule
@given(changes, changes, firsts, st.floats(0, 1))
def test_smaller_changes_are_never_accepted_later(stop, changes, losses, first, factor):
    lengths, error_estimate = STEPS - first, np.zeros(MEMBERS)
    more = stop.judge(RoundMeasures(changes * factor, losses * factor, first, lengths, error_estimate))
    assert (more.slides >= stop.judge(RoundMeasures(changes, losses, first, lengths, error_estimate)).slides).all()


@pytest.mark.parametrize("kind", [lambda: RULE, lambda: FixedSweeps(RULE, 1)], ids=["account", "fixed"])
def test_inputs_are_left_alone(kind):
    error_estimate, first = np.full(MEMBERS, 1e-4), np.zeros(MEMBERS, np.int64)
    moved, losses = np.full((STEPS, MEMBERS), 1e-4), np.full((STEPS, MEMBERS), 1e-5)
    kind().judge(RoundMeasures(moved, losses, first, np.full(MEMBERS, STEPS), error_estimate))
    assert (error_estimate == 1e-4).all() and (first == 0).all() and (moved == 1e-4).all() and (losses == 1e-5).all()


# A fixed number of sweeps


def test_fixed_sweeps_accept_the_whole_window_after_that_many():
    stop = FixedSweeps(rule([1, 2, 1, 1], [0, 0, 0, 0, 0]), 3)
    assert judge(stop, [0, 9, 9, 9]) == (0, 0) and judge(stop, [0, 5, 5, 5]) == (0, 0)
    assert judge(stop, [0, 0.5, 0.25, 0.125], losses=[0, 0, 0, 1]) == (4, 2.375)


def test_fixed_sweeps_begin_anew_in_every_window_and_keep_the_account():
    stop = FixedSweeps(rule([1, 1, 1, 1], [0] * 5), 2)
    actual = [
        judge(stop, [0, 1], first=first, error_estimate=error_estimate)
        for first, error_estimate in ((0, 0), (0, 0), (2, 1), (2, 1))
    ]
    assert actual == [(0, 0), (2, 1), (0, 1), (2, 2)]


def test_windows_that_are_shorter_than_the_sweeps_are_exact_earlier():
    """After as many sweeps as points nothing is left to do."""
    stop = FixedSweeps(rule([1] * 4, [0] * 5), 5)
    assert [judge(stop, [0, 0], length=2)[0] for _ in range(4)] == [0, 2, 0, 2]


def test_fixed_sweeps_count_for_each_member():
    """Members whose windows differ, and one that is finished."""
    stop = FixedSweeps(rule([1] * 4, [0] * 5), 3)
    changes, losses, error_estimate = np.ones((3, 3)), np.zeros((3, 3)), np.zeros(3)
    first, lengths = np.array([0, 1, 4]), np.array([1, 3, 0])
    slides = [stop.judge(RoundMeasures(changes, losses, first, lengths, error_estimate)).slides.tolist() for _ in range(4)]
    assert slides == [[1, 0, 0], [1, 0, 0], [1, 3, 0], [1, 0, 0]]
