"""Files of scores: a NetCDF variable for each score and variable of an ensemble, with the axes of lead times and levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.fields.atomic_files import replacing
from parampi.fields.ensembles.forecasts import Channel, Forecasts
from parampi.fields.netcdf_files import CONVENTIONS

Floats = NDArray[np.floating[Any]]
AXIS_NAMES = {
    "rank": "members below the truth",
    "count": "members above the threshold",
    "shell": "wavenumber or degree of a shell; -1 is what harmonics leave",
    "bound": "lower and upper end of the confidence interval",
}


@dataclass(frozen=True, eq=False)
class ScoreKind:
    """A score: its name in words, the power of the channel's units that it is in (None: a pure number), and the names of its
    axes after lead times and levels."""

    long_name: str
    power: int | None = None
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ChannelScores:
    """Scores of one channel: `values` (L, ...) by name, `intervals` (2, L, ...) of some, and the thresholds."""

    channel: Channel
    thresholds: tuple[float, ...]
    values: Mapping[str, Floats]
    intervals: Mapping[str, Floats]


def write_scores(
    path: str | Path,
    forecasts: Forecasts,
    channels: Sequence[ChannelScores],
    kinds: Mapping[str, ScoreKind],
    *,
    shells: Sequence[int],
    attributes: Mapping[str, str | float],
) -> None:
    """Write the scores of all channels, in place of a file that may be there. Raises OutputError where it cannot be written."""
    with replacing(path) as partial, netCDF4.Dataset(partial, "w") as file:
        file.setncatts({"Conventions": CONVENTIONS, "title": f"Scores of {forecasts.path.name}", **attributes})
        members = len(forecasts.members)
        sizes = {"rank": range(members + 1), "count": range(members + 1), "shell": shells, "bound": (0, 1)}
        for name, values in sizes.items():
            create(file, name, (name,), np.asarray(values, np.float64), {"long_name": AXIS_NAMES[name], "units": "1"})
        if forecasts.leads is not None:
            units = {"standard_name": "forecast_period", "long_name": "time since the start", "units": forecasts.lead_units}
            create(file, "lead_time", ("lead_time",), forecasts.leads, units)
        by_variable: dict[str, list[ChannelScores]] = {}
        for one in channels:
            by_variable.setdefault(one.channel.variable, []).append(one)
        for variable, some in by_variable.items():
            write_variable(file, forecasts, variable, some, kinds)


def write_variable(
    file: netCDF4.Dataset, forecasts: Forecasts, variable: str, some: Sequence[ChannelScores], kinds: Mapping[str, ScoreKind]
) -> None:
    """Write the scores of one variable, with its levels as an axis if it has any."""
    first = some[0]
    leads = ("lead_time",) if forecasts.leads is not None else ()
    levels: tuple[str, ...] = ()
    if first.channel.value is not None:
        name, attributes = forecasts.level_axes[variable]
        levels = (f"{name}_of_{variable}",)
        create(file, levels[0], levels, np.array([one.channel.value for one in some], np.float64), attributes)
    common = first.thresholds if all(one.thresholds == first.thresholds for one in some) else ()
    if common:
        about = {"long_name": f"threshold of {first.channel.long_name}", "units": first.channel.units}
        create(file, f"{variable}_threshold", (f"{variable}_threshold",), np.array(common), about)
    for score, kind in kinds.items():
        if score not in first.values or ("threshold" in kind.axes and not common):
            continue
        own = tuple(f"{variable}_threshold" if axis == "threshold" else axis for axis in kind.axes)
        units = units_of(first.channel.units, kind.power)
        values = arranged([one.values[score] for one in some], bool(leads), bool(levels), 0)
        attributes = {"long_name": f"{kind.long_name} of {first.channel.long_name}", "units": units}
        interval = f"{variable}_{score}_interval" if score in first.intervals else ""
        create(file, f"{variable}_{score}", (*leads, *levels, *own), values, attributes | associated(interval))
        if interval:
            ends = arranged([one.intervals[score] for one in some], bool(leads), bool(levels), 1)
            long_name = f"confidence interval of the {kind.long_name} of {first.channel.long_name}"
            create(file, interval, ("bound", *leads, *levels, *own), ends, {"long_name": long_name, "units": units})


def associated(interval: str) -> dict[str, str]:
    return {"ancillary_variables": interval} if interval else {}


def arranged(values: Sequence[Floats], leads: bool, levels: bool, first: int) -> Floats:
    """Return values (..., L, ...) of channels as one array, lead times at the axis `first` and levels after them; an axis of
    one lead time, or of one channel without levels, is left out."""
    stacked = np.stack(values, axis=first + 1)
    stacked = stacked if levels else stacked.squeeze(first + 1)
    return np.asarray(stacked if leads else stacked.squeeze(first))


def units_of(units: str, power: int | None) -> str:
    if power is None or units == "1":
        return "1"
    return units if power == 1 else f"({units}){power}"


def create(
    file: netCDF4.Dataset, name: str, axes: tuple[str, ...], values: Floats, attributes: Mapping[str, str | float]
) -> None:
    """Write a variable, and a dimension of its own name if it is one."""
    if axes == (name,):
        file.createDimension(name, len(values))
    variable = file.createVariable(name, "f8", axes, fill_value=None if axes == (name,) else np.nan)
    variable.setncatts(dict(attributes))
    variable[...] = values
