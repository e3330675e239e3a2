"""Cases of conditions by their dates."""

import numpy as np
import pytest

from parampi.errors import DataError
from parampi.fields.inputs.case_dates import indices_of
from parampi.fields.inputs.time_axis import TimeAxis
from parampi.run.config import load
from parampi.run.inputs import read_inputs
from tests.small import write_conditions, write_project

SIX_HOURLY = np.arange(40) * 6.0


def axis(units="hours since 2001-01-01", calendar="standard"):
    attributes = {"units": units, "calendar": calendar}
    return TimeAxis("time", SIX_HOURLY, attributes, np.arange(40), " since " in units)


@pytest.mark.parametrize(
    ("select", "indices"),
    [
        (["2001-01-02T06:00"], [5]),
        (["20010102"], [4, 5, 6, 7]),
        (["2001-01-02/2001-01-03"], [*range(4, 12)]),
        (["2001-01-02T12:00/2001-01-03T00:00"], [6, 7, 8]),
        (["2001-01-01/2001-01-10/2 days"], [0, 8, 16, 24, 32]),
        (["2001-01-01T06:00/2001-01-03/12h"], [1, 3, 5, 7, 9, 11]),
        ([7, "2001-01-01T00:00:00Z", 3], [7, 0, 3]),
    ],
)
def test_dates_stand_for_their_times(select, indices):
    assert indices_of(select, axis()) == indices


def test_dates_are_of_the_files_calendar():
    noleap = axis("days since 2000-02-28", "noleap")
    assert indices_of(["2000-03-06"], noleap) == [1]  # six days on, there is no 29 February
    assert indices_of(["2000-03-05"], axis("days since 2000-02-28")) == [1]


@pytest.mark.parametrize(
    ("entry", "times", "words"),
    [
        ("2001-02-30", axis(), r"'2001-02-30', which is no date, nor a range of dates, of the calendar standard; give such as"),
        ("soon", axis(), r"'soon', which is no date, nor"),
        ("2001-01-03/2001-01-02", axis(), r"which is no date, nor a range"),
        ("2001-01-03/2001-01-04/6 hours/9", axis(), r"which is no date, nor a range"),
        ("2001-01-03/2001-01-04/often", axis(), r"condition\.select = '2001-01-03/.*' has the step 'often'; give a number and"),
        (
            "2001-01-02T07:00",
            axis(),
            r"none of the 40 times of the files; they are from 2001-01-01 00:00:00 .* to 2001-01-10",
        ),
        ("2001-01-02", axis("1"), r"'2001-01-02', but the times of the files are no dates; give indices, from 0 to 39"),
    ],
)
def test_what_is_no_time_of_the_files_is_refused(entry, times, words):
    with pytest.raises(DataError, match=words):
        indices_of([entry], times)


def test_a_run_writes_indices(tmp_path):
    write_conditions(tmp_path / "c.nc")
    path = write_project(tmp_path)
    changes = [
        f"condition.files={tmp_path / 'c.nc'}",
        "condition.variables=[vorticity]",
        "condition.select=[2001-01-01T06:00/2001-01-02]",
    ]
    inputs = read_inputs(load(path, changes))
    assert inputs.config.condition.select == [1, 2] and inputs.conditions.cases.indices == [1, 2]
