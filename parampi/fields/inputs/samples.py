"""Samples of fields in NetCDF files, read a few at a time, from which statistics are made."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.inputs.levels import expand_levels, locate_channel, read_level_axis
from parampi.fields.moments import Missing, Team
from parampi.fields.netcdf_files import reading
from parampi.fields.statistics import DatasetStatistics

Floats = NDArray[np.floating[Any]]
BOUND = ("bounds", "climatology")
"""Attributes that name a variable of cell bounds."""


class FileSamples:
    """Variables (..., y, x) of one or more files as samples (N, C, H, W): every index before y and x is a sample, every
    variable a channel, in the order of `names`.

    paths   files, whose samples follow one another
    names   variables; `t@500` is the level 500 of t (..., level, y, x), `t@*` all its levels. Without names, all variables with
            the axes of the first that has three or more
    least   axes that a named variable needs

    The files are open until the context ends. Raises DataError for files and variables that cannot be read like this.
    """

    def __init__(self, paths: Sequence[str | Path], names: Sequence[str] = (), *, least: int = 3):
        if not paths:
            raise DataError("no file of samples was given; name at least one")
        self.paths = [Path(path) for path in paths]
        with ExitStack() as stack:
            self.files = [stack.enter_context(reading(path)) for path in self.paths]
            first, first_path = self.files[0], self.paths[0]
            self.names = tuple(expand_levels(first, first_path, names)) or field_names(first, first_path)
            opened = list(zip(self.files, self.paths, strict=True))
            shapes = [common_shape(file, path, self.names, least) for file, path in opened]
            self.require_one_grid(shapes)
            self.variables = [[locate_channel(file, path, name) for name in self.names] for file, path in opened]
            self.leading = [shape[:-2] for shape in shapes]
            self.starts = np.cumsum([0, *(int(np.prod(shape)) for shape in self.leading)])
            self.shape = (int(self.starts[-1]), len(self.names), *shapes[0][-2:])
            self.opened = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.opened.close()

    def require_one_grid(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Raise DataError naming the first file whose fields have another grid than those of the first file."""
        for path, shape in zip(self.paths, shapes, strict=True):
            if shape[-2:] != shapes[0][-2:]:
                raise DataError(
                    f"{path} has fields of {shape[-2]} x {shape[-1]} points, {self.paths[0]} of {shapes[0][-2]} x "
                    f"{shapes[0][-1]}; all files must have the same grid"
                )

    def __getitem__(self, samples: slice) -> Floats:
        """Read samples (n, C, H, W), missing values as NaN."""
        numbers = range(*samples.indices(self.shape[0]))
        block = np.empty((len(numbers), *self.shape[1:]))
        for row, sample in enumerate(numbers):
            file = int(np.searchsorted(self.starts, sample, side="right")) - 1
            index = np.unravel_index(sample - self.starts[file], self.leading[file])
            for channel, (variable, level) in enumerate(self.variables[file]):
                field = variable[index if level is None else (*index, level)]
                block[row, channel] = np.ma.filled(np.ma.asarray(field, np.float64), np.nan)
        return block

    def statistics(self, team: Team | None = None, missing: Missing = "refuse") -> DatasetStatistics:
        """Return statistics of all samples, with names, units and coordinates of the first file. Raise DataError."""
        file, variables = self.files[0], [variable for variable, _ in self.variables[0]]
        grid = variables[0].dimensions[-2:]
        (y, y_units), (x, x_units) = (read_coordinate(file, name) for name in grid)
        levelled = [variable for variable, level in self.variables[0] if level is not None]
        return DatasetStatistics.from_samples(
            self,
            self.names,
            units=[str(getattr(variable, "units", "1")) for variable in variables],
            long_names=[str(getattr(v, "long_name", name)) for v, name in zip(variables, self.names, strict=True)],
            x=x,
            y=y,
            x_units=x_units,
            y_units=y_units,
            team=team,
            missing=missing,
            standard_names=[str(getattr(variable, "standard_name", "")) for variable in variables],
            axes=grid,
            level_axes={variable.name: read_level_axis(file, variable) for variable in levelled},
        )


def field_names(file: netCDF4.Dataset, path: Path) -> tuple[str, ...]:
    """Return the variables with the axes of the first one that has at least three. Raise DataError where there is none."""
    bounds = {getattr(variable, bound) for variable in file.variables.values() for bound in BOUND if hasattr(variable, bound)}
    candidates = {
        name: variable.dimensions
        for name, variable in file.variables.items()
        if variable.ndim >= 3 and name not in bounds and np.issubdtype(variable.dtype, np.number)
    }
    if not candidates:
        raise DataError(f"{path} has no variable of samples (..., y, x); it has {', '.join(file.variables) or 'no variables'}")
    first = next(iter(candidates.values()))
    return tuple(name for name, axes in candidates.items() if axes == first)


def common_shape(file: netCDF4.Dataset, path: Path, names: Sequence[str], least: int) -> tuple[int, ...]:
    """Return the shape that all variables have, levels left out. Raise DataError where one differs."""
    shapes = {}
    for name in names:
        variable, level = locate_channel(file, path, name)
        shapes[name] = tuple(variable.shape) if level is None else (*variable.shape[:-3], *variable.shape[-2:])
    first = shapes[names[0]]
    for name, shape in shapes.items():
        if len(shape) < least or shape != first:
            raise DataError(
                f"{path}: {name} has shape {shape}; expected samples (..., y, x)" + (f", {first}" if shape != first else "")
            )
    return first


def read_coordinate(file: netCDF4.Dataset, name: str) -> tuple[Floats, str]:
    """Read coordinates and units of an axis; indices where the file has none."""
    if name in file.variables:
        return np.asarray(file[name][:], np.float64), str(getattr(file[name], "units", "1"))
    return np.arange(len(file.dimensions[name]), dtype=np.float64), "1"
