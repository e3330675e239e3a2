"""Fields of one file: from which variables, where on the grid, in which units, at what times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.channels import split_channel
from parampi.fields.failures import intact
from parampi.fields.inputs.axes import FieldAxes, field_axes
from parampi.fields.inputs.datasets import require_filters
from parampi.fields.inputs.encoding import STORED, VALID, mask, without_invalid
from parampi.fields.inputs.horizontal import Grid, Placement, grid_of, placement
from parampi.fields.inputs.levels import level_axis, locate_channel
from parampi.fields.inputs.steps import is_step
from parampi.fields.inputs.time_axis import FileTimes, read_times
from parampi.fields.inputs.units import Conversion, conversion

if TYPE_CHECKING:
    import xarray

Floats = NDArray[np.floating[Any]]
NO_UNITS = "1"
"""The units of a variable that has none."""
AHEAD = 1 << 23
"""Bytes of a variable that are read at once, where its chunks are not larger."""


@dataclass(frozen=True, eq=False)
class ChannelSource:
    """A variable of a file, and the channels that it gives.

    channels, levels   rows of the channels, and the index of the level of each; None where the variable has no levels
    axes, samples      y and x, and the axes of samples; `level` is the axis of levels or ""; others have the length 1
    conversion         into the units of all files
    limits             of valid values
    run                samples along the last of their axes that are read at once
    """

    variable: str
    channels: tuple[int, ...]
    levels: tuple[int | None, ...]
    axes: FieldAxes
    level: str
    samples: tuple[str, ...]
    conversion: Conversion
    limits: tuple[float, float] | None
    run: int

    def read(self, dataset: "xarray.Dataset", outer: tuple[int, ...], start: int, stop: int) -> Floats:
        """Read samples (n, channels of the variable, y, x) along the last axis of samples, NaN where values are missing."""
        index: dict[str, Any] = dict(zip(self.samples[:-1], outer, strict=True))
        if self.samples:
            index[self.samples[-1]] = slice(start, stop)
        rows = [level for level in self.levels if level is not None]
        if rows:
            index[self.level] = slice(min(rows), max(rows) + 1)
        held = (*self.samples, *((self.level,) if rows else ()), *self.axes.stored)
        index |= {str(axis): 0 for axis in dataset[self.variable].dims if axis not in held}
        order = (*self.samples[-1:], *((self.level,) if rows else ()), *self.axes.stored)
        axes, values = values_of(dataset, self.variable, index)
        values = values.transpose([axes.index(axis) for axis in order])  # a lazy transpose reads point by point
        values = without_invalid(values, self.limits)
        if self.axes.fields:
            values = values.reshape(*values.shape[: -len(self.axes.fields)], -1, values.shape[-1])
        if not self.samples:
            values = values[None]
        values = values[:, [row - min(rows) for row in rows]] if rows else values[:, None]
        return self.conversion(values.astype(np.float64)) if self.conversion.changes else values


def values_of(dataset: "xarray.Dataset", variable: str, index: Mapping[str, Any]) -> tuple[tuple[Any, ...], Floats]:
    """Return the axes and the values of a part of a variable, NaN where they are missing. Floats that are not packed are masked
    in place, which costs less than what xarray does with them."""
    stored, marks = dataset.encoding[STORED].get(variable, (dataset[variable].variable, ()))
    block = stored.isel(index)
    values = np.require(block.values, requirements=["C", "W"])
    mask(values, marks)
    return block.dims, values


@dataclass(frozen=True, eq=False)
class FileFields:
    """The fields of a file: its parts, the axes of samples, and what brings each part onto the common grid."""

    path: Path
    parts: tuple[ChannelSource, ...]
    leading: tuple[int, ...]
    grid: Grid
    placements: tuple[Placement, ...]
    times: FileTimes
    units: tuple[str, ...]

    @property
    def samples(self) -> int:
        return int(np.prod(self.leading))

    @property
    def notes(self) -> list[str]:
        """Lines about what is brought onto another grid or into other units."""
        moves = [(self.grid.y, place.y) for place in self.placements] + [(self.grid.x, place.x) for place in self.placements]
        moved = list(dict.fromkeys(axis.name for axis, order in moves if order is not None))
        converted = [part.variable for part in self.parts if part.conversion.changes]
        turned = f"{self.path}: fields are turned or rolled along {' and '.join(moved)} onto the common grid"
        units = f"{self.path}: {', '.join(converted)} converted into {', '.join(dict.fromkeys(self.units))}"
        return [line for line, said in ((turned, moved), (units, converted)) if said]


def describe(
    dataset: "xarray.Dataset",
    path: Path,
    names: Sequence[str],
    *,
    least: int,
    grid: Grid | None,
    units: Sequence[str] | None,
    expected: tuple[str, str] | None,
    level_units: Mapping[str, str],
) -> FileFields:
    """Return what a file has of channels. Raise DataError for variables that are not there or do not fit one another.

    least      axes that a variable needs, levels left out
    grid       the common grid; None for the file's own
    units      of the channels; None for the file's own
    expected   names of y and x that other files use
    level_units   of the levels that names say, by variable
    """
    located = [locate_channel(dataset, path, name, level_units) for name in names]
    own_units = [str(dataset[variable].attrs.get("units", "")) for variable, _ in located]
    common: Sequence[str | None] = units or [None] * len(names)
    parts, grids = parts_of(dataset, path, located, least, expected, list(zip(own_units, common, strict=True)))
    leading = leading_of(dataset, path, parts, names, grids)
    return FileFields(
        path=path,
        parts=tuple(parts),
        leading=leading,
        grid=replace(grids[0], places=None) if grid else grids[0],  # those of many files would fill the memory
        placements=placements_of(grids, grid),
        times=times_of(dataset, parts[0], leading, path),
        units=tuple(units or (one or NO_UNITS for one in own_units)),
    )


def parts_of(
    dataset: "xarray.Dataset",
    path: Path,
    located: Sequence[tuple[str, int | None]],
    least: int,
    expected: tuple[str, str] | None,
    units: Sequence[tuple[str, str | None]],
) -> tuple[list[ChannelSource], list[Grid]]:
    """Return the variables that channels come from, and the grid of each; those with the same y and x have one. `units` are a
    channel's own and the common ones."""
    parts: list[ChannelSource] = []
    grids: list[Grid] = []
    for variable in dict.fromkeys(variable for variable, _ in located):
        rows = [row for row, (name, _) in enumerate(located) if name == variable]
        axes = axes_of(dataset, path, located[rows[0]], least, expected)
        change = conversion_of(*units[rows[0]], variable, path)
        parts.append(part_of(dataset, variable, rows, [located[row][1] for row in rows], axes, change))
        grids.append(
            next((g for g in grids if (g.y.name, g.x.name) == (axes.y, axes.x)), None)
            or grid_of(dataset, axes, f"{path}: {variable}" if grids else path, variable)
        )
        require_filters(dataset, path, variable)
    return parts, grids


def placements_of(grids: Sequence[Grid], common: Grid | None) -> tuple[Placement, ...]:
    """Return what brings the grid of each part onto the common one, by default that of the first. Raise DataError for other
    points."""
    placements: dict[int, Placement] = {} if common else {id(grids[0]): Placement()}
    for grid in grids:
        if id(grid) not in placements:
            placements[id(grid)] = placement(grid, common or grids[0])
    return tuple(placements[id(grid)] for grid in grids)


def times_of(dataset: "xarray.Dataset", part: ChannelSource, leading: tuple[int, ...], path: Path) -> FileTimes:
    """Return the times of the samples of a variable; none where they have several axes."""
    if len(leading) < 2:
        return read_times(dataset, part.samples, part.variable, path)
    return FileTimes(part.samples[0], None, {}, int(np.prod(leading)), path)


def axes_of(
    dataset: "xarray.Dataset", path: Path, located: tuple[str, int | None], least: int, expected: tuple[str, str] | None
) -> FieldAxes:
    """Return the axes of a variable. Raise DataError for one that does not hold numbers, or has too few axes."""
    variable, level = located
    if dataset[variable].dtype.kind not in "biuf":
        raise DataError(f"{path}: {variable} does not hold numbers ({dataset[variable].dtype}); name another variable")
    axes = field_axes(dataset, variable, expected)
    count = dataset[variable].ndim - (level is not None)
    if axes is None or count < least:
        shape = tuple(int(dataset.sizes[axis]) for axis in dataset[variable].dims)
        raise DataError(f"{path}: {variable} has shape {shape}; expected samples (..., y, x)")
    return axes


def conversion_of(own: str | None, common: str | None, variable: str, path: Path) -> Conversion:
    """Return what brings values into the common units. Raise DataError where nothing does, or the file does not say its own."""
    change = conversion(own or NO_UNITS, common) if common is not None else Conversion()
    if change is None:
        has = f"is in {own!r}" if own else "has no units"
        raise DataError(
            f"{path}: {variable} {has}, and its statistics, or the first file, are in {common!r}; "
            + ("convert the one or the other" if own else f"write the units into the file, such as units = {common!r}")
        )
    return change


def part_of(
    dataset: "xarray.Dataset",
    variable: str,
    rows: Sequence[int],
    levels: Sequence[int | None],
    axes: FieldAxes,
    change: Conversion,
) -> ChannelSource:
    """Return a part, with the axis of levels apart from those of samples where levels are named."""
    level = level_axis(dataset, variable) if levels[0] is not None else ""
    samples = axes_of_samples(dataset, axes, level)
    limits = dataset[variable].attrs.get(VALID)
    run = run_length(dataset[variable], samples, axes.stored, len([one for one in levels if one is not None]) or 1)
    return ChannelSource(variable, tuple(rows), tuple(levels), axes, level, samples, change, limits, run)


def axes_of_samples(dataset: "xarray.Dataset", axes: FieldAxes, level: str) -> tuple[str, ...]:
    """Return the axes of samples; of several, one of length 1 says nothing (a height of 2 m, a member), but for
    that of times; and that too beside steps, which are counted from it."""
    samples = tuple(axis for axis in axes.samples if axis != level)
    if samples == (axes.level,) and dataset.sizes[axes.level] == 1:
        return ()
    if len(samples) < 2:
        return samples
    long = tuple(axis for axis in samples if dataset.sizes[axis] != 1)
    if len(long) == 1 and is_step(dataset, long[0]):
        return long
    return tuple(axis for axis in samples if axis in long or axis == axes.time) or samples[:1]


def run_length(variable: "xarray.DataArray", samples: tuple[str, ...], axes: tuple[str, ...], levels: int) -> int:
    """Return how many samples to read at once: whole chunks, so that none is unpacked twice, and not less than AHEAD bytes."""
    if not samples:
        return 1
    axis = variable.dims.index(samples[-1])
    chunks = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    chunk = int(chunks[axis]) if chunks else 1
    fields = [length for name, length in zip(variable.dims, variable.shape, strict=True) if name in axes]
    size = max(1, int(np.prod(fields)) * levels * variable.dtype.itemsize)
    return max(1, min(chunk * max(1, AHEAD // (size * chunk)), variable.shape[axis]))


def leading_of(
    dataset: "xarray.Dataset", path: Path, parts: Sequence[ChannelSource], names: Sequence[str], grids: Sequence[Grid]
) -> tuple[int, ...]:
    """Return the lengths of the axes of samples. Raise DataError where a variable has others than the first."""
    shapes = [tuple(int(dataset.sizes[axis]) for axis in part.samples) for part in parts]
    for part, shape, grid in zip(parts, shapes, grids, strict=True):
        if shape != shapes[0] or part.samples != parts[0].samples or grid.shape != grids[0].shape:
            raise DataError(
                f"{path}: {split_channel(names[part.channels[0]])[0]} has shape {shape + grid.shape} along "
                f"({', '.join((*part.samples, *part.axes.stored))}); expected samples (..., y, x), "
                f"{shapes[0] + grids[0].shape} along ({', '.join((*parts[0].samples, *parts[0].axes.stored))}) like "
                f"{names[0]}"
            )
    return shapes[0]


def read_run(fields: FileFields, dataset: "xarray.Dataset", outer: tuple[int, ...], start: int, stop: int) -> Floats:
    """Read samples (n, C, H, W) of a file along its last axis of samples, on the common grid and in the common units; in
    float32 where all are stored in it, and float64 otherwise."""
    channels = sum(len(part.channels) for part in fields.parts)
    single = all(dataset[part.variable].dtype == np.float32 and not part.conversion.changes for part in fields.parts)
    block: Floats | None = None
    for part, place in zip(fields.parts, fields.placements, strict=True):
        with intact(fields.path, f"values of {part.variable}"):
            values = place(part.read(dataset, outer, start, stop))
        if part.channels == tuple(range(channels)):
            return np.asarray(values, np.float32 if single else np.float64)
        if block is None:
            block = np.empty((len(values), channels, *values.shape[-2:]), np.float32 if single else np.float64)
        block[:, list(part.channels)] = values
    assert block is not None
    return block
