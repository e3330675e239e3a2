"""What an ensemble file takes over from a file of the grid: coordinates of cells and their bounds, static fields, a mask."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError, OutputError
from parampi.fields.netcdf_files import reading, require_variable

CELLS = ("latitude", "longitude", "projection_x_coordinate", "projection_y_coordinate")


@dataclass(frozen=True)
class Copied:
    """A variable: its axes as the ensemble names them, values and attributes."""

    name: str
    axes: tuple[str, ...]
    values: NDArray[Any]
    attributes: dict[str, Any]

    @property
    def locates(self) -> bool:
        """Whether it says where cells are."""
        return self.attributes.get("standard_name") in CELLS or str(self.attributes.get("units", "")).startswith("degrees_")


@dataclass(frozen=True)
class GridMetadata:
    """`axes`: attributes of the ensemble's y and x; `copied`: further variables; `mask`: True where fields are kept; `sizes` of
    the axes of bounds."""

    axes: dict[str, dict[str, Any]] = field(default_factory=dict)
    copied: tuple[Copied, ...] = ()
    mask: NDArray[np.bool_] | None = None
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def coordinates(self) -> list[str]:
        """Variables that say where cells are, bounds apart."""
        return [one.name for one in self.copied if one.locates and one.name not in self.bounds]

    @property
    def bounds(self) -> set[str]:
        told = [*self.axes.values(), *(one.attributes for one in self.copied)]
        return {str(attributes["bounds"]) for attributes in told if "bounds" in attributes}

    @property
    def mapping(self) -> str:
        """The variable that describes a map projection."""
        return next((one.name for one in self.copied if "grid_mapping_name" in one.attributes), "")

    def write(self, file: netCDF4.Dataset) -> None:
        """Into an ensemble file that has y and x."""
        for name, attributes in self.axes.items():
            file[name].setncatts(attributes)
        for name, size in self.sizes.items():
            if name not in file.dimensions:
                file.createDimension(name, size)
        for one in self.copied:
            if one.name in file.variables:
                raise OutputError(f"output.grid_variables: {one.name} is a name that ensemble files use; rename it in the file")
            told = dict(one.attributes)
            variable = file.createVariable(one.name, one.values.dtype, one.axes, fill_value=told.pop("_FillValue", None))
            variable.setncatts(told | self.where(one))
            variable.set_auto_maskandscale(False)
            variable[...] = one.values

    def where(self, one: Copied) -> dict[str, str]:
        """What tells the place of the cells of a copied field."""
        if one.locates or one.name in self.bounds or len(one.axes) < 2:
            return {}
        told = {"coordinates": " ".join(self.coordinates), "grid_mapping": self.mapping}
        return {key: value for key, value in told.items() if value and key not in one.attributes}

    def masked(self, fields: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Fields (C, y, x), NaN where the mask says so."""
        return fields if self.mask is None else np.where(self.mask, fields, np.nan)


def read_grid(path: Path, axes: tuple[str, str], shape: tuple[int, int], copy: Sequence[str], mask: str | None) -> GridMetadata:
    """What is asked for of a file whose y and x have `shape`; the ensemble calls them `axes`. Raises DataError."""
    with reading(path) as file:
        for name in [*copy, *([mask] if mask else [])]:
            require_variable(file, path, name)
        names = axes_of(file, path, axes, [*copy, *([mask] if mask else [])])
        found = tuple(len(file.dimensions[name]) for name in names)
        if found != shape:
            raise DataError(
                f"output.grid = {path} has {found[0]} x {found[1]} points along {names[0]} and {names[1]}, the fields have "
                f"{shape[0]} x {shape[1]}; give the file of the same grid"
            )
        renamed = dict(zip(names, axes, strict=True))
        file.set_auto_maskandscale(False)
        own = {renamed[name]: attributes(file[name]) for name in names if name in file.variables}
        taken = [name for name in copy if name not in names]
        taken += [name for name in bounds_of(file, [*names, *copy]) if name not in taken]
        copied = tuple(copy_of(file[name], renamed) for name in taken)
        sizes = {axis: len(file.dimensions[axis]) for name in taken for axis in file[name].dimensions if axis not in names}
        return GridMetadata(own, copied, mask_of(file, path, mask, names) if mask else None, sizes)


def axes_of(file: netCDF4.Dataset, path: Path, axes: tuple[str, str], names: Sequence[str]) -> tuple[str, str]:
    """What the file calls y and x."""
    if all(axis in file.dimensions for axis in axes):
        return axes
    for name in names:
        dimensions = file[name].dimensions
        if len(dimensions) == 2:
            return dimensions[0], dimensions[1]
    raise DataError(
        f"output.grid = {path} has neither the axes {', '.join(axes)} nor a variable (y, x) among those "
        "that output.grid_variables and output.mask name"
    )


def bounds_of(file: netCDF4.Dataset, names: Sequence[str]) -> list[str]:
    present = [name for name in names if name in file.variables and "bounds" in file[name].ncattrs()]
    found = [str(file[name].bounds) for name in present]
    return [name for name in found if name in file.variables]


def attributes(variable: Any) -> dict[str, Any]:
    return {key: variable.getncattr(key) for key in variable.ncattrs()}


def copy_of(variable: Any, renamed: dict[str, str]) -> Copied:
    axes = tuple(renamed.get(axis, axis) for axis in variable.dimensions)
    return Copied(variable.name, axes, np.asarray(variable[...]), attributes(variable))


def mask_of(file: netCDF4.Dataset, path: Path, name: str, axes: tuple[str, str]) -> NDArray[np.bool_]:
    """True where a variable (y, x) is neither 0 nor missing, or the first of the fields (..., y, x) of one is not missing."""
    variable = file[name]
    if variable.dimensions[-2:] != axes:
        raise DataError(
            f"{path}: output.mask = {name} has the axes ({', '.join(variable.dimensions)}); expected ({', '.join(axes)})"
        )
    variable.set_auto_maskandscale(True)
    first = variable[(0,) * (variable.ndim - 2)] if variable.ndim > 2 else variable[:]
    kept = np.ma.filled(np.ma.asarray(first, np.float64), np.nan)
    mask = np.isfinite(kept) & (kept != 0 if variable.ndim == 2 else True)
    if not mask.any():
        raise DataError(f"{path}: output.mask = {name} is 0 or missing everywhere, so that nothing would be written")
    return np.asarray(mask)
