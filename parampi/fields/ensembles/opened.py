"""Ensembles as xarray data sets: files, read when their values are needed, and those that `parampi.sample` returned."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import ConfigError
from parampi.fields.channels import group_channels
from parampi.fields.statistics import DatasetStatistics
from parampi.fields.stores.check import channels
from parampi.fields.stores.reader import open_ensemble

if TYPE_CHECKING:
    import xarray

Floats = NDArray[np.floating[Any]]
FACTS = ("seed", "rounds", "evaluations", "residual", "bistable", "complete")
"""Variables of files that say something of a member."""
COSTS = ("rounds", "evaluations", "residual", "error", "bistable")
"""The same of members that were drawn just now."""


@dataclass(frozen=True)
class EnsembleFile:
    """An ensemble in a file, of which nothing is read but what it says of itself.

    variables   names of its fields, by their shapes
    axes        lengths of its axes before those of fields: member, and those of times, if there are any
    finished    how many of its fields are finished, of how many
    """

    path: Path
    variables: Mapping[str, tuple[int, ...]]
    axes: Mapping[str, int]
    finished: tuple[int, int]

    def to_xarray(self) -> "xarray.Dataset":
        """Return the data set, whose values are read when they are needed: fields, with the numbers of members, times, and what
        members cost as coordinates. Close it, or use it as a context. Raises DataError."""
        import xarray

        with open_ensemble(self.path):
            pass  # that its parts are its own
        kind: dict[str, Any] = {"engine": "zarr", "consolidated": False} if self.path.is_dir() else {"engine": "netcdf4"}
        dataset = xarray.open_dataset(self.path, cache=False, decode_timedelta=True, **kind)
        known = [name for name in (*FACTS, "valid_time", "realization") if name in dataset.variables]
        dataset = dataset.set_coords(known)
        return dataset.assign_coords(member=("member", dataset["realization"].values))

    def __repr__(self) -> str:
        return "\n".join([f"{self.path}: {self.summary()}", *(f"  {line}" for line in self.lines())])

    def _repr_html_(self) -> str:
        rows = "".join(f"<li><code>{html.escape(line)}</code></li>" for line in self.lines())
        return f"<b>{html.escape(str(self.path))}</b>: {html.escape(self.summary())}<ul>{rows}</ul>"

    def summary(self) -> str:
        """Return its axes, and how much of it is finished, in words."""
        done, total = self.finished
        counted = ", ".join(f"{name} {size}" for name, size in self.axes.items())
        return f"{counted}; {'all' if done == total else f'{done} of {total}'} fields finished"

    def lines(self) -> list[str]:
        """Return a line for each variable."""
        return [f"{name} {' x '.join(map(str, shape))}" for name, shape in self.variables.items()]


def open_file(path: str | Path) -> EnsembleFile:
    """Open an ensemble file that a run wrote. Its fields are read when they are needed (`to_xarray`). Raises DataError for any
    other file."""
    with open_ensemble(path) as file:
        complete = np.ma.filled(file["complete"][:], 0) == 1
        axes = dict(zip(file["complete"].dimensions, complete.shape, strict=True))
        shapes = {name: tuple(file[name].shape[complete.ndim :]) for name in channels(file)}
        return EnsembleFile(Path(path), shapes, axes, (int(complete.sum()), complete.size))


def drawn_dataset(
    fields: Floats, members: Sequence[int], reports: Sequence[Any], statistics: DatasetStatistics | str | Path | None
) -> "xarray.Dataset":
    """Return fields (M, *shape), or (lead time, M, *shape), of members with these numbers as a data set.

    reports     of each member and lead time: what it cost
    statistics  of the data: then there is a variable for each channel in physical units, on its grid. Without, one variable
                `field` as it was drawn

    Raises ConfigError for statistics of other fields.
    """
    import xarray

    facts = member_facts(reports, members)
    leads = facts["rounds"].ndim - 1
    axes = ("lead_time", "member")[1 - leads :]
    coordinates: dict[str, Any] = {name: (axes, values) for name, values in facts.items()} | {
        "member": ("member", list(members))
    }
    if statistics is None:
        shape = fields.shape[leads + 1 :]
        names = ("channel", "y", "x") if len(shape) == 3 else tuple(f"axis_{k}" for k in range(len(shape)))
        return turned(xarray.Dataset({"field": ((*axes, *names), fields)}, coordinates))
    data = statistics if isinstance(statistics, DatasetStatistics) else DatasetStatistics.from_file(statistics)
    shape = (len(data.names), *data.sizes)
    if fields.shape[leads + 1 :] != shape:
        raise ConfigError(
            f"the members have fields of shape {fields.shape[leads + 1 :]}, the statistics are of {shape}; give those of "
            f"the same channels and grid"
        )
    values, variables, channel = data.restore(fields), {}, leads + 1
    for group in group_channels(data.names):
        rows, first = list(group.channels), group.channels[0]
        levels = () if group.levels is None else (f"level_of_{group.variable}",)
        chosen = values.take(rows if levels else first, axis=channel)
        attributes = {"units": data.units[first], "long_name": data.long_names[first]}
        variables[group.variable] = ((*axes, *levels, *data.axis_names), chosen, attributes)
        coordinates |= {level: (level, np.array(group.levels)) for level in levels}
    if data.dimensions is not None:
        coordinates |= {one.name: (one.axes, one.values, dict(one.attributes)) for one in data.dimensions.coordinates}
        return turned(xarray.Dataset(variables, coordinates))
    places = zip(data.axes, (data.y, data.x), (data.y_units, data.x_units), strict=True)
    coordinates |= {name: (name, where, {"units": units}) for name, where, units in places}
    return turned(xarray.Dataset(variables, coordinates))


def turned(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """Return a data set with members first, as files have them."""
    return dataset.transpose("member", ...)


def member_facts(reports: Sequence[Any], members: Sequence[int]) -> dict[str, Floats]:
    """Return rounds, evaluations, residuals and errors of members (M,), or (lead time, M) of a roll-out."""
    leads = sorted({one.lead for one in reports})
    by_place = {(one.lead, one.member): one for one in reports}
    rows = [[by_place[lead, member] for member in members] for lead in leads]
    facts = {name: np.array([[getattr(one, name) for one in row] for row in rows]) for name in COSTS}
    return facts if len(leads) > 1 else {name: values[0] for name, values in facts.items()}
