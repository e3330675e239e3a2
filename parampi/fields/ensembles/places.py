"""Members of an ensemble's file at one case and lead time: what pictures show, and where it is from, in words."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.channels import split_channel
from parampi.fields.times import SECONDS, UNITS, unit_of

if TYPE_CHECKING:
    import xarray

    from parampi.fields.ensemble_axes import Cases

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Place:
    """A case and a lead time of an ensemble, of which not all may have several.

    case, lead  indices along the axes of the file
    start       of the case in words, such as "2001-01-01 06:00", "" where the ensemble has no cases
    ahead       the lead time in words, such as "6 hours", "" where it has none
    valid       the time that a forecast is for, "" where it is not known
    rows        members that are finished there, by their rows in the file, and their `numbers`
    """

    case: int
    lead: int
    start: str
    ahead: str
    valid: str
    rows: tuple[int, ...]
    numbers: tuple[int, ...]

    @property
    def words(self) -> str:
        """Where it is, in a line; "" where the ensemble has neither cases nor lead times."""
        named = (("start " if self.ahead else "", self.start), ("lead time ", self.ahead), ("valid ", self.valid))
        return ", ".join(f"{word}{text}" for word, text in named if text)


def places(dataset: "xarray.Dataset") -> list[Place]:
    """Return the cases and lead times at which members are finished, case by case."""
    complete = dataset["complete"]
    case_axis = next((str(name) for name in complete.dims if name not in ("member", "lead_time")), None)
    axes = ("member", *((case_axis,) if case_axis else ()), *(("lead_time",) if "lead_time" in complete.dims else ()))
    table = (complete.transpose(*axes).values == 1).reshape(len(dataset["member"]), dataset.sizes.get(case_axis, 1), -1)
    found = []
    for case, lead in np.ndindex(*table.shape[1:]):
        rows = np.flatnonzero(table[:, case, lead])
        if len(rows):
            start = time_words(dataset[case_axis], case) if case_axis else ""
            ahead = time_words(dataset["lead_time"], lead) if "lead_time" in complete.dims else ""
            numbers = tuple(int(number) for number in dataset["member"].values[rows])
            found.append(Place(case, lead, start, ahead, valid_words(dataset, case, lead), tuple(rows.tolist()), numbers))
    return found


def valid_words(dataset: "xarray.Dataset", case: int, lead: int) -> str:
    """Return the time that a forecast is for, in words."""
    if "valid_time" not in dataset.coords:
        return ""
    return date_words(dataset["valid_time"].transpose(..., "lead_time").values[case, lead])


def time_words(axis: "xarray.DataArray", index: int) -> str:
    """Return a value of an axis of cases or lead times in words."""
    value = axis.values[index]
    if axis.dtype.kind == "m":
        unit = UNITS.get(str(axis.encoding.get("units", "")).lower(), "seconds")
        number = float(value / np.timedelta64(1, "us")) * 1e-6 / SECONDS[unit]
        return f"{number:g} {unit[:-1] if number == 1 else unit}"
    if axis.dtype.kind in "MO":
        return date_words(value)
    units = str(axis.attrs.get("units", ""))
    return f"{axis.name} {value:g}{f' {units}' if units not in ('', '1') else ''}"


def date_words(value: Any) -> str:
    """Return a date without seconds that are 0."""
    text = np.datetime_as_string(value, unit="ms") if isinstance(value, np.datetime64) else str(value)
    return re.sub(r"(\.\d*?)0*$", r"\1", text.replace("T", " ")).removesuffix(".").removesuffix(":00")


def case_words(cases: "Cases") -> list[str]:
    """Return the cases in words, as `Place.start` has them."""
    units = str(cases.attributes.get("units", ""))
    if unit_of(units):
        import cftime

        return [date_words(date) for date in cftime.num2date(cases.values, units, cases.attributes.get("calendar", "standard"))]
    return [f"{cases.name} {value:g}{f' {units}' if units not in ('', '1') else ''}" for value in cases.values]


def fields_at(dataset: "xarray.Dataset", channel: str, place: Place, most: int) -> Floats:
    """Read a channel (M, H, W) of at most so many finished members at a place, NaN where points are missing; of fields that are
    no maps, all axes but the last count as one. Raises DataError for a channel that the file has not."""
    name, level = (channel, None) if channel in dataset.variables else split_channel(channel)
    if name not in dataset.data_vars:
        raise DataError(f"the ensemble has no variable {name!r}; it has {', '.join(map(str, dataset.data_vars))}")
    variable, others = dataset[name], ("member", "lead_time", *dataset["complete"].dims)
    case_axis = next((axis for axis in dataset["complete"].dims if axis not in ("member", "lead_time")), None)
    at = {axis: index for axis, index in ((case_axis, place.case), ("lead_time", place.lead)) if axis in variable.dims}
    if level is not None:
        axis = next(axis for axis in variable.dims if axis not in others)
        at[axis] = int(np.argmin(np.abs(variable[axis].values - level)))
    chosen = variable.isel(at | {"member": list(place.rows[:most])}).transpose("member", ...)
    values = np.asarray(chosen.values, np.float64)
    return values if values.ndim == 3 else values.reshape(len(values), -1, values.shape[-1])
