"""What an ensemble file has besides its fields' values: the same for every way of writing them. After CF 1.11."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.channels import LevelAxis, LevelGroup, group_channels, split_channel
from parampi.fields.ensemble_axes import EnsembleAxes
from parampi.fields.inputs.grids import GridMetadata
from parampi.fields.netcdf_files import CONVENTIONS, write_axis
from parampi.fields.statistics import DatasetStatistics
from parampi.fields.stores.content import Content
from parampi.fields.stores.summary import METHODS

Attributes = Mapping[str, str | float]
LARGEST_INT32, LARGEST_INT64 = 2**31 - 1, 2**63 - 1
ANCILLARY = "seed rounds evaluations residual complete"


@dataclass(frozen=True)
class EnsembleSchema:
    """One variable (member, [time], [lead_time], y, x) per channel, float32, NaN where a member is missing; per member its
    number `realization`, its `seed`, `rounds`, `evaluations`, `residual` and whether it is `complete`; statistics over members;
    `attributes` among the global ones."""

    statistics: DatasetStatistics
    places: EnsembleAxes
    seed: int
    attributes: Attributes = field(default_factory=dict)
    content: Content = field(default_factory=Content)
    cells: GridMetadata = field(default_factory=GridMetadata)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Channels that are written."""
        return self.content.chosen(self.statistics.names)

    def select(self, fields: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """The chosen ones of a member's channels."""
        return fields[[self.statistics.names.index(name) for name in self.chosen]]

    @cached_property
    def groups(self) -> list[LevelGroup]:
        """The chosen channels by variable; `channels` of a group count among the chosen."""
        return group_channels(self.chosen)

    @cached_property
    def variable_slots(self) -> list[tuple[str, tuple[int, ...]]]:
        """Of every chosen channel its variable, and its index along the variable's levels, if it has any."""
        found = {
            channel: (group.variable, () if group.levels is None else (level,))
            for group in self.groups
            for level, channel in enumerate(group.channels)
        }
        return [found[channel] for channel in range(len(self.chosen))]

    @cached_property
    def level_names(self) -> dict[tuple[float, ...], str]:
        """Axes of levels by their values, named as in the data; a second one of that name is numbered."""
        found: dict[tuple[float, ...], str] = {}
        for group in self.groups:
            if group.levels is not None and group.levels not in found:
                name = self.statistics.level_axes.get(group.variable, LevelAxis()).name
                taken = [other for other in found.values() if other.partition("_of_")[0] == name]
                found[group.levels] = f"{name}_of_{group.variable}" if taken else name
        return found

    @property
    def grid(self) -> tuple[str, str]:
        return self.statistics.axes

    def axes(self, group: LevelGroup) -> tuple[str, ...]:
        """Of a variable."""
        levels = () if group.levels is None else (self.level_names[group.levels],)
        return (*self.places.names, *levels, *self.grid)

    def shape(self, group: LevelGroup) -> tuple[int, ...]:
        levels = () if group.levels is None else (len(group.levels),)
        return (*self.places.shape, *levels, *self.statistics.grid)

    def write(self, file: netCDF4.Dataset, fields: bool = True) -> None:
        """All of it, into an empty file; without the variables of `fields` where others add them."""
        self.describe(file)
        self.create_axes(file)
        self.create_facts(file)
        for name in self.statistics.names:
            self.refuse_taken(file, split_channel(name)[0])
        self.create_levels(file)
        for group in self.groups if fields and self.content.members else ():
            self.create_field(file, group)
        self.create_summary(file)

    def describe(self, file: netCDF4.Dataset) -> None:
        """Global attributes and grid."""
        statistics, now = self.statistics, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        file.setncattr("title", f"Ensemble of {', '.join(statistics.long_names)}, drawn from a diffusion model")
        file.setncattr("history", f"{now}: drawn by parampi")
        for name, value in self.attributes.items():
            file.setncattr(name, attribute(value))
        file.setncatts({"Conventions": CONVENTIONS, "parampi_complete": np.int32(0)})
        write_axis(file, "y", statistics.y, statistics.y_units, self.grid[0])
        write_axis(file, "x", statistics.x, statistics.x_units, self.grid[1])
        self.cells.write(file)

    def create_axes(self, file: netCDF4.Dataset) -> None:
        cases, leads = self.places.cases, self.places.leads
        file.createDimension("member", self.places.shape[0])
        if cases is not None:
            if cases.name in file.variables or cases.name in file.dimensions:
                raise OutputError(f"the axis of cases cannot be named {cases.name!r}, which ensemble files use; rename it")
            file.createDimension(cases.name, len(cases.values))
            axis = file.createVariable(cases.name, "f8", (cases.name,))
            axis.setncatts(cases.attributes)
            axis[:] = cases.values
        if leads is not None:
            file.createDimension("lead_time", len(leads.values))
            axis = file.createVariable("lead_time", "f8", ("lead_time",))
            axis.setncatts({"standard_name": "forecast_period", "long_name": "time since the start", "units": leads.units})
            axis[:] = leads.values
        if (valid := self.places.valid_times) is not None and cases is not None:
            axis = file.createVariable("valid_time", "f8", (cases.name, "lead_time"))
            told = {key: value for key, value in cases.attributes.items() if key in ("units", "calendar")}
            axis.setncatts({"standard_name": "time", "long_name": "time that a forecast is for", **told})
            axis[:] = valid

    def create_levels(self, file: netCDF4.Dataset) -> None:
        for group in self.groups:
            if group.levels is None or (name := self.level_names[group.levels]) in file.dimensions:
                continue
            file.createDimension(name, len(group.levels))
            axis = file.createVariable(name, "f8", (name,))
            told = dict(self.statistics.level_axes.get(group.variable, LevelAxis()).attributes)
            axis.setncatts({"long_name": "level", "units": "1", "axis": "Z"} | told)
            axis[:] = group.levels

    def create_facts(self, file: netCDF4.Dataset) -> None:
        """What is known per member. Integers have no fill value, which would make readers turn them into floats."""
        numbers = "i4" if max(self.places.realizations) <= LARGEST_INT32 else "i8"
        seeds = "i8" if self.seed <= LARGEST_INT64 else "u8"
        flags = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": "missing finished"}
        for name, kind, values, attributes in (
            ("realization", numbers, self.places.realizations, {"standard_name": "realization",
             "long_name": "number of the member", "units": "1"}),
            ("seed", seeds, self.seed, {"long_name": "seed of the ensemble's noise", "units": "1"}),
            ("rounds", "i8", 0, {"long_name": "dependent batched network evaluations", "units": "1"}),
            ("evaluations", "i8", 0, {"long_name": "network evaluations of single fields", "units": "1"}),
            ("residual", "f8", np.nan, {"long_name": "relative residual of the last sweep", "units": "1"}),
            ("complete", "i1", 0, {"long_name": "whether the member was finished", **flags}),
        ):  # fmt: skip
            axes = ("member",) if name in ("realization", "seed") else self.places.names
            variable = file.createVariable(name, kind, axes, fill_value=np.nan if kind == "f8" else None)
            variable.setncatts(attributes)
            variable[:] = np.broadcast_to(np.array(values, kind), variable.shape)

    def refuse_taken(self, file: netCDF4.Dataset, name: str) -> None:
        if name in file.variables or name in file.dimensions:
            raise OutputError(f"a channel cannot be named {name!r}, which ensemble files use; rename it in the statistics")

    def of_channel(self, group: LevelGroup) -> dict[str, str]:
        """Units and names, of a group's first channel."""
        told = {"units": "units", "long_name": "long_names", "standard_name": "standard_names"}
        channel = self.statistics.names.index(self.chosen[group.channels[0]])
        found = {key: getattr(self.statistics, source)[channel] for key, source in told.items()}
        return {key: value for key, value in found.items() if value}

    def field_attributes(self, group: LevelGroup) -> dict[str, str]:
        coordinates = ["realization", *(["valid_time"] if self.places.valid_times is not None else []), *self.cells.coordinates]
        mapping = {"grid_mapping": self.cells.mapping} if self.cells.mapping else {}
        told = {"coordinates": " ".join(coordinates), "ancillary_variables": ANCILLARY}
        return self.of_channel(group) | told | mapping

    def create_field(self, file: netCDF4.Dataset, group: LevelGroup) -> None:
        """A chunk is a member's field, so that writing one touches no other; checksums tell damaged ones."""
        axes = self.axes(group)
        chunks = (*[1] * (len(axes) - 2), *self.statistics.grid)
        variable = file.createVariable(
            group.variable, "f4", axes, fill_value=np.nan, chunksizes=chunks, fletcher32=self.content.checksums,
            **compressed(self.content), **rounded(self.content),
        )  # fmt: skip
        variable.setncatts(self.field_attributes(group))

    def create_summary(self, file: netCDF4.Dataset) -> None:
        """A variable ([time], [lead_time], [level], y, x) per variable and statistic, quantiles with an axis of their own in
        front."""
        content = self.content
        if "quantiles" in content.summary:
            file.createDimension("quantile", len(content.quantiles))
            axis = file.createVariable("quantile", "f8", ("quantile",))
            axis.setncatts({"long_name": "share of the members below", "units": "1"})
            axis[:] = content.quantiles
        for group in self.groups:
            told, axes = self.of_channel(group), self.axes(group)[1:]
            for kind in content.summary:
                variable = file.createVariable(
                    f"{group.variable}_{kind}", "f4", ("quantile", *axes) if kind == "quantiles" else axes, fill_value=np.nan,
                    **compressed(content),
                )  # fmt: skip
                named = {"long_name": f"{kind.replace('_', ' ')} of {told['long_name']} over members", "units": told["units"]}
                variable.setncatts(named | ({"cell_methods": f"realization: {METHODS[kind]}"} if kind in METHODS else {}))


def compressed(content: Content) -> dict[str, Any]:
    return {"compression": "zlib", "complevel": content.compression, "shuffle": True} if content.compression else {}


def rounded(content: Content) -> dict[str, Any]:
    """Zeros in the place of bits that are not significant (Kouznetsov 2021, Geosci. Model Dev. 14)."""
    return {"significant_digits": content.digits, "quantize_mode": "GranularBitRound"} if content.digits else {}


def attribute(value: str | float) -> str | float | np.int32:
    """A number or string as NetCDF can hold it: truth as 0 and 1, integers beyond 64 bits as text."""
    if isinstance(value, bool):
        return np.int32(value)
    return str(value) if isinstance(value, int) and abs(value) > LARGEST_INT64 else value


def parts_folder(path: str | Path) -> Path:
    """Where the files of an ensemble's parts are, beside the joint file."""
    path = Path(path)
    return path.with_name(f"{path.stem}.parts")
