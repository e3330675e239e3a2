"""Files of grids: what an ensemble file takes over of them, on its own points and with attributes that are true there."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.failures import intact
from parampi.fields.inputs.axes import FieldAxes, field_axes
from parampi.fields.inputs.datasets import opened
from parampi.fields.inputs.encoding import VALID, without_invalid
from parampi.fields.inputs.grids import GridMetadata, GridVariable
from parampi.fields.inputs.groups import plain
from parampi.fields.inputs.horizontal import Grid, Placement, grid_of, placement
from parampi.fields.inputs.levels import require_variable

if TYPE_CHECKING:
    import xarray

OF_OTHER_VALUES = (
    "actual_range",
    "valid_min",
    "valid_max",
    "valid_range",
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
)
"""Attributes that are true of the values in the file alone."""
REFERRING = ("bounds", "climatology")
"""Attributes that name other variables, which xarray takes apart."""


def read_grid(path: Path, *, grid: Grid, copy: Sequence[str], mask: str | None) -> GridMetadata:
    """Read the variables `copy` and the mask of a file, onto the points of the ensemble.

    Raises DataError for variables that are not there, another grid, or a mask that leaves nothing.
    """
    stored = [*copy, *([mask] if mask else [])]
    copy, mask, named = [plain(name) for name in copy], plain(mask or ""), [plain(name) for name in stored]
    with opened(path, stored) as dataset:
        for name in named:
            require_variable(dataset, path, name)
        axes = horizontal_axes(dataset, path, (grid.y.name, grid.x.name), named)
        located = next((name for name in named if {axes.y, axes.x} <= set(dataset[name].dims)), "")
        own = grid_of(dataset, axes, f"output.grid = {path}", located)
        place = placement(own, grid)
        renamed = {axes.y: grid.y.name, axes.x: grid.x.name}
        taken = [name for name in copy if name not in renamed]
        taken += [name for name in bounds_of(dataset, [*renamed, *copy]) if name not in taken]
        with intact(path, "values of the grid"):
            variables = tuple(copied(dataset, name, renamed, place, path) for name in taken)
            kept = read_mask(dataset, path, mask, axes, place) if mask else None
        points = {
            axis.name: placed(np.asarray(mine.values), order)
            for axis, mine, order in ((grid.y, own.y, place.y), (grid.x, own.x, place.x))
            if axis.values is None and mine.values is not None
        }
        attributes = {renamed[name]: axis_attributes(dataset, name, renamed[name] in points) for name in renamed}
        sizes = {str(axis): int(dataset.sizes[axis]) for name in taken for axis in dataset[name].dims if axis not in renamed}
        return GridMetadata(attributes, variables, kept, sizes, points)


def placed(values: NDArray[Any], order: NDArray[np.intp] | None) -> NDArray[Any]:
    return values if order is None else values[order]


def horizontal_axes(dataset: "xarray.Dataset", path: Path, expected: tuple[str, str], names: Sequence[str]) -> FieldAxes:
    """Return the axes of the first named variable that has both y and x; without any, those of the ensemble's names."""
    for name in names:
        axes = field_axes(dataset, name, expected)
        if axes is not None and (dataset[name].ndim == 2 or set(expected) <= {axes.y, axes.x}):
            return axes
    for name in map(str, dataset.variables):
        axes = field_axes(dataset, name, expected)
        if axes is not None and {axes.y, axes.x} == set(expected):
            return axes
    if set(expected) <= {str(axis) for axis in dataset.sizes}:
        return FieldAxes(*expected, "", ())
    raise DataError(
        f"output.grid = {path} has neither the axes {', '.join(expected)} nor a variable (y, x) among those that "
        "output.grid_variables and output.mask name"
    )


def bounds_of(dataset: "xarray.Dataset", names: Sequence[str]) -> list[str]:
    """Return the variables of bounds that named variables have."""
    bounds = [referred(dataset, name, "bounds") for name in names if name in dataset.variables]
    return [name for name in bounds if name in dataset.variables]


def referred(dataset: "xarray.Dataset", name: str, key: str) -> str:
    variable = dataset[name]
    return str(variable.attrs.get(key, variable.encoding.get(key, "")))


def attributes_of(dataset: "xarray.Dataset", name: str) -> dict[str, Any]:
    """Return the attributes of a variable that are true of its unpacked values."""
    attributes = {key: value for key, value in dataset[name].attrs.items() if key not in (*OF_OTHER_VALUES, VALID)}
    return attributes | {key: text for key in REFERRING if (text := referred(dataset, name, key))}


def axis_attributes(dataset: "xarray.Dataset", name: str, points: bool) -> dict[str, Any]:
    """Return the attributes of a coordinate that are true of the ensemble's own; its units only with its points."""
    if name not in dataset.variables or dataset[name].dtype.kind not in "biuf":
        return {}
    attributes = attributes_of(dataset, name)
    return attributes if points else {key: value for key, value in attributes.items() if key != "units"}


def copied(dataset: "xarray.Dataset", name: str, renamed: dict[str, str], place: Placement, path: Path) -> GridVariable:
    """Read a variable onto the ensemble's points. Raise DataError for one that does not hold numbers or letters."""
    variable = dataset[name]
    if variable.dtype.kind not in "biufS":
        raise DataError(f"output.grid = {path}: {name} does not hold numbers; leave it out of output.grid_variables")
    limits = variable.attrs.get(VALID)
    values = np.asarray(variable.values)
    for axis, order in zip(renamed, (place.y, place.x), strict=True):
        if axis in variable.dims and order is not None:
            values = values.take(order, axis=variable.dims.index(axis))
    if list(renamed) == [axis for axis in reversed(variable.dims) if axis in renamed]:
        values = values.swapaxes(*(variable.dims.index(axis) for axis in renamed))
        swapped = dict(zip(renamed, reversed(renamed), strict=True))
        names = [swapped.get(str(axis), str(axis)) for axis in variable.dims]
    else:
        names = [str(axis) for axis in variable.dims]
    if values.dtype.kind == "f":
        values = without_invalid(values, limits).astype(values.dtype if values.dtype != np.float16 else np.float32)
    axes = tuple(renamed.get(axis, axis) for axis in names)
    return GridVariable(name, axes, values, attributes_of(dataset, name))


def read_mask(dataset: "xarray.Dataset", path: Path, name: str, axes: FieldAxes, place: Placement) -> NDArray[np.bool_]:
    """Read a mask: True where a variable (y, x) is neither 0 nor missing, or the first field of (..., y, x) is not missing. The
    only field of (1, y, x) is one of (y, x) unless it has gaps."""
    variable = dataset[name]
    if not {axes.y, axes.x} <= set(variable.dims):
        own = ", ".join(map(str, variable.dims))
        raise DataError(f"{path}: output.mask = {name} has the axes ({own}); expected ({axes.y}, {axes.x})")
    first = variable.isel({axis: 0 for axis in variable.dims if axis not in (axes.y, axes.x)}).transpose(axes.y, axes.x)
    values = place(without_invalid(np.asarray(first.values, np.float64), variable.attrs.get(VALID)))
    present = np.isfinite(values)
    plain = variable.ndim == 2 or (variable.size == values.size and present.all())
    mask = present & (values != 0 if plain else True)
    if not mask.any():
        raise DataError(f"{path}: output.mask = {name} is 0 or missing everywhere, so that nothing would be written")
    return np.asarray(mask)
