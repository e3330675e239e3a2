"""Samples of fields in files, read a few at a time, from which statistics and conditions are made."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.channels import LEVEL_MARK
from parampi.fields.field_dimensions import FieldDimensions
from parampi.fields.inputs.axes import FIELDS
from parampi.fields.inputs.datasets import opened
from parampi.fields.inputs.dimensions import cells_of, dimensions_of, require_named
from parampi.fields.inputs.field_names import field_names
from parampi.fields.inputs.file_fields import FileFields, describe, read_run
from parampi.fields.inputs.groups import plain
from parampi.fields.inputs.horizontal import Axis, Grid, placement
from parampi.fields.inputs.levels import expand_levels, level_axis, level_units, locate_channel, read_level_axis
from parampi.fields.inputs.named_axes import require_axes_named
from parampi.fields.inputs.time_axis import joined
from parampi.fields.moments import Missing, Team
from parampi.fields.statistics import DatasetStatistics

if TYPE_CHECKING:
    import xarray

Floats = NDArray[np.floating[Any]]
UnitsOf = Callable[[Sequence[str]], Sequence[str]]
OPEN = 8
"""Files that are open at once."""


class FileSamples:
    """Variables of one or more files as samples (N, C, H, W): every index along an axis that is not y, x or the levels of a
    channel is a sample, every variable a channel, in the order of `names`.

    paths   files of NetCDF, HDF5 or Zarr
    names   variables; `t@500` is the level 500 of t, `t@*` all its levels, `group/t` the t of a group. Without names, all
            variables with the axes of the first that has three or more
    least   axes that a named variable needs
    grid    points that fields are brought onto, turned or rolled around where they have another direction or origin; those of
            the first file by default, and where the number of points is another
    units   returns the units of channels, into which values are converted; those of the first file by default
    levels  units of the levels that names say, by variable; those of the first file by default
    axes    names of the axes of the variables, in the order of storage, for files that do not name them; `channel` is one whose
            indices are named as levels are
    field_axes  axes of fields that are no maps; one of cells is found by latitudes and longitudes along it
    dimensions  expected of fields that are no maps, which then have the first file's: names, lengths and coordinates

    Samples of dated axes follow one another by time (`times`), others as the files do. `notes` says what was turned around or
    converted. Few files are open at once, until the context ends. Raises DataError for what cannot be read like this.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        names: Sequence[str] = (),
        *,
        least: int = 3,
        grid: Grid | None = None,
        units: UnitsOf | None = None,
        levels: Mapping[str, str] | None = None,
        axes: Sequence[str] = (),
        field_axes: Sequence[str] = (),
        dimensions: FieldDimensions | None = None,
    ):
        if not paths:
            raise DataError("no file of samples was given; name at least one")
        self.paths = [Path(path) for path in paths]
        self.open: OrderedDict[int, tuple[ExitStack, xarray.Dataset]] = OrderedDict()
        self.blocks: OrderedDict[tuple[Any, ...], Floats] = OrderedDict()
        self.stored = [name.rpartition(LEVEL_MARK)[0] or name for name in names]
        self.names: tuple[str, ...] = tuple(plain(name) for name in names)
        self.axes, self.dimensions = tuple(axes), dimensions
        self.field_axes = dimensions.names if dimensions else tuple(field_axes)
        require_axes_named(axes, names, self.field_axes)
        try:
            self.files = self.describe_all(least, grid, units, levels or {})
        except BaseException:
            self.close()
            raise
        self.starts = np.cumsum([0, *(file.samples for file in self.files)])
        self.times = joined([file.times for file in self.files])
        self.shape = (int(self.starts[-1]), len(self.names), *self.grid.shape)

    def describe_all(
        self, least: int, grid: Grid | None, units_of: UnitsOf | None, levels: Mapping[str, str]
    ) -> list[FileFields]:
        """Look into all files; the first decides what the caller did not."""
        first = self.dataset(0)
        if not self.field_axes and grid is None and not self.axes and (cells := cells_of(first, self.stored)):
            self.field_axes = first.encoding[FIELDS] = cells
        self.names = tuple(expand_levels(first, self.paths[0], self.names, levels)) or field_names(first, self.paths[0])
        expected = (grid.y.name, grid.x.name) if grid else None
        least += len(self.field_axes) - 2 if self.field_axes else 0
        require_all(first, self.paths[0], self.names, levels)
        levels = {**units_of_levels(first, self.names), **levels}
        units = units_of(self.names) if units_of else None
        common: dict[str, Any] = {"least": least, "level_units": levels}
        one = describe(first, self.paths[0], self.names, grid=None, units=units, expected=expected, **common)
        self.grid = grid_used(one, grid)
        common |= {"grid": self.grid, "units": one.units, "expected": (one.grid.y.name, one.grid.x.name)}
        self.require_dimensions()
        return [describe(self.dataset(k), path, self.names, **common) for k, path in enumerate(self.paths)]

    def require_dimensions(self) -> None:
        """Raise DataError for files with other axes, where fields are no maps."""
        for number, path in enumerate(self.paths if self.field_axes else ()):
            dataset = self.dataset(number)
            variable, _ = locate_channel(dataset, path, self.names[0])
            own = dimensions_of(dataset, variable, self.field_axes)
            self.dimensions = self.dimensions or own
            self.dimensions.require_same(own, str(path))

    def dataset(self, number: int) -> "xarray.Dataset":
        """Return an open file; the one that was used least recently is closed where too many are."""
        if number not in self.open:
            while len(self.open) >= OPEN:
                self.open.popitem(last=False)[1][0].close()
            stack = ExitStack()
            dataset = stack.enter_context(opened(self.paths[number], self.stored or self.names, self.axes))
            dataset.encoding[FIELDS] = self.field_axes
            for name in self.stored if self.field_axes else ():
                if name in dataset.variables:
                    require_named(dataset, name, self.field_axes, self.paths[number])
            self.open[number] = stack, dataset
        self.open.move_to_end(number)
        return self.open[number][1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        while self.open:
            self.open.popitem()[1][0].close()

    @property
    def notes(self) -> list[str]:
        """Lines about what was brought onto another grid, into other units or into the order of times."""
        notes = [line for file in self.files for line in file.notes]
        if self.times.sorted:
            others = " and others" if len(self.paths) > 1 else ""
            notes.append(f"{self.paths[0]}{others}: fields are put in the order of their times")
        return notes

    def place(self, sample: int) -> tuple[int, int]:
        """Return the file of a sample, and its index there."""
        stored = int(self.times.order[sample])
        file = int(np.searchsorted(self.starts, stored, side="right")) - 1
        return file, stored - int(self.starts[file])

    def __getitem__(self, samples: slice) -> Floats:
        """Read samples (n, C, H, W) in float64, missing values as NaN."""
        return self.read(samples, np.float64)

    def read(self, samples: slice, kind: type[np.floating[Any]] | None = None) -> Floats:
        """Read samples (n, C, H, W), missing values as NaN; without a `kind` in float32 where all are stored in it."""
        numbers = range(*samples.indices(self.shape[0]))
        block = np.empty((0, *self.shape[1:]), kind)
        row = 0
        while row < len(numbers):
            part = self.run(*self.place(numbers[row]), len(numbers) - row, numbers[row])
            if kind is None and len(part) == len(numbers):
                return part
            if row == 0:
                block = np.empty((len(numbers), *self.shape[1:]), kind or part.dtype)
            block = block.astype(np.result_type(block, kind or part), copy=False)
            block[row : row + len(part)] = part
            row += len(part)
        return block

    def run(self, number: int, index: int, most: int, sample: int) -> Floats:
        """Return samples (n, C, H, W) from one of a file on, up to `most`: as far as what is read at once goes, and as they
        follow one another. It is kept until another one is needed."""
        key, first, count = self.span(number, index, most, sample)
        if key not in self.blocks:
            self.blocks.clear()
            *outer, start, stop = key[1:]
            self.blocks[key] = read_run(self.files[number], self.dataset(number), tuple(outer), start, stop)
        return self.blocks[key][first : first + count]

    def span(self, number: int, index: int, most: int, sample: int) -> tuple[tuple[int, ...], int, int]:
        """Return what is read at once with a sample (the file, the indices along outer axes, from where to where), the place of
        the sample in it, and how many follow one another there, up to `most`."""
        file = self.files[number]
        *outer, along = (int(k) for k in np.unravel_index(index, file.leading)) if file.leading else (0,)
        length = max(part.run for part in file.parts)
        start = along // length * length
        stop = min(start + length, file.leading[-1] if file.leading else 1)
        stored = self.times.order[sample : sample + min(most, stop - along)]
        in_order = int(np.argmin(np.append(np.diff(stored) == 1, False))) + 1
        return (number, *outer, start, stop), along - start, in_order

    def statistics(self, team: Team | None = None, missing: Missing = "refuse", plane: bool = False) -> DatasetStatistics:
        """Return statistics of all samples, with names, units and coordinates of the first file; `plane`: also where these are
        latitude and longitude. Raise DataError."""
        dataset, file, grid = self.dataset(0), self.files[0], self.grid
        variables = {row: dataset[part.variable] for part in file.parts for row in part.channels}
        attributes = [variables[row].attrs for row in range(len(self.names))]
        measured = DatasetStatistics.from_samples(
            AsStored(self),
            self.names,
            units=file.units,
            long_names=[str(one.get("long_name", name)) for one, name in zip(attributes, self.names, strict=True)],
            x=values_of(grid.x),
            y=values_of(grid.y),
            x_units=grid.x.units,
            y_units=grid.y.units,
            team=team,
            missing=missing,
            plane=plane,
            standard_names=[str(one.get("standard_name", "")) for one in attributes],
            axes=(grid.y.name, grid.x.name),
            level_axes={part.variable: read_level_axis(dataset, part.variable) for part in file.parts if part.level},
            dimensions=self.dimensions,
        )
        return replace(measured, places=grid.places, projection=grid.projection)


class AsStored:
    """Samples of files in the precision that they are stored in."""

    def __init__(self, samples: FileSamples):
        self.samples = samples
        self.shape = samples.shape

    def __getitem__(self, samples: slice, /) -> Floats:
        return self.samples.read(samples)

    def at_once(self, sample: int) -> int:
        """Return how many samples from this one on come of what is read at once."""
        number, index = self.samples.place(sample)
        return self.samples.span(number, index, self.shape[0], sample)[2]


def units_of_levels(dataset: "xarray.Dataset", names: Sequence[str]) -> dict[str, str]:
    """Return the units of the levels of each variable that has levels among the channels."""
    variables = {name.rpartition(LEVEL_MARK)[0] for name in names if name not in dataset.variables}
    return {name: units for name in variables if name and (units := level_units(dataset, level_axis(dataset, name)))}


def require_all(dataset: "xarray.Dataset", path: Path, names: Sequence[str], levels: Mapping[str, str]) -> None:
    """Raise DataError for a channel that a file does not have."""
    for name in names:
        locate_channel(dataset, path, name, levels)


def grid_used(file: FileFields, grid: Grid | None) -> Grid:
    """Return the common grid: the one that was named, unless the files have another number of points, or it says nothing; with
    the places and the projection of the first file where it has none."""
    if grid is None or grid.shape != file.grid.shape:
        return file.grid
    if grid.bare and not (file.grid.y.falling or file.grid.x.falling):
        return file.grid
    if grid.places is None and file.grid.places is not None:
        grid = replace(grid, places=placement(file.grid, grid)(file.grid.places))
    return grid if grid.projection else replace(grid, projection=file.grid.projection)


def values_of(axis: Axis) -> Floats:
    return np.arange(axis.size, dtype=np.float64) if axis.values is None else axis.values
