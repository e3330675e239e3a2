"""The stop rule: what it accepts, what it puts on the account, and that it always goes on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from parampi import sigmas
from parampi.samplers import DDIM
from parampi.solvers import StopRule

STEPS, MEMBERS, TOLERANCE = 10, 2, 1e-2
RULE = StopRule.of(DDIM(1.0).steps(sigmas.karras(STEPS)), 0.5, TOLERANCE)

changes = arrays.arrays(np.float64, (STEPS, MEMBERS), elements=st.floats(0, 10))
firsts = arrays.arrays(np.int64, (MEMBERS,), elements=st.integers(0, STEPS - 1))


def rule(weight, budget):
    return StopRule(np.array(weight, float), np.array(budget, float))


def judge(stop, changes, first=0, length=None, lacking=0.0):
    """One member's verdict."""
    column = np.array(changes, float)[:, None]
    lengths = np.array([len(changes) if length is None else length])
    verdict = stop.judge(column, np.array([first]), lengths, np.array([lacking]))
    return int(verdict.slides[0]), float(verdict.lacking[0])


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
    assert judge(stop, [np.nan] * 4, length=0, lacking=0.5) == (0, 0.5)


def test_an_account_over_the_budget_still_accepts_points_that_lack_nothing():
    stop = rule([1, 1], [0, 0.1, 0.2])
    assert judge(stop, [0, 0], lacking=0.7) == (2, 0.7)


def test_weights_turn_relative_changes_into_what_a_step_lacks():
    """|drift_i| |delta_i| / sigma_data, delta_i being the change on the scale sqrt(sigma_i^2 + sigma_data^2)."""
    grid = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    step_map = DDIM().steps(grid)
    stop = StopRule.of(step_map, 0.5, 1e-3)
    np.testing.assert_allclose(stop.weight, [0.5 * (4 + 0.25) ** 0.5 / 0.5, 1 * (1 + 0.25) ** 0.5 / 0.5])
    np.testing.assert_allclose(stop.budget, [0, 1e-3 / 3, 1e-3])


def test_budget_ends_at_the_tolerance():
    assert RULE.budget[0] == 0 and RULE.budget[-1] == pytest.approx(TOLERANCE)
    assert (np.diff(RULE.budget) > 0).all()


@given(changes, firsts)
def test_always_goes_on_and_never_spends_more_than_the_budget(changes, first):
    """The first point swept came from a frozen one: its change is 0, so every round accepts at least one point."""
    changes[0] = 0
    lengths, lacking = STEPS - first, RULE.budget[first] / 2
    verdict = RULE.judge(changes, first, lengths, lacking)
    assert (verdict.slides >= 1).all() and (verdict.slides <= lengths).all()
    assert (verdict.lacking >= lacking).all()
    assert (verdict.lacking <= np.maximum(RULE.budget[first + verdict.slides], lacking) + 1e-15).all()


@given(changes, firsts)
def test_members_are_judged_one_by_one(changes, first):
    lengths, lacking = STEPS - first, np.zeros(MEMBERS)
    together = RULE.judge(changes, first, lengths, lacking)
    for m in range(MEMBERS):
        alone = RULE.judge(changes[:, [m]], first[[m]], lengths[[m]], lacking[[m]])
        assert alone.slides[0] == together.slides[m] and alone.lacking[0] == together.lacking[m]


@given(changes, firsts, st.floats(0, 1))
def test_smaller_changes_are_never_accepted_later(changes, first, factor):
    lengths, lacking = STEPS - first, np.zeros(MEMBERS)
    more = RULE.judge(changes * factor, first, lengths, lacking)
    assert (more.slides >= RULE.judge(changes, first, lengths, lacking).slides).all()


def test_inputs_are_left_alone():
    lacking, first = np.full(MEMBERS, 1e-4), np.zeros(MEMBERS, np.int64)
    given = np.full((STEPS, MEMBERS), 1e-4)
    RULE.judge(given, first, np.full(MEMBERS, STEPS), lacking)
    assert (lacking == 1e-4).all() and (first == 0).all() and (given == 1e-4).all()
