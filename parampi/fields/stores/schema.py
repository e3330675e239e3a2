"""The schema of an ensemble file: all but its fields' values, the same for every way of writing them. After CF 1.11."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.channels import LevelAxis, LevelGroup, group_channels, split_channel
from parampi.fields.ensemble_axes import EnsembleAxes
from parampi.fields.inputs.grids import GridMetadata
from parampi.fields.netcdf_files import CONVENTIONS, write_axis
from parampi.fields.statistics import DatasetStatistics
from parampi.fields.stores.content import Content
from parampi.fields.stores.rounding import rounding_options
from parampi.fields.stores.summary import METHODS, Summary

Attributes = Mapping[str, str | float]
LARGEST_INT32, LARGEST_INT64 = 2**31 - 1, 2**63 - 1
BISTABLE = "noise level at which the member stood between two outcomes, 0 where it did not"
ANCILLARY = "seed rounds evaluations residual bistable complete"
CHANNEL_ATTRIBUTES = {"units": "units", "long_name": "long_names", "standard_name": "standard_names"}
"""Attributes of a channel's variable, and where statistics have them."""


@dataclass(frozen=True)
class EnsembleSchema:
    """Variables, axes and attributes of an ensemble file.

    There is one variable (member, [time], [lead_time], y, x) per channel, or with the member after the times if `axes` says
    so, and with other axes than y and x where fields are no maps; float32, NaN where a member is missing. There are per member
    its number `realization`, its `seed`, `rounds`, `evaluations`, `residual`, `bistable` and whether it is `complete`; and
    statistics over members.

    statistics  of the data: names, units and grid
    axes        members, cases and lead times
    seed        of the ensemble's noise
    attributes  global ones
    content     what is written of the members
    grid        taken over from a file of the grid
    """

    statistics: DatasetStatistics
    axes: EnsembleAxes
    _: KW_ONLY
    seed: int
    attributes: Attributes = field(default_factory=dict)
    content: Content = field(default_factory=Content)
    grid: GridMetadata = field(default_factory=GridMetadata)

    def __post_init__(self) -> None:
        numbers = list(self.axes.numbers)
        if not numbers or len(set(numbers)) < len(numbers):
            raise OutputError(f"members = {numbers}; give different numbers, at least one")

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Channels that are written."""
        return self.content.chosen(self.statistics.names)

    def select(self, fields: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return those of a member's fields (C, H, W) that are written."""
        return fields[[self.statistics.names.index(name) for name in self.channels]]

    def new_summary(self) -> Summary:
        """Return statistics over members, of none yet."""
        return Summary(self.content, self.variable_slots, self.statistics.mean_of(self.channels))

    @cached_property
    def groups(self) -> list[LevelGroup]:
        """The channels that are written, by variable; `channels` of a group count among these."""
        return group_channels(self.channels)

    @cached_property
    def variable_slots(self) -> list[tuple[str, tuple[int, ...]]]:
        """Variable of every channel that is written, and its index along the variable's levels, if it has any."""
        slots = {
            channel: (group.variable, () if group.levels is None else (level,))
            for group in self.groups
            for level, channel in enumerate(group.channels)
        }
        return [slots[channel] for channel in range(len(self.channels))]

    @cached_property
    def level_names(self) -> dict[tuple[float, ...], str]:
        """Names of the axes of levels by their values, as in the data; a second axis of a name adds its variable's."""
        names: dict[tuple[float, ...], str] = {}
        for group in self.groups:
            if group.levels is not None and group.levels not in names:
                name = self.statistics.level_axes.get(group.variable, LevelAxis()).name
                taken = [other for other in names.values() if other.partition("_of_")[0] == name]
                names[group.levels] = f"{name}_of_{group.variable}" if taken else name
        return names

    def variable_axes(self, group: LevelGroup) -> tuple[str, ...]:
        """Return the names of a variable's axes, in the file's order."""
        levels = () if group.levels is None else (self.level_names[group.levels],)
        return self.axes.arranged((*self.axes.names, *levels, *self.statistics.axis_names))

    def variable_shape(self, group: LevelGroup) -> tuple[int, ...]:
        """Return the lengths of a variable's axes, in the file's order."""
        levels = () if group.levels is None else (len(group.levels),)
        return self.axes.arranged((*self.axes.shape, *levels, *self.statistics.sizes))

    def write(self, file: Any, fields: bool = True) -> None:
        """Write all of it into an empty file; without the variables of `fields` where others add them."""
        self.write_attributes(file)
        self.write_grid(file)
        self.create_axes(file)
        self.create_facts(file)
        for name in self.statistics.names:
            refuse_taken(file, split_channel(name)[0], "a channel", "rename it in the statistics")
        self.create_levels(file)
        for group in self.groups if fields and self.content.members else ():
            self.create_field(file, group)
        self.create_summary(file)

    def write_attributes(self, file: Any) -> None:
        """Write the global attributes."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        file.setncattr("title", f"Ensemble of {', '.join(self.statistics.long_names)}, drawn from a diffusion model")
        file.setncattr("history", f"{now}: drawn by parampi")
        for name, value in self.attributes.items():
            file.setncattr(name, attribute(value))
        file.setncatts({"Conventions": CONVENTIONS, "parampi_complete": np.int32(0)})

    def write_grid(self, file: Any) -> None:
        """Write the axes of fields, y and x of maps, and what is taken over of the grid."""
        statistics = self.statistics
        if statistics.dimensions is not None:
            statistics.dimensions.write(file)
            return
        write_axis(file, "y", statistics.y, statistics.y_units, name=statistics.axes[0])
        write_axis(file, "x", statistics.x, statistics.x_units, name=statistics.axes[1])
        self.grid.write(file)

    def create_axes(self, file: Any) -> None:
        """Create the axes of members, cases and lead times."""
        cases, leads = self.axes.cases, self.axes.leads
        refuse_taken(file, "member", "the axis of members", "rename the axis of the file of output.grid")
        file.createDimension("member", self.axes.shape[0])
        if cases is not None:
            if cases.name in file.variables or cases.name in file.dimensions:
                raise OutputError(f"the axis of cases cannot be named {cases.name!r}, which ensemble files use; rename it")
            create_axis(file, cases.name, cases.values, cases.attributes)
        if leads is not None:
            refuse_taken(file, "lead_time", "the axis of lead times", "rename the axis in the files")
            attributes = {"standard_name": "forecast_period", "long_name": "time since the start", "units": leads.units}
            create_axis(file, "lead_time", self.axes.lead_values, attributes)
        if (valid := self.axes.valid_times) is not None and cases is not None:
            variable = file.createVariable("valid_time", "f8", (cases.name, "lead_time"))
            units = {key: value for key, value in cases.attributes.items() if key in ("units", "calendar")}
            variable.setncatts({"standard_name": "time", "long_name": "time that a forecast is for", **units})
            variable[:] = valid

    def create_levels(self, file: Any) -> None:
        """Create the axes of levels."""
        created: set[str] = set()
        for group in self.groups:
            if group.levels is None or (name := self.level_names[group.levels]) in created:
                continue
            refuse_taken(file, name, "an axis of levels", "rename it in the data")
            created.add(name)
            axis = self.statistics.level_axes.get(group.variable, LevelAxis())
            usual = {"long_name": "level", "units": "1", "axis": "Z"}
            create_axis(file, name, group.levels, usual | dict(axis.attributes))
            file[name].setncatts(self.create_terms(file, group, axis, name))

    def create_terms(self, file: Any, group: LevelGroup, axis: LevelAxis, name: str) -> dict[str, str]:
        """Create the variables from which heights or pressures of levels are made, and return the attribute that names them, as
        far as the file has them: fields are those that are channels."""
        fields, named = {one.variable for one in self.groups if one.levels is None}, []
        for term in axis.terms:
            values = term.at(group.levels or ())
            own = term.name if term.name not in {*file.variables, *fields} else f"{term.name}_of_{group.variable}"
            if values and own not in file.variables:
                variable = file.createVariable(own, "f8", (name,) if term.levels else ())
                variable.setncatts(dict(term.attributes))
                variable[...] = values if term.levels else values[0]
                named.append(f"{term.term}: {own}")
            elif not values and term.name in fields:
                named.append(f"{term.term}: {term.name}")
        return {"formula_terms": " ".join(named)} if named else {}

    def create_facts(self, file: Any) -> None:
        """Create the facts of members. Integers have no fill value, which would make readers turn them into floats."""
        numbers = "i4" if max(self.axes.realizations) <= LARGEST_INT32 else "i8"
        seeds = "i8" if self.seed <= LARGEST_INT64 else "u8"
        flags = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": "missing finished"}
        named = {"standard_name": "realization", "long_name": "number of the member", "units": "1"}
        for name, kind, values, attributes in (
            ("realization", numbers, self.axes.realizations, named),
            ("seed", seeds, self.seed, {"long_name": "seed of the ensemble's noise", "units": "1"}),
            ("rounds", "i8", 0, {"long_name": "dependent batched network evaluations", "units": "1"}),
            ("evaluations", "i8", 0, {"long_name": "network evaluations of single fields", "units": "1"}),
            ("residual", "f8", np.nan, {"long_name": "relative residual of the last sweep", "units": "1"}),
            ("bistable", "f8", np.nan, {"long_name": BISTABLE, "units": "1"}),
            ("complete", "i1", 0, {"long_name": "whether the member was finished", **flags}),
        ):
            axes = ("member",) if name in ("realization", "seed") else self.axes.arranged(self.axes.names)
            variable = file.createVariable(name, kind, axes, fill_value=np.nan if kind == "f8" else None)
            variable.setncatts(attributes)
            variable[:] = np.broadcast_to(np.array(values, kind), variable.shape)

    def channel_attributes(self, group: LevelGroup) -> dict[str, str]:
        """Return units and names of a group's first channel."""
        channel = self.statistics.names.index(self.channels[group.channels[0]])
        values = {key: getattr(self.statistics, source)[channel] for key, source in CHANNEL_ATTRIBUTES.items()}
        return {key: value for key, value in values.items() if value}

    def field_attributes(self, group: LevelGroup) -> dict[str, str]:
        """Return all attributes of a variable of members' fields."""
        valid_time = ["valid_time"] if self.axes.valid_times is not None else []
        own = self.statistics.dimensions.auxiliary if self.statistics.dimensions else ()
        coordinates = " ".join(["realization", *valid_time, *own, *self.grid.coordinates])
        mapping = {"grid_mapping": self.grid.mapping} if self.grid.mapping else {}
        return self.channel_attributes(group) | {"coordinates": coordinates, "ancillary_variables": ANCILLARY} | mapping

    def create_field(self, file: Any, group: LevelGroup) -> None:
        """Create a variable of members' fields. A chunk is one field, so that writing one touches no other; checksums tell
        damaged ones."""
        axes, sizes, content = self.variable_axes(group), self.statistics.sizes, self.content
        variable = file.createVariable(
            group.variable,
            "f4",
            axes,
            fill_value=np.nan,
            chunksizes=(*[1] * (len(axes) - len(sizes)), *sizes),
            fletcher32=content.checksums,
            **compression_options(content),
            **rounding_options(content.digits),
        )
        variable.setncatts(self.field_attributes(group))

    def create_summary(self, file: Any) -> None:
        """Create a variable ([time], [lead_time], [level], y, x) per variable and statistic; quantiles have one more."""
        content = self.content
        if "quantiles" in content.summary:
            refuse_taken(file, "quantile", "the axis of quantiles", "rename the channel or axis of that name")
            create_axis(file, "quantile", content.quantiles, {"long_name": "share of the members below", "units": "1"})
        for group in self.groups:
            channel, axes = self.channel_attributes(group), [name for name in self.variable_axes(group) if name != "member"]
            for kind in content.summary:
                kind_axes, packing = ["quantile"] * (kind == "quantiles") + axes, compression_options(content)
                name = f"{group.variable}_{kind}"
                refuse_taken(
                    file, name, f"the {kind} of {group.variable}", f"rename the channel, or leave {kind} out of output.summary"
                )
                variable = file.createVariable(name, "f4", kind_axes, fill_value=np.nan, **packing)
                long_name = f"{kind.replace('_', ' ')} of {channel['long_name']} over members"
                methods = {"cell_methods": f"realization: {METHODS[kind]}"} if kind in METHODS else {}
                variable.setncatts({"long_name": long_name, "units": channel["units"]} | methods)


def refuse_taken(file: Any, name: str, what: str, remedy: str) -> None:
    """Raise OutputError for a name that the file has already."""
    if name in file.variables or name in file.dimensions:
        raise OutputError(f"{what} cannot be named {name!r}, which the ensemble file uses already; {remedy}")


def create_axis(file: Any, name: str, values: Any, attributes: Mapping[str, str]) -> None:
    """Create a dimension with its coordinate variable."""
    file.createDimension(name, len(values))
    axis = file.createVariable(name, "f8", (name,))
    axis.setncatts(attributes)
    axis[:] = values


def compression_options(content: Content) -> dict[str, Any]:
    """Return the NetCDF library's options for lossless compression."""
    return {"compression": "zlib", "complevel": content.compression, "shuffle": True} if content.compression else {}


def attribute(value: str | float) -> str | float | np.int32:
    """Return a number or string as NetCDF can hold it: truth as 0 and 1, integers beyond 64 bits as text."""
    if isinstance(value, bool):
        return np.int32(value)
    return str(value) if isinstance(value, int) and abs(value) > LARGEST_INT64 else value
