"""Axes of fields that are no maps, in files of samples and conditions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parampi.errors import DataError
from parampi.fields.field_dimensions import Coordinate, FieldDimensions, kept
from parampi.fields.inputs.axes import roles_of

if TYPE_CHECKING:
    import xarray


def require_named(dataset: "xarray.Dataset", variable: str, names: Sequence[str], path: str | Path) -> None:
    """Raise DataError where a variable lacks one of the axes of these names."""
    axes = [str(axis) for axis in dataset[variable].dims]
    missing = [name for name in names if name not in axes]
    if missing:
        raise DataError(
            f"{path}: {variable} has the axes ({', '.join(axes)}), and not {', '.join(missing)} of field_axes = "
            f"{', '.join(names)}; name those that its fields have"
        )


def cells_of(dataset: "xarray.Dataset", names: Sequence[str]) -> tuple[str, ...]:
    """Return the axis of cells: latitudes and longitudes lie along it, one each. Empty where there is none."""
    roles = roles_of(dataset)
    along: dict[str, set[str]] = {}
    for name, role in roles.items():
        if name in dataset.variables and dataset[name].ndim == 1 and role in ("y", "x"):
            along.setdefault(str(dataset[name].dims[0]), set()).add(role)
    variables = [dataset[name] for name in names if name in dataset.variables] or list(dataset.data_vars.values())
    axes = [axis for axis, both in along.items() if both == {"y", "x"} and any(axis in one.dims for one in variables)]
    return tuple(axes[:1])


def dimensions_of(dataset: "xarray.Dataset", variable: str, names: Sequence[str]) -> FieldDimensions:
    """Return axes and coordinates of a variable's fields."""
    coordinates = tuple(
        Coordinate(str(name), tuple(map(str, one.dims)), np.asarray(one.values, np.float64), kept(one.attrs))
        for name, one in dataset.coords.items()
        if one.dims and set(map(str, one.dims)) <= set(names) and one.dtype.kind in "iuf"
    )
    return FieldDimensions(tuple(names), tuple(int(dataset.sizes[name]) for name in names), coordinates)
