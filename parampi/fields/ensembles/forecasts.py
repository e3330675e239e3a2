"""Ensemble files as forecasts: which times their fields are for, and the fields of another file at these times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.channels import LEVEL_MARK
from parampi.fields.field_dimensions import FieldDimensions, rank_of, read_dimensions
from parampi.fields.geometry import Geometry, geometry_of, unplaced
from parampi.fields.inputs.axes import FIELDS, field_axes
from parampi.fields.inputs.datasets import opened
from parampi.fields.inputs.horizontal import Grid, grid_of
from parampi.fields.inputs.other_tools import cutting, regridding
from parampi.fields.inputs.samples import FileSamples, values_of
from parampi.fields.inputs.time_axis import FileTimes, date_text, in_units_of
from parampi.fields.stores.check import channels as field_variables
from parampi.fields.stores.reader import first_drawn, open_ensemble, read_field
from parampi.fields.times import SECONDS, unit_of

Floats = NDArray[np.floating[Any]]
CLOSE = 0.5
"""How far times that are the same may differ, in seconds."""
COPIED = ("units", "calendar")
FORECASTS = "member, start, lead time"


@dataclass(frozen=True)
class Channel:
    """One variable, or one of its levels: where it is in a file, and what it is called."""

    variable: str
    level: int | None
    value: float | None
    units: str
    long_name: str

    @property
    def name(self) -> str:
        return self.variable if self.value is None else f"{self.variable}{LEVEL_MARK}{self.value:g}"


@dataclass(frozen=True, eq=False)
class Forecasts:
    """An ensemble file with times.

    channels    of its fields
    members     rows along its first axis that are finished at all starts and lead times, `realizations` their numbers
    starts      (S,) of forecasts, or the valid times where there are no lead times; with their attributes
    leads       (L,) in `lead_units`, without lead time 0; None where there are none
    first_lead  where these begin in the file: 1 where lead time 0 is before them
    valid       (S, L) times that fields are for, in the units of the starts
    dimensions  of fields that are no maps
    """

    path: Path
    channels: tuple[Channel, ...]
    grid: Grid
    members: tuple[int, ...]
    realizations: tuple[int, ...]
    left_out: int
    axis: str
    starts: Floats
    attributes: Mapping[str, str]
    leads: Floats | None
    lead_units: str
    first_lead: int
    valid: Floats
    level_axes: Mapping[str, tuple[str, Mapping[str, str]]]
    dimensions: FieldDimensions | None = None

    @property
    def geometry(self) -> Geometry:
        """Where the points are."""
        if self.dimensions is not None:
            return unplaced(self.grid.shape, self.dimensions)
        y, x = self.grid.y, self.grid.x
        return geometry_of(values_of(y), values_of(x), units=(y.units, x.units), names=(y.name, x.name))

    @property
    def dated(self) -> bool:
        """Whether its times are dates."""
        return " since " in self.attributes.get("units", "")

    @property
    def times(self) -> FileTimes:
        """Its valid times, start by start."""
        return FileTimes("valid_time", self.valid.ravel(), dict(self.attributes), self.valid.size, self.path)

    @property
    def start_times(self) -> FileTimes:
        """Its starts."""
        return FileTimes(self.axis, self.starts, dict(self.attributes), self.starts.size, self.path)

    def when(self, start: int, lead: int) -> str:
        """Return the valid time of a field in words, with the start and the lead time."""
        valid = date_text(float(self.valid[start, lead]), self.attributes)
        if self.leads is None:
            return valid
        begun = date_text(float(self.starts[start]), self.attributes)
        return f"{valid}: {self.leads[lead]:g} {self.lead_units} after {begun}"

    def read(self, file: netCDF4.Dataset, channel: Channel, start: int, lead: int) -> NDArray[np.float32]:
        """Return the members' fields (M, H, W) of an open file, NaN where values are missing."""
        index = (start, lead + self.first_lead) if self.leads is not None else (start,)
        variable = file[channel.variable]
        return np.stack([read_field(variable, (member, *index), channel.level) for member in self.members])

    def choose(self, names: Sequence[str]) -> tuple[Channel, ...]:
        """Return channels by name; a variable with levels stands for all of them. Raise DataError for an unknown one."""
        present = ", ".join(channel.name for channel in self.channels)
        chosen = [[c for c in self.channels if name in (c.name, c.variable, f"{c.variable}@*")] for name in names]
        for name, some in zip(names, chosen, strict=True):
            if not some:
                raise DataError(f"{self.path} has no channel {name}; it has {present}")
        return tuple(dict.fromkeys(c for some in chosen for c in some)) or self.channels


def read_forecasts(path: str | Path) -> Forecasts:
    """Read what an ensemble file says of itself. Raise DataError where it has no fields, no finished member or no times."""
    path = Path(path)
    with open_ensemble(path) as file:
        names = field_variables(file)
        if not names:
            raise DataError(f"{path} has no fields of members (output.members = false?); score a file that has them")
        axes = file["complete"].dimensions[1:]
        leads = "lead_time" if "lead_time" in axes else ""
        if not axes or axes[0] == leads or len(axes) > 2:
            raise DataError(
                f"{path} has the axes ({', '.join(file['complete'].dimensions)}), and no times by which the truth is found; "
                f"score an ensemble drawn with conditions, whose axes are (member, time, [lead_time])"
            )
        attributes = {key: str(getattr(file[axes[0]], key)) for key in COPIED if hasattr(file[axes[0]], key)}
        starts, rows = numbers(file[axes[0]]), finished_rows(file, path)
        realizations = tuple(int(number) for number in np.ma.filled(file["realization"][:], -1))
        first = first_drawn(file)
        steps = numbers(file[leads])[first:] if leads else None
        valid = numbers(file["valid_time"])[:, first:] if "valid_time" in file.variables else starts[:, None]
        if leads and "valid_time" not in file.variables:
            raise DataError(
                f"{path} has lead times but no valid_time, as its starts are in {attributes.get('units', 'no units')!r}; "
                f"give the files of conditions times such as 'hours since 2000-01-01'"
            )
        return Forecasts(
            path=path,
            channels=tuple(channel for name in names for channel in channels_of(file, name)),
            grid=ensemble_grid(path, names[0], read_dimensions(file)),
            members=rows,
            realizations=tuple(realizations[row] for row in rows),
            left_out=len(realizations) - len(rows),
            axis=axes[0],
            starts=starts,
            attributes=attributes,
            leads=steps,
            lead_units=str(getattr(file[leads], "units", "1")) if leads else "",
            first_lead=first,
            valid=valid,
            level_axes=dict(level_axis(file, name) for name in names if file[name].ndim > len(axes) + 1 + rank_of(file)),
            dimensions=read_dimensions(file),
        )


def numbers(variable: Any) -> Floats:
    """Return the values of a coordinate in float64."""
    return np.asarray(np.ma.filled(np.ma.asarray(variable[:], np.float64), np.nan))


def finished_rows(file: netCDF4.Dataset, path: Path) -> tuple[int, ...]:
    """Return the members that are finished everywhere. Raise DataError where there is none."""
    complete = np.ma.filled(file["complete"][:], 0) == 1
    rows = np.flatnonzero(complete.reshape(len(complete), -1).all(1))
    if not len(rows):
        raise DataError(
            f"{path} has no member that is finished at all starts and lead times; finish the run first (parampi resume)"
        )
    return tuple(rows.tolist())


def channels_of(file: netCDF4.Dataset, name: str) -> list[Channel]:
    """Return the channels of a variable: itself, or each of its levels."""
    variable, axes = file[name], file["complete"].ndim
    units, long_name = str(getattr(variable, "units", "1")), str(getattr(variable, "long_name", name))
    if variable.ndim == axes + rank_of(file):
        return [Channel(name, None, None, units, long_name)]
    levels = numbers(file[variable.dimensions[axes]])
    return [Channel(name, k, float(value), units, long_name) for k, value in enumerate(levels)]


def level_axis(file: netCDF4.Dataset, name: str) -> tuple[str, tuple[str, dict[str, str]]]:
    """Return a variable and its axis of levels, with attributes."""
    axis = file[file[name].dimensions[file["complete"].ndim]]
    kept = (key for key in axis.ncattrs() if key[0] != "_" and key != "formula_terms")
    return name, (axis.name, {key: str(axis.getncattr(key)) for key in kept})


def ensemble_grid(path: Path, name: str, dimensions: FieldDimensions | None) -> Grid:
    """Return the grid of an ensemble's variable."""
    with opened(path, [name]) as dataset:
        dataset.encoding[FIELDS] = dimensions.names if dimensions else ()
        axes = field_axes(dataset, name)
        if axes is None:
            raise DataError(f"{path}: {name} has no axes y and x; score an ensemble of fields")
        return grid_of(dataset, axes, path, name)


class Truth:
    """Fields of other files at the times of forecasts, on their grid and in their units.

    Raises DataError where files have no times, not the variables, another grid, or no field for a time: with its date.
    """

    def __init__(self, paths: Sequence[str | Path], forecasts: Forecasts, channels: Sequence[Channel]):
        self.forecasts, self.channels = forecasts, channels
        levels = {name: one["units"] for name, (_, one) in forecasts.level_axes.items() if one.get("units")}
        units = [channel.units for channel in channels]
        options: dict[str, Any] = {"least": 2, "grid": forecasts.grid, "units": lambda names: units, "levels": levels}
        options["dimensions"] = forecasts.dimensions
        self.samples = FileSamples(paths, [channel.name for channel in channels], **options)
        try:
            self.name = ", ".join(map(str, self.samples.paths))
            self.require_grid()
            self.require_dates()
            self.rows = self.find(forecasts.times, forecasts.when).reshape(forecasts.valid.shape)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self.samples.close()

    def require_grid(self) -> None:
        """Raise DataError for another number of points."""
        own, other = self.samples.shape[2:], self.forecasts.grid.shape
        if own != other:
            tool = regridding([*self.samples.paths, self.forecasts.path], self.forecasts.grid.x.units)
            raise DataError(
                f"{self.name} has fields of {own[0]} x {own[1]} points, {self.forecasts.path} of {other[0]} x {other[1]}; "
                f"bring both onto one grid, {tool}"
            )

    def require_dates(self) -> None:
        """Raise DataError where one of both has no dates."""
        for path, dated in ((self.name, self.samples.times.dated), (self.forecasts.path, self.forecasts.dated)):
            if not dated:
                raise DataError(
                    f"{path} has no dates, by which fields are matched; give its times units such as 'hours since 2000-01-01'"
                )

    def find(self, times: FileTimes, when: Any) -> NDArray[np.intp]:
        """Return which samples are of these times. `when(start, lead)` says one in words."""
        own = self.samples.times
        sought = in_units_of(times, self.samples.files[0].times)
        places = np.clip(np.searchsorted(own.values, sought), 1, max(len(own.values) - 1, 1))
        before, after = np.clip(places - 1, 0, None), np.clip(places, None, len(own.values) - 1)
        nearest = np.where(np.abs(own.values[before] - sought) <= np.abs(own.values[after] - sought), before, after)
        tolerance = CLOSE / SECONDS.get(unit_of(own.attributes.get("units", "")), 1)
        known = np.abs(own.values[nearest] - sought) <= tolerance
        if not known.all():
            several = known.reshape(self.forecasts.valid.shape if len(sought) == self.forecasts.valid.size else (-1, 1))
            raise DataError(self.unknown(several, when))
        return nearest

    def unknown(self, known: NDArray[np.bool_], when: Any) -> str:
        """Return what to say of times (S, L) of which some are not `known`: the first of them, and what would do without."""
        missing, own = np.argwhere(~known), self.samples.times
        first, others = when(*missing[0].tolist()), f" and for {len(missing) - 1} others" * (len(missing) > 1)
        span = f"{own.text(own.values[0])} to {own.text(own.values[-1])}"
        told = f"{self.name} has no field for {first}{others}; its {len(own.values)} times are from {span}"
        count = int(known.all(0).cumprod().sum()) + self.forecasts.first_lead  # lead times of which it has all
        if known.shape[1] == 1 or count == self.forecasts.first_lead:
            return f"{told}; give files that have it"
        return f"{told}; give files that have it, or an ensemble without ({cutting(self.forecasts.path, 'lead_time', count)})"

    def read(self, start: int, lead: int) -> Floats:
        """Return the fields (C, H, W) for a start and a lead time, NaN where values are missing."""
        return self.sample(int(self.rows[start, lead]))

    def sample(self, row: int) -> Floats:
        """Return the fields (C, H, W) of one of its times."""
        field: Floats = self.samples[row : row + 1][0]
        return field

    def at_starts(self) -> NDArray[np.intp]:
        """Return the samples (S,) of the forecasts' starts."""
        forecasts = self.forecasts

        def when(start: int, lead: int) -> str:
            return f"the start {date_text(float(forecasts.starts[start]), forecasts.attributes)} of a forecast"

        return self.find(forecasts.start_times, when)
