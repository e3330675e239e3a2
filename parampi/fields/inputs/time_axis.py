"""The axis along which samples of several files follow one another: by their times, whatever the units and the order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.inputs.axes import role_by_name
from parampi.fields.inputs.steps import START, step_name, steps_in
from parampi.fields.inputs.written_times import is_written, written_times

if TYPE_CHECKING:
    import xarray

Floats = NDArray[np.floating[Any]]
COPIED = ("units", "calendar", "standard_name", "long_name", "axis", "units_metadata")
"""Attributes of the axis of times that are taken over."""
EPOCH = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
"""Attributes of times that are stored as dates (datetime64), once they are numbers."""
ALIASES = {"gregorian": "standard", "proleptic_gregorian": "standard", "365_day": "noleap", "366_day": "all_leap"}
"""Calendars by other names; the proleptic one is the standard one from 1582 on."""


@dataclass(frozen=True, eq=False)
class FileTimes:
    """The first axis of one file: name, numbers and attributes; no `values` where it has no coordinate."""

    name: str
    values: Floats | None
    attributes: dict[str, str]
    size: int
    path: Path

    @property
    def units(self) -> str:
        return self.attributes.get("units", "")

    @property
    def calendar(self) -> str:
        calendar = self.attributes.get("calendar", "standard").lower()
        return ALIASES.get(calendar, calendar)

    @property
    def days(self) -> str:
        """The calendar by which its numbers are counted: those of a standard and of a proleptic one differ before 1582."""
        calendar = self.attributes.get("calendar", "standard").lower()
        return "standard" if calendar == "gregorian" else calendar

    @property
    def dated(self) -> bool:
        """Whether its numbers are times since a date."""
        return " since " in self.units


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """The axis of all samples in the order of their times.

    name, values, attributes   of the coordinate, in the units of the first file
    order                      which sample of the files, one after another, stands where
    dated                      whether the values are times
    """

    name: str
    values: Floats
    attributes: dict[str, str]
    order: NDArray[np.intp]
    dated: bool

    @property
    def sorted(self) -> bool:
        return not np.array_equal(self.order, np.arange(len(self.order)))

    def text(self, value: float) -> str:
        """Return a time as a date, or as its number where it is none."""
        return date_text(value, self.attributes) if self.dated else f"{value:g}"


def read_times(dataset: "xarray.Dataset", axes: Sequence[str], variable: str, path: Path) -> FileTimes:
    """Read the axis of samples of a variable that has at most one. Raise DataError for times that are none.

    The times are those at which fields are valid: of a forecast, its start and the step after that.
    """
    axis, size = (axes[0], int(dataset.sizes[axes[0]])) if axes else ("", 1)
    along = coordinates_along(dataset, axis, variable)
    dates = [name for name in along if is_time(dataset[name])]
    written = [name for name in along if is_written(name, dataset[name])]
    coordinate = "valid_time" if "valid_time" in dates else axis if axis in dates else next(iter(dates), "")
    step = step_name(dataset, variable)
    valid = coordinate and (dataset[coordinate].attrs.get("standard_name") == "time" or coordinate == "valid_time")
    if step and (coordinate != "valid_time" if step in dataset[variable].dims else not valid):
        times = start_and_step(dataset, axis, variable, step, path)
        if times is not None:
            return times
    if not coordinate and written:
        return FileTimes(written[0], *written_times(written[0], dataset[written[0]], path), size, path)
    if not coordinate and not axis:
        return FileTimes("case", None, {}, 1, path)
    coordinate = coordinate or (axis if axis in along else "")
    if not coordinate:
        require_no_odd_times(dataset, axis, path)
    if not coordinate or dataset[coordinate].dtype.kind not in "biufM":
        return FileTimes(axis, None, {}, size, path)
    return file_times(coordinate, dataset[coordinate], path)


def coordinates_along(dataset: "xarray.Dataset", axis: str, variable: str) -> list[str]:
    """Return the coordinates that have a value for each index along an axis of a variable, whatever axes of length 1 it has
    besides; without an axis, those of one value."""
    size = dataset.sizes[axis] if axis else 1
    others = [str(other) for other in dataset[variable].dims if other != axis and dataset.sizes[other] == 1]
    names = [*dataset.coords, *(name for name in dataset.data_vars if role_by_name(str(name)) == "time")]
    fitting = [str(name) for name in names if dataset[name].size == size]
    if axis:
        return [name for name in fitting if axis in dataset[name].dims and set(dataset[name].dims) <= {axis, *others}]
    return [name for name in fitting if dataset[name].ndim <= 1]


def start_and_step(dataset: "xarray.Dataset", axis: str, variable: str, step: str, path: Path) -> FileTimes | None:
    """Return the times at which the fields of a forecast are valid, from the coordinates of starts and of steps; None where
    there is no start, or where the times do not belong to it."""
    of_axis = set(dataset[step].dims) <= set(dataset[variable].dims) and dataset[step].ndim == 1
    starts = [
        str(name)
        for name, one in dataset.coords.items()
        if one.ndim <= 1
        and set(one.dims) <= set(dataset[variable].dims)
        and (one.dtype.kind == "M" or " since " in str(one.attrs.get("units", "")))
        and (one.attrs.get("standard_name") == START or (of_axis and dataset[step].dims != one.dims and is_time(one)))
    ]
    if not starts or (axis and not {axis} & {*dataset[starts[0]].dims, *dataset[step].dims}):
        return None
    start = file_times(starts[0], dataset[starts[0]], path)
    assert start.values is not None
    steps = steps_in(dataset, step, start.units, path)
    paired = dataset[step].dims == dataset[starts[0]].dims
    values = start.values + steps if paired else np.add.outer(start.values, steps).reshape(-1)
    attributes = {key: text for key, text in start.attributes.items() if key not in ("long_name", "axis")}
    return FileTimes("time", values, attributes | {"standard_name": "time"}, values.size, path)


def file_times(name: str, variable: "xarray.DataArray", path: Path) -> FileTimes:
    stored = np.asarray(variable.values).reshape(-1)
    stored = (stored - np.datetime64(0, "s")) / np.timedelta64(1, "s") if stored.dtype.kind == "M" else stored
    values = stored.astype(np.float64)
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{path}: {name} has no value at index {index}; give every field its time, or leave such fields out")
    attributes = {key: str(variable.attrs[key]) for key in COPIED if key in variable.attrs}
    attributes |= EPOCH if variable.dtype.kind == "M" else {}
    return FileTimes(name, values, attributes, values.size, path)


def is_time(variable: "xarray.DataArray") -> bool:
    """Return whether a coordinate is of times, and not of the starts of forecasts."""
    if variable.attrs.get("standard_name") == START or variable.dtype.kind not in "biufM":
        return False
    return " as %" not in str(variable.attrs.get("units", "")) and (
        variable.dtype.kind == "M"
        or variable.attrs.get("standard_name") == "time"
        or " since " in str(variable.attrs.get("units", ""))
    )


def require_no_odd_times(dataset: "xarray.Dataset", axis: str, path: Path) -> None:
    """Raise DataError where a variable has the name of an axis of samples and several axes, such as year, month and day."""
    if axis in dataset.variables and dataset[axis].ndim > 1:
        axes = ", ".join(str(other) for other in dataset[axis].dims)
        raise DataError(
            f"{path}: {axis} has the axes ({axes}); parampi takes times of one axis, in numbers since a date, such as "
            f"'hours since 2000-01-01'; rewrite it"
        )


def joined(files: Sequence[FileTimes]) -> TimeAxis:
    """Return the axis of all samples; numbers that are no times stay in the order of the files.

    Raises DataError for times that come twice or cannot be compared.
    """
    first, total = files[0], sum(one.size for one in files)
    if any(one.values is None for one in files):
        missing = next(one for one in files if one.values is None)
        if missing is not first or any(one.values is not None for one in files):
            other = next(one for one in files if one.values is not None)
            raise DataError(
                f"{missing.path} has no times along {missing.name}, {other.path} has; give all files times, or none"
            )
        attributes = {"long_name": "index of the condition", "units": "1"}
        return TimeAxis(first.name, np.arange(total, dtype=np.float64), attributes, np.arange(total), False)
    values = np.concatenate([in_units_of(one, first) for one in files])
    order = np.arange(total)
    if first.dated:
        order = np.argsort(values, kind="stable")
        require_once(files, values, order)
    return TimeAxis(first.name, values[order], first.attributes, order, first.dated)


def in_units_of(times: FileTimes, first: FileTimes) -> Floats:
    """Return times in the units and the calendar of the first file. Raise DataError where they cannot be told in these."""
    import cftime

    assert times.values is not None
    if times.calendar != first.calendar and times.dated:
        raise DataError(
            f"{times.path}: {times.name} has the calendar {times.calendar}, but that of {first.path} is {first.calendar}; "
            f"files that follow one another must agree"
        )
    if times.dated:
        require_dates(times)
    if times.units == first.units and same_days(times, first):
        return times.values
    if not (times.dated and first.dated):
        raise DataError(
            f"{times.path}: {times.name} is in {times.units!r}, but in {first.units!r} in {first.path}; files that follow one "
            f"another must agree"
        )
    dates = cftime.num2date(times.values, times.units, calendar=times.days, only_use_cftime_datetimes=True)
    try:
        dates = [cftime.datetime(*fields_of(date), calendar=first.days) for date in dates]
    except ValueError:
        raise DataError(
            f"{times.path}: {times.name} has a date in October 1582 that the calendar {first.days} of {first.path} leaves out; "
            f"leave such fields out"
        ) from None
    return np.asarray(cftime.date2num(dates, first.units, calendar=first.days), np.float64)


def same_days(times: FileTimes, first: FileTimes) -> bool:
    """Return whether numbers in the same units are the same dates in the calendars of both."""
    import cftime

    if times.days == first.days or not times.dated or times.values is None or times.size == 0:
        return True
    ends = np.array([times.values.min(), times.values.max()])
    both = [cftime.num2date(ends, times.units, calendar=one.days, only_use_cftime_datetimes=True) for one in (times, first)]
    return all(fields_of(one) == fields_of(other) for one, other in zip(*both, strict=True))


def fields_of(date: Any) -> tuple[int, ...]:
    """Return year, month, day, hour, minute, second and microsecond of a date."""
    return date.year, date.month, date.day, date.hour, date.minute, date.second, date.microsecond


def require_dates(times: FileTimes) -> None:
    """Raise DataError for units or a calendar that cftime does not know, or numbers beyond its dates."""
    import cftime

    try:
        ends = np.array([times.values.min(), times.values.max()]) if times.values is not None and times.size else np.zeros(1)
        cftime.num2date(ends, times.units, calendar=times.days, only_use_cftime_datetimes=True)
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:  # of odd units, cftime raises any
        reason = " ".join(str(error).split())
        raise DataError(
            f"{times.path}: {times.name} is in {times.units!r}, calendar {times.calendar!r}, which cftime cannot read "
            f"({reason}); give such as 'hours since 2000-01-01' and a calendar of CF"
        ) from None


def require_once(files: Sequence[FileTimes], values: Floats, order: NDArray[np.intp]) -> None:
    """Raise DataError where a time comes twice, naming it and where."""
    twice = np.flatnonzero(np.diff(values[order]) == 0)
    if twice.size == 0:
        return
    ends = np.cumsum([one.size for one in files])
    places = [files[int(np.searchsorted(ends, order[twice[0] + k], side="right"))].path for k in (0, 1)]
    where = f"twice in {places[0]}" if places[0] == places[1] else f"in {places[0]} and in {places[1]}"
    when = date_text(values[order[twice[0]]], files[0].attributes)
    raise DataError(f"{files[0].name} = {when} is {where}; leave one out, as nothing says which is right")


def date_text(value: float, attributes: Mapping[str, str]) -> str:
    """Return a time as a date and as its number."""
    import cftime

    calendar = attributes.get("calendar", "standard")
    date = cftime.num2date(value, attributes["units"], calendar=calendar, only_use_cftime_datetimes=True)
    return f"{date} ({value:g} {attributes['units']})"
