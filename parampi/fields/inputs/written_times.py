"""Times that are written as dates: in letters (ISO 8601, those of WRF), or as numbers whose digits are year, month and day."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.inputs.axes import role_by_name

if TYPE_CHECKING:
    import xarray

TEXT = "SUOT"
"""Kinds of types of letters."""
UNITS = "seconds since 1970-01-01"
DATE = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?:[T_ ]?([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?)?)?\s*"
    r"(?:Z|UTC|([+-])([0-9]{2}):?([0-9]{2})?)?"
)
ABSOLUTE = re.compile(r"days? as %Y%m%d(\.%f)?", re.IGNORECASE)
"""Units of days whose digits are a date (CDO, COARDS)."""


def is_written(name: str, variable: "xarray.DataArray") -> bool:
    """Return whether a coordinate is of times that are dates in letters or digits."""
    if " as %" in str(variable.attrs.get("units", "")):
        return True
    named = role_by_name(name) == "time" or variable.attrs.get("standard_name") == "time" or variable.attrs.get("axis") == "T"
    return variable.dtype.kind in TEXT and named


def written_times(name: str, variable: "xarray.DataArray", path: Path) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Return dates as numbers, and the attributes of these. Raise DataError for one that is none, naming it."""
    calendar = str(variable.attrs.get("calendar", "proleptic_gregorian"))
    values = np.asarray(variable.values).reshape(-1)
    seconds = [seconds_of(text, calendar) for text in texts_of(name, variable, values, path)]
    if None in seconds:
        first = seconds.index(None)
        raise DataError(
            f"{path}: {name} is {str(values[first])!r} at index {first}, which is no date of the calendar {calendar}; write "
            f"such as 2000-01-31T06:00:00, or numbers in such as 'hours since 2000-01-01'"
        )
    attributes = {"units": UNITS, "calendar": calendar, "standard_name": "time"}
    return np.array(seconds, np.float64), attributes


def texts_of(name: str, variable: "xarray.DataArray", values: NDArray[Any], path: Path) -> list[str]:
    """Return dates in letters. Raise DataError for units of other digits than those of days."""
    if variable.dtype.kind in TEXT:
        return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values.tolist()]
    units = str(variable.attrs.get("units"))
    if not ABSOLUTE.fullmatch(units.strip()) or variable.dtype.kind not in "iuf":
        raise DataError(f"{path}: {name} is in {units!r}; write such as 'hours since 2000-01-01' (cdo -r copy)")
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        return [str(value) for value in numbers]
    parts = [divmod(value, 1.0) for value in numbers.tolist()]
    clocks = [divmod(round(fraction * 86400), 60) for _, fraction in parts]
    return [
        f"{int(day):08d}T{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"
        for (day, _), (minutes, second) in zip(parts, clocks, strict=True)
    ]


def seconds_of(text: str, calendar: str) -> float | None:
    """Return a date in letters as seconds since 1970; None where it is none."""
    import cftime

    match = DATE.fullmatch(text.strip().strip("\x00"))
    if not match:
        return None
    *fields, fraction, sign, hours, minutes = match.groups()
    numbers = [int(field or 0) for field in fields]
    try:
        date = cftime.datetime(*numbers, calendar=calendar)
        seconds = float(cftime.date2num(date, UNITS, calendar=calendar))
    except ValueError:
        return None
    offset = 3600 * int(hours or 0) + 60 * int(minutes or 0)
    return seconds + float(f"0.{fraction or 0}") - (offset if sign == "+" else -offset)
