"""Grids: coordinates of cells and their bounds, static fields and a mask, taken over from a file into an ensemble file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError, OutputError
from parampi.fields.channels import RESERVED
from parampi.fields.netcdf_files import reading, require_variable

LOCATIONS = ("latitude", "longitude", "projection_x_coordinate", "projection_y_coordinate")
"""Standard names of variables that say where cells are."""
PACKING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "valid_min", "valid_max", "valid_range")
"""Attributes of how a file holds its values, which are not true of the ensemble's own y and x."""


@dataclass(frozen=True)
class GridVariable:
    """A variable of a grid file: its axes as the ensemble names them, values and attributes."""

    name: str
    axes: tuple[str, ...]
    values: NDArray[Any]
    attributes: dict[str, Any]

    @property
    def locates(self) -> bool:
        """Whether it says where cells are."""
        units = str(self.attributes.get("units", ""))
        return self.attributes.get("standard_name") in LOCATIONS or units.startswith("degrees_")


@dataclass(frozen=True)
class GridMetadata:
    """Additions to an ensemble's grid.

    axes       attributes of the ensemble's y and x
    variables  further variables
    mask       True where fields are kept; None to keep all
    sizes      of the axes of bounds
    """

    axes: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: tuple[GridVariable, ...] = ()
    mask: NDArray[np.bool_] | None = None
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def coordinates(self) -> list[str]:
        """Names of variables that say where cells are, bounds apart."""
        return [variable.name for variable in self.variables if variable.locates and variable.name not in self.bounds]

    @property
    def bounds(self) -> set[str]:
        """Names of variables that are bounds of others."""
        attributes = [*self.axes.values(), *(variable.attributes for variable in self.variables)]
        return {str(one["bounds"]) for one in attributes if "bounds" in one}

    @property
    def mapping(self) -> str:
        """Name of the variable that describes a map projection; "" where there is none."""
        return next((variable.name for variable in self.variables if "grid_mapping_name" in variable.attributes), "")

    def write(self, file: netCDF4.Dataset) -> None:
        """Write all of it into an ensemble file that has y and x. Raise OutputError for a name that is taken."""
        for name, attributes in self.axes.items():
            file[name].setncatts(attributes)
        for name, size in self.sizes.items():
            if name not in file.dimensions:
                file.createDimension(name, size)
        for one in self.variables:
            if one.name in file.variables or one.name in RESERVED:
                raise OutputError(f"output.grid_variables: {one.name} is a name that ensemble files use; rename it in the file")
            attributes = dict(one.attributes)
            fill_value = attributes.pop("_FillValue", None)
            variable = file.createVariable(one.name, one.values.dtype, one.axes, fill_value=fill_value)
            variable.setncatts(attributes | self.location_attributes(one))
            variable.set_auto_maskandscale(False)
            variable[...] = one.values

    def location_attributes(self, variable: GridVariable) -> dict[str, str]:
        """Return the attributes that tell where the cells of a static field are, as far as it has none itself."""
        if variable.locates or variable.name in self.bounds or len(variable.axes) < 2:
            return {}
        attributes = {"coordinates": " ".join(self.coordinates), "grid_mapping": self.mapping}
        return {key: value for key, value in attributes.items() if value and key not in variable.attributes}

    def masked(self, fields: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return fields (C, y, x), NaN outside the mask."""
        return fields if self.mask is None else np.where(self.mask, fields, np.nan)


def read_grid(
    path: Path, *, axes: tuple[str, str], shape: tuple[int, int], copy: Sequence[str], mask: str | None
) -> GridMetadata:
    """Read the variables `copy` and the mask of a file; its y and x have `shape`, and the ensemble calls them `axes`.

    Raises DataError for variables that are not there, another grid, or a mask that leaves nothing.
    """
    with reading(path) as file:
        named = [*copy, *([mask] if mask else [])]
        for name in named:
            require_variable(file, path, name)
        names = horizontal_axes(file, path, axes, named)
        lengths = tuple(len(file.dimensions[name]) for name in names)
        if lengths != shape:
            raise DataError(
                f"output.grid = {path} has {lengths[0]} x {lengths[1]} points along {names[0]} and {names[1]}, the fields have "
                f"{shape[0]} x {shape[1]}; give the file of the same grid"
            )
        renamed = dict(zip(names, axes, strict=True))
        file.set_auto_maskandscale(False)
        axis_attributes = {renamed[name]: axis_attributes_of(file[name]) for name in names if name in file.variables}
        taken = [name for name in copy if name not in names]
        taken += [name for name in bounds_of(file, [*names, *copy]) if name not in taken]
        variables = tuple(copy_variable(file[name], renamed, path) for name in taken)
        sizes = {axis: len(file.dimensions[axis]) for name in taken for axis in file[name].dimensions if axis not in names}
        return GridMetadata(axis_attributes, variables, read_mask(file, path, mask, names) if mask else None, sizes)


def horizontal_axes(file: netCDF4.Dataset, path: Path, axes: tuple[str, str], names: Sequence[str]) -> tuple[str, str]:
    """Return the file's names of y and x: `axes`, or those of the first of the named variables that has two axes."""
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
    """Return the variables of bounds that named variables have."""
    bounded = [name for name in names if name in file.variables and "bounds" in file[name].ncattrs()]
    bounds = [str(file[name].bounds) for name in bounded]
    return [name for name in bounds if name in file.variables]


def attributes_of(variable: Any) -> dict[str, Any]:
    """Return all attributes of a variable."""
    return {key: variable.getncattr(key) for key in variable.ncattrs()}


def axis_attributes_of(axis: Any) -> dict[str, Any]:
    """Return the attributes of a coordinate that say what it is."""
    return {key: value for key, value in attributes_of(axis).items() if key not in PACKING}


def copy_variable(variable: Any, renamed: dict[str, str], path: Path) -> GridVariable:
    """Read a variable, its axes by their new names. Raise DataError for one that does not hold numbers or letters."""
    if not isinstance(variable.datatype, np.dtype) or variable.datatype.kind not in "biufS":
        raise DataError(f"output.grid = {path}: {variable.name} does not hold numbers; leave it out of output.grid_variables")
    axes = tuple(renamed.get(axis, axis) for axis in variable.dimensions)
    return GridVariable(variable.name, axes, np.asarray(variable[...]), attributes_of(variable))


def read_mask(file: netCDF4.Dataset, path: Path, name: str, axes: tuple[str, str]) -> NDArray[np.bool_]:
    """Read a mask: True where a variable (y, x) is neither 0 nor missing, or the first field of (..., y, x) is not missing."""
    variable = file[name]
    if variable.dimensions[-2:] != axes:
        raise DataError(
            f"{path}: output.mask = {name} has the axes ({', '.join(variable.dimensions)}); expected ({', '.join(axes)})"
        )
    variable.set_auto_maskandscale(True)
    first = variable[(0,) * (variable.ndim - 2)] if variable.ndim > 2 else variable[:]
    values = np.ma.filled(np.ma.asarray(first, np.float64), np.nan)
    mask = np.isfinite(values) & (values != 0 if variable.ndim == 2 else True)
    if not mask.any():
        raise DataError(f"{path}: output.mask = {name} is 0 or missing everywhere, so that nothing would be written")
    return np.asarray(mask)
