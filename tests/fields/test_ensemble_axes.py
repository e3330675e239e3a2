"""Axes of an ensemble, and the times they count."""

import numpy as np
import pytest

from parampi.errors import DataError, OutputError
from parampi.fields import PER_CASE, Cases, EnsembleAxes, Leads
from parampi.fields.times import parse_duration, unit_of
from tests.fields.schemas import schema_of

CASES = Cases("time", np.array([0.0, 6.0]), {"units": "hours since 2001-01-01"}, [3, 0])
NUMBERS = [case * PER_CASE + member for case in CASES.indices for member in (5, 2)]


def test_members_alone():
    axes = EnsembleAxes([7, 2])
    assert (axes.names, axes.shape, axes.expected) == (("member",), (2,), 2) and axes.index(2) == (1,)


def test_members_of_cases_and_lead_times():
    axes = EnsembleAxes(NUMBERS, CASES, Leads((6.0, 12.0, 18.0), "hours"))
    assert axes.names == ("member", "time", "lead_time") and axes.shape == (2, 2, 3) and axes.expected == 12
    assert axes.realizations == [5, 2] and axes.index(2, 1) == (1, 1, 1) and axes.index(3 * PER_CASE + 5, 2) == (0, 0, 2)
    assert axes.valid_times.tolist() == [[6.0, 12.0, 18.0], [12.0, 18.0, 24.0]]
    assert EnsembleAxes(NUMBERS, CASES, Leads((1.0,), "days")).valid_times is None


@pytest.mark.parametrize("members", [[], [1, 1]])
def test_members_must_be_different_numbers(statistics, members):
    with pytest.raises(OutputError, match="give different numbers, at least one"):
        schema_of(statistics, members)


@pytest.mark.parametrize(
    ("units", "unit"), [("hours since 2001-01-01", "hours"), ("d since 2001-01-01", "days"), ("hours", ""), ("1", "")]
)
def test_units_of_times(units, unit):
    assert unit_of(units) == unit


def test_durations():
    assert parse_duration("6 hours") == (6.0, "hours") and parse_duration("0.5 d") == (0.5, "days")
    for text in ("6", "6 moons", "-1 hours", "soon"):
        with pytest.raises(DataError, match=r"give a number and seconds, minutes, hours or days, such as 6 hours"):
            parse_duration(text)
