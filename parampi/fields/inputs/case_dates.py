"""Cases of conditions by dates: `2001-01-31T06:00`, all times of a day `2001-01-31`, a range `2001-01-01/2001-02-01/5 days`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.inputs.time_axis import TimeAxis
from parampi.fields.inputs.written_times import UNITS, seconds_of
from parampi.fields.times import SECONDS, parse_duration

Floats = NDArray[np.floating[Any]]
DAY = 86400.0
CLOSE = 0.5
"""How far times that are the same may differ, in seconds."""


def indices_of(select: Sequence[int | str], times: TimeAxis) -> list[int]:
    """Return the indices of cases that are named by index or by date, in the order in which they are named. Raise DataError
    for what is no date, or no time of the files."""
    chosen: list[int] = []
    seconds = None
    for entry in select:
        if isinstance(entry, int):
            chosen.append(entry)
            continue
        seconds = seconds_of_axis(entry, times) if seconds is None else seconds
        chosen += within(entry, seconds, times)
    return chosen


def seconds_of_axis(entry: str, times: TimeAxis) -> Floats:
    """Return times as seconds since 1970. Raise DataError where they are no dates."""
    import cftime

    if not times.dated:
        raise DataError(
            f"condition.select has {entry!r}, but the times of the files are no dates; give indices, from 0 to "
            f"{len(times.values) - 1}"
        )
    calendar = times.attributes.get("calendar", "standard")
    dates = cftime.num2date(times.values, times.attributes["units"], calendar=calendar, only_use_cftime_datetimes=True)
    return np.asarray(cftime.date2num(dates, UNITS, calendar=calendar), np.float64)


def within(entry: str, seconds: Floats, times: TimeAxis) -> list[int]:
    """Return the indices of the times that an entry names. Raise DataError where there is none."""
    first, last, step = ends_of(entry, times.attributes.get("calendar", "standard"))
    fits = (seconds >= first - CLOSE) & (seconds <= last + CLOSE)
    if step:
        beyond = (seconds - first) % step
        fits &= np.minimum(beyond, step - beyond) <= CLOSE
    found = np.flatnonzero(fits).tolist()
    if not found:
        span = f"{times.text(times.values[0])} to {times.text(times.values[-1])}"
        raise DataError(
            f"condition.select has {entry!r}, which is none of the {len(times.values)} times of the files; they are from "
            f"{span}: name some of these"
        )
    return found


def ends_of(entry: str, calendar: str) -> tuple[float, float, float]:
    """Return the first and the last second of an entry, and the step between times, 0 for all. Raise DataError for what is no
    date."""
    first, *others = [part.strip() for part in entry.split("/")]
    last, step = (others + [first, ""][len(others) :])[:2] if len(others) < 3 else ("", "")
    begin, end = seconds_of(first, calendar), seconds_of(last, calendar)
    if begin is None or end is None or len(others) > 2 or end < begin:
        raise DataError(
            f"condition.select has {entry!r}, which is no date, nor a range of dates, of the calendar {calendar}; give such as "
            f"2001-01-31T06:00, 2001-01-31 for all times of a day, 2001-01-01/2001-02-01, or 2001-01-01/2001-02-01/5 days"
        )
    if is_day(last):
        end += DAY - 2 * CLOSE
    length, unit = parse_duration(step, f"condition.select = {entry!r}") if step else (0.0, "seconds")
    return begin, end, length * SECONDS[unit]


def is_day(text: str) -> bool:
    """Return whether a date has no time of day."""
    return len(text.replace("-", "")) == 8
