"""Axes of files that have no names for them, or others, as the user names them in the order of storage."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parampi.errors import DataError
from parampi.fields.inputs.axes import role_by_name

if TYPE_CHECKING:
    import xarray

CHANNEL = "channel"
"""The axis of what are channels of one variable, such as the components of a velocity: those are named as levels are."""


def require_axes_named(axes: Sequence[str], variables: Sequence[str], fields: Sequence[str] = ()) -> None:
    """Raise DataError unless the names are of y, of x (or the axes of `fields` that are no maps) and of others, each once, and
    of axes of variables that are named too."""
    roles = [role_by_name(axis) for axis in axes]
    if axes and not variables:
        raise DataError(f"axes = {', '.join(axes)}: name the variables that have these axes, such as --variable velocity@*")
    if fields and set(fields) <= set(axes) and len(set(axes)) == len(axes):
        return
    if axes and ((roles.count("y"), roles.count("x")) != (1, 1) or len(set(axes)) < len(axes)):
        raise DataError(
            f"axes = {', '.join(axes)}: name y and x once, in the order of storage, and the others once each, such as sample, "
            f"time, x, y, {CHANNEL}"
        )


def with_named_axes(dataset: "xarray.Dataset", names: Sequence[str], axes: Sequence[str], path: Path) -> "xarray.Dataset":
    """Return a data set whose variables of these names have the axes; one of fewer axes has no channels, one of two has y and
    x. Coordinates of these axes, by their names, belong to them."""
    import xarray

    if not axes:
        return dataset
    variables, sizes = {}, dict[str, int]()
    for name in names:
        if name not in dataset.variables:
            continue
        variable = dataset[name].variable.copy(deep=False)
        variable.dims = axes_for(name, variable.shape, axes, path)
        for axis, size in zip(variable.dims, variable.shape, strict=True):
            if sizes.setdefault(str(axis), size) != size:
                raise DataError(
                    f"{path}: the axis {axis} has {size} points in {name}, and {sizes[str(axis)]} in {names[0]}; name "
                    f"variables of one shape, or other axes"
                )
        variables[name] = variable
    for other, one in dataset.variables.items():
        axis = str(other).removesuffix("-coordinate")
        if axis in sizes and one.shape == (sizes[axis],) and other not in variables:
            variables[axis] = one.copy(deep=False)
            variables[axis].dims = (axis,)
    others = {
        str(name): one
        for name, one in dataset.variables.items()
        if name not in variables and name not in sizes and not set(map(str, one.dims)) & set(sizes)
    }
    return xarray.Dataset(others | variables, attrs=dataset.attrs)


def axes_for(name: str, shape: tuple[int, ...], axes: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return the axes of a variable of this shape. Raise DataError where as many are not named."""
    without = [axis for axis in axes if axis != CHANNEL]
    plane = [axis for axis in axes if role_by_name(axis) in ("y", "x")]
    for some in (axes, without, plane):
        if len(some) == len(shape):
            return tuple(some)
    raise DataError(f"{path}: {name} has shape {shape}, {len(shape)} axes; named are {', '.join(axes)} (axes)")
