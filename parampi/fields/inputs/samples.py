"""Samples of fields in NetCDF files, read a few at a time: what statistics are made of."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.inputs.levels import axis_of, expanded, index_of
from parampi.fields.moments import Missing, Team
from parampi.fields.netcdf_files import reading
from parampi.fields.statistics import DatasetStatistics

Floats = NDArray[np.floating[Any]]
BOUND = ("bounds", "climatology")


class FileSamples:
    """Variables (..., y, x) of one or more files as samples (N, C, H, W): every index before y and x is a sample, every
    variable a channel, in the order given. Without names, all variables with the axes of the first that has three or more; with
    names they need no more than `least` axes. A name `t@500` is the level 500 of t (..., level, y, x), `t@*` all its levels."""

    def __init__(self, paths: Sequence[str | Path], names: Sequence[str] = (), least: int = 3):
        if not paths:
            raise DataError("no file of samples was given; name at least one")
        self.paths, self.names, self.least = [Path(path) for path in paths], tuple(names), least

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.files = [stack.enter_context(reading(path)) for path in self.paths]
            self.names = tuple(expanded(self.files[0], self.paths[0], self.names)) or fields_of(self.files[0], self.paths[0])
            shapes = [shape_of(file, path, self.names, self.least) for file, path in zip(self.files, self.paths, strict=True)]
            for path, shape in zip(self.paths, shapes, strict=True):
                if shape[-2:] != shapes[0][-2:]:
                    raise DataError(
                        f"{path} has fields of {shape[-2]} x {shape[-1]} points, {self.paths[0]} of {shapes[0][-2]} x "
                        f"{shapes[0][-1]}; all files must have the same grid"
                    )
            self.variables = [
                [index_of(file, path, name) for name in self.names] for file, path in zip(self.files, self.paths, strict=True)
            ]
            self.leading = [shape[:-2] for shape in shapes]
            self.starts = np.cumsum([0, *(int(np.prod(shape)) for shape in self.leading)])
            self.shape = (int(self.starts[-1]), len(self.names), *shapes[0][-2:])
            self.open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.open.close()

    def __getitem__(self, samples: slice) -> Floats:
        """(n, C, H, W), missing values as NaN."""
        chosen = range(*samples.indices(self.shape[0]))
        block = np.empty((len(chosen), *self.shape[1:]))
        for row, sample in enumerate(chosen):
            which = int(np.searchsorted(self.starts, sample, side="right")) - 1
            place = np.unravel_index(sample - self.starts[which], self.leading[which])
            for channel, (variable, level) in enumerate(self.variables[which]):
                at = place if level is None else (*place, level)
                block[row, channel] = np.ma.filled(np.ma.asarray(variable[at], np.float64), np.nan)
        return block

    def statistics(self, team: Team | None = None, missing: Missing = "refuse") -> DatasetStatistics:
        """Of all samples, with names, units and coordinates as the first file has them. Raises DataError."""
        file, variables = self.files[0], [variable for variable, _ in self.variables[0]]
        (y, y_units), (x, x_units) = (axis(file, name) for name in variables[0].dimensions[-2:])
        units = [str(getattr(variable, "units", "1")) for variable in variables]
        long_names = [str(getattr(v, "long_name", name)) for v, name in zip(variables, self.names, strict=True)]
        standard_names = [str(getattr(variable, "standard_name", "")) for variable in variables]
        return DatasetStatistics.from_samples(
            self, self.names, units, long_names, x, y, x_units=x_units, y_units=y_units, team=team,
            missing=missing, standard_names=standard_names, axes=variables[0].dimensions[-2:],
            level_axes={variable.name: axis_of(file, variable) for variable, level in self.variables[0] if level is not None},
        )  # fmt: skip


def fields_of(file: netCDF4.Dataset, path: Path) -> tuple[str, ...]:
    """Variables with the axes of the first one that has at least three."""
    bounds = {getattr(variable, bound) for variable in file.variables.values() for bound in BOUND if hasattr(variable, bound)}
    candidates = {
        name: variable.dimensions
        for name, variable in file.variables.items()
        if variable.ndim >= 3 and name not in bounds and np.issubdtype(variable.dtype, np.number)
    }
    if not candidates:
        raise DataError(f"{path} has no variable of samples (..., y, x); it has {', '.join(file.variables) or 'no variables'}")
    axes = next(iter(candidates.values()))
    return tuple(name for name, found in candidates.items() if found == axes)


def shape_of(file: netCDF4.Dataset, path: Path, names: Sequence[str], least: int) -> tuple[int, ...]:
    """The shape that all the variables have."""
    shapes = {}
    for name in names:
        variable, level = index_of(file, path, name)
        shapes[name] = tuple(variable.shape) if level is None else (*variable.shape[:-3], *variable.shape[-2:])
    first = shapes[names[0]]
    for name, shape in shapes.items():
        if len(shape) < least or shape != first:
            raise DataError(
                f"{path}: {name} has shape {shape}; expected samples (..., y, x)" + (f", {first}" if shape != first else "")
            )
    return first


def axis(file: netCDF4.Dataset, name: str) -> tuple[Floats, str]:
    """Coordinates and units of an axis; indices where the file has none."""
    if name in file.variables:
        return np.asarray(file[name][:], np.float64), str(getattr(file[name], "units", "1"))
    return np.arange(len(file.dimensions[name]), dtype=np.float64), "1"
