"""Levels of variables in files: where the channel `t@500` is, and which levels there are."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.channels import ALL_LEVELS, LEVEL_MARK, LevelAxis, LevelTerm, split_channel
from parampi.fields.inputs.axes import coordinate_of, field_axes
from parampi.fields.inputs.units import Conversion, conversion, spelling, unit

if TYPE_CHECKING:
    import xarray

COPIED = ("units", "positive", "standard_name", "long_name", "axis")
"""Attributes of an axis of levels that are taken over."""
TERM_ATTRIBUTES = ("units", "standard_name", "long_name")
"""The same of the terms of its formula."""


def locate_channel(
    dataset: "xarray.Dataset", path: Path, name: str, units: Mapping[str, str] | None = None
) -> tuple[str, int | None]:
    """Return the variable of a channel in a file, and the index of its level. Raise DataError where there is none.

    `units` are those of the levels that names say, by variable; the file's own by default.
    """
    if name in dataset.variables:
        return name, None
    variable_name, level = split_channel(name)
    require_variable(dataset, path, variable_name)
    axis = level_axis(dataset, variable_name)
    levels = converted_levels(dataset, path, axis, (units or {}).get(variable_name, "")) if axis else np.zeros(0)
    matches = np.flatnonzero(np.isclose(levels, level if level is not None else np.nan))
    if len(matches) != 1:
        present = ", ".join(f"{value:g}" for value in levels) or "none"
        raise DataError(f"{path}: {variable_name} has no level {level:g}; it has {present}")
    return variable_name, int(matches[0])


def require_variable(dataset: "xarray.Dataset", path: Path, name: str) -> None:
    """Raise DataError with the variables that there are, unless one has that name."""
    if name not in dataset.variables:
        raise DataError(f"{path} has no variable {name}; it has {', '.join(map(str, dataset.variables)) or 'no variables'}")


def level_axis(dataset: "xarray.Dataset", variable: str) -> str:
    """Return a variable's axis of levels: one that says so, or the last of several before y and x; "" where there is none."""
    axes = field_axes(dataset, variable)
    if axes is None:
        return ""
    return axes.level or (axes.samples[-1] if len(axes.samples) > 1 else "")


def level_values(dataset: "xarray.Dataset", axis: str) -> NDArray[np.floating[Any]]:
    """Return the levels along an axis; 0, 1, ... where the file has no numbers."""
    name = coordinate_of(dataset, axis, "level")
    if name:
        return np.asarray(dataset[name].values, np.float64)
    return np.arange(dataset.sizes[axis], dtype=np.float64)


def converted_levels(dataset: "xarray.Dataset", path: Path, axis: str, units: str) -> NDArray[np.floating[Any]]:
    """Return the levels along an axis in these units, as they are where either side has none that UDUNITS knows.

    Raises DataError for levels of another kind.
    """
    levels, own = level_values(dataset, axis), level_units(dataset, axis)
    if any(spelling(one) == "1" or unit(spelling(one)) is None for one in (own, units)):
        return levels
    change: Conversion | None = conversion(own, units)
    if change is None:
        raise DataError(
            f"{path}: the levels {axis} are in {own!r}, but those of its statistics, or of the first file, in {units!r}; bring "
            f"both onto the same levels"
        )
    return np.asarray(change(levels))


def level_units(dataset: "xarray.Dataset", axis: str) -> str:
    """Return the units of an axis of levels; "" where it has none."""
    name = coordinate_of(dataset, axis, "level")
    return str(dataset[name].attrs.get("units", "")) if name else ""


def expand_levels(
    dataset: "xarray.Dataset", path: Path, names: Iterable[str], units: Mapping[str, str] | None = None
) -> list[str]:
    """Replace each name `t@*` by the channels of all levels of t, in the `units` of levels of each variable."""
    channels: list[str] = []
    for name in names:
        variable_name, mark, level = name.rpartition(LEVEL_MARK)
        if not mark or level != ALL_LEVELS:
            channels.append(name)
            continue
        require_variable(dataset, path, variable_name)
        axis = level_axis(dataset, variable_name)
        if not axis:
            axes = ", ".join(map(str, dataset[variable_name].dims))
            raise DataError(f"{path}: {variable_name} has the axes ({axes}), none of them of levels")
        levels = converted_levels(dataset, path, axis, (units or {}).get(variable_name, ""))
        channels += [f"{variable_name}{LEVEL_MARK}{value:g}" for value in levels]
    return channels


def read_level_axis(dataset: "xarray.Dataset", variable: str) -> LevelAxis:
    """Read name and attributes of a variable's axis of levels."""
    axis = level_axis(dataset, variable)
    name = coordinate_of(dataset, axis, "level")
    if not name:
        return LevelAxis(axis)
    return LevelAxis(name, copied(dataset, name, COPIED), read_terms(dataset, name, axis))


def copied(dataset: "xarray.Dataset", name: str, keys: Iterable[str]) -> tuple[tuple[str, str], ...]:
    attributes = dataset[name].attrs
    return tuple((key, str(attributes[key])) for key in keys if key in attributes)


def read_terms(dataset: "xarray.Dataset", name: str, axis: str) -> tuple[LevelTerm, ...]:
    """Read the terms of the formula of hybrid and other levels without dimension: variables along the levels, single numbers,
    and the names of fields."""
    text = dataset[name].encoding.get("formula_terms", dataset[name].attrs.get("formula_terms", ""))
    levels, terms = tuple(level_values(dataset, axis).tolist()), []
    for term, variable in re.findall(r"(\w+):\s*([^\s:]+)(?!:)", str(text)):
        if variable not in dataset.variables or dataset[variable].dtype.kind not in "iuf":
            continue
        one, attributes = dataset[variable], copied(dataset, variable, TERM_ATTRIBUTES)
        if one.dims not in ((), (axis,)):
            terms.append(LevelTerm(term, variable))
        else:
            values = tuple(np.asarray(one.values, np.float64).ravel().tolist())
            terms.append(LevelTerm(term, variable, attributes, levels if one.dims else (), values))
    return tuple(terms)
