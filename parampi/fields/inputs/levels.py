"""Levels: a channel `t@500` is the variable `t` at the level 500 of its axis of levels, the last one before y and x."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parampi.errors import DataError
from parampi.fields.netcdf_files import variable_of

MARK, ALL = "@", "*"


@dataclass(frozen=True)
class LevelAxis:
    """What the files call the axis, and its attributes."""

    name: str = "level"
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LevelGroup:
    """Channels of one variable: their places among all channels, and their levels; None for a variable without."""

    variable: str
    channels: tuple[int, ...]
    levels: tuple[float, ...] | None


def split(name: str) -> tuple[str, float | None]:
    """Variable and level of a channel. Raises DataError for a level that is no number."""
    variable, mark, level = name.rpartition(MARK)
    if not mark:
        return name, None
    try:
        return variable, float(level)
    except ValueError:
        raise DataError(
            f"{name!r}: what follows {MARK} must be a level, such as {variable or 't'}{MARK}500, or {ALL} for all"
        ) from None


def grouped(names: Sequence[str]) -> list[LevelGroup]:
    """Channels by variable, in the order in which variables come first."""
    found: dict[str, list[tuple[int, float | None]]] = {}
    for channel, name in enumerate(names):
        variable, level = split(name)
        found.setdefault(variable, []).append((channel, level))
    groups = []
    for variable, members in found.items():
        levels = [level for _, level in members if level is not None]
        if levels and len(levels) < len(members):
            raise DataError(f"{variable} is a channel with levels and one without; name one of them otherwise")
        groups.append(LevelGroup(variable, tuple(channel for channel, _ in members), tuple(levels) or None))
    return groups


def index_of(file: Any, path: Any, name: str) -> tuple[Any, int | None]:
    """The variable of a channel in a file, and where its level is. Raises DataError."""
    if name in file.variables:
        return file[name], None
    variable, level = split(name)
    found = variable_of(file, path, variable)
    values = values_of(file, found) if found.ndim > 2 else np.zeros(0)
    hits = np.flatnonzero(np.isclose(values, level if level is not None else np.nan))
    if len(hits) != 1:
        raise DataError(
            f"{path}: {variable} has no level {level:g}; it has {', '.join(f'{value:g}' for value in values) or 'none'}"
        )
    return found, int(hits[0])


def values_of(file: Any, variable: Any) -> Any:
    """Levels along a variable's axis of levels; their numbers from 0 where it has no coordinate."""
    axis = variable.dimensions[-3]
    if axis in file.variables:
        return np.ma.filled(np.ma.asarray(file[axis][:], np.float64), np.nan)
    return np.arange(len(file.dimensions[axis]), dtype=np.float64)


def expanded(file: Any, path: Any, names: Iterable[str]) -> list[str]:
    """Names with `t@*` replaced by the channels of all its levels."""
    found: list[str] = []
    for name in names:
        variable, mark, level = name.rpartition(MARK)
        if not mark or level != ALL:
            found.append(name)
            continue
        held = variable_of(file, path, variable)
        if held.ndim < 3:
            raise DataError(f"{path}: {variable} has the axes ({', '.join(held.dimensions)}), none of them of levels")
        found += [f"{variable}{MARK}{value:g}" for value in values_of(file, held)]
    return found


def axis_of(file: Any, variable: Any) -> LevelAxis:
    name = variable.dimensions[-3]
    held = file[name] if name in file.variables else None
    told = ("units", "positive", "standard_name", "long_name", "axis")
    return LevelAxis(name, tuple((key, str(held.getncattr(key))) for key in told if held is not None and key in held.ncattrs()))
