"""Levels of variables in files: where the channel `t@500` is, and which levels there are."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from parampi.errors import DataError
from parampi.fields.channels import ALL_LEVELS, LEVEL_MARK, LevelAxis, split_channel
from parampi.fields.netcdf_files import require_variable

COPIED = ("units", "positive", "standard_name", "long_name", "axis")
"""Attributes of an axis of levels that are taken over."""


def locate_channel(file: Any, path: Any, name: str) -> tuple[Any, int | None]:
    """Return the variable of a channel in a file, and the index of its level. Raise DataError where there is none."""
    if name in file.variables:
        return file[name], None
    variable_name, level = split_channel(name)
    variable = require_variable(file, path, variable_name)
    levels = level_values(file, variable) if variable.ndim > 2 else np.zeros(0)
    matches = np.flatnonzero(np.isclose(levels, level if level is not None else np.nan))
    if len(matches) != 1:
        present = ", ".join(f"{value:g}" for value in levels) or "none"
        raise DataError(f"{path}: {variable_name} has no level {level:g}; it has {present}")
    return variable, int(matches[0])


def level_values(file: Any, variable: Any) -> Any:
    """Return the levels along a variable's last axis before y and x; 0, 1, ... where the file has no coordinate."""
    axis = variable.dimensions[-3]
    if axis in file.variables:
        return np.ma.filled(np.ma.asarray(file[axis][:], np.float64), np.nan)
    return np.arange(len(file.dimensions[axis]), dtype=np.float64)


def expand_levels(file: Any, path: Any, names: Iterable[str]) -> list[str]:
    """Replace each name `t@*` by the channels of all levels of t."""
    channels: list[str] = []
    for name in names:
        variable_name, mark, level = name.rpartition(LEVEL_MARK)
        if not mark or level != ALL_LEVELS:
            channels.append(name)
            continue
        variable = require_variable(file, path, variable_name)
        if variable.ndim < 3:
            raise DataError(f"{path}: {variable_name} has the axes ({', '.join(variable.dimensions)}), none of them of levels")
        channels += [f"{variable_name}{LEVEL_MARK}{value:g}" for value in level_values(file, variable)]
    return channels


def read_level_axis(file: Any, variable: Any) -> LevelAxis:
    """Read name and attributes of a variable's axis of levels."""
    name = variable.dimensions[-3]
    if name not in file.variables:
        return LevelAxis(name)
    axis = file[name]
    return LevelAxis(name, tuple((key, str(axis.getncattr(key))) for key in COPIED if key in axis.ncattrs()))
