"""Channels by name: `t` is the variable t, `t@500` the same variable at the level 500 of its axis of levels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose

from parampi.errors import DataError

LEVEL_MARK, ALL_LEVELS = "@", "*"
FACTS = ("realization", "seed", "rounds", "evaluations", "residual", "bistable", "complete")
"""Variables of ensemble files that say something of a member."""
RESERVED = ("member", "lead_time", "valid_time", "quantile", *FACTS)
"""Names that ensemble files use."""
FIT = re.compile(r"\w([^/\x00-\x1f\x7f]*[^/\x00-\x1f\x7f\s])?")
"""Names that variables of NetCDF files can have: they begin with a letter, end with no space, and have no stroke."""


@dataclass(frozen=True)
class LevelTerm:
    """A variable from which heights or pressures of levels are made (CF's `formula_terms`): what it stands for in the formula,
    its name, and its attributes; `values` at `levels`, one without levels, none for a field such as the surface pressure."""

    term: str
    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    levels: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def at(self, levels: tuple[float, ...]) -> tuple[float, ...]:
        """Return the values at these levels; none where it has not all of them."""
        if not self.levels:
            return self.values
        pairs = list(zip(self.levels, self.values, strict=True))
        found = [[value for own, value in pairs if isclose(own, level, rel_tol=1e-5, abs_tol=1e-8)] for level in levels]
        return tuple(values[0] for values in found) if all(found) else ()


@dataclass(frozen=True)
class LevelAxis:
    """An axis of levels: its name in the files, its attributes, and the terms of its formula."""

    name: str = "level"
    attributes: tuple[tuple[str, str], ...] = ()
    terms: tuple[LevelTerm, ...] = ()


@dataclass(frozen=True)
class LevelGroup:
    """Channels of one variable: their indices among all channels, and their levels; None for a variable without levels."""

    variable: str
    channels: tuple[int, ...]
    levels: tuple[float, ...] | None


def require_names(names: Sequence[str]) -> None:
    """Raise DataError for a channel whose variable no ensemble file can have."""
    for name in names:
        variable = split_channel(name)[0]
        if variable in RESERVED:
            raise DataError(f"a channel cannot be named {variable!r}, which ensemble files use; rename it in the data")
        if not FIT.fullmatch(variable):
            raise DataError(
                f"a channel cannot be named {variable!r}, which no variable of a NetCDF file is; rename it in the data"
            )


def split_channel(name: str) -> tuple[str, float | None]:
    """Return variable and level of a channel. Raise DataError for a level that is no number."""
    variable, mark, level = name.rpartition(LEVEL_MARK)
    if not mark:
        return name, None
    try:
        return variable, float(level)
    except ValueError:
        raise DataError(
            f"{name!r}: what follows {LEVEL_MARK} must be a level, such as {variable or 't'}{LEVEL_MARK}500, or {ALL_LEVELS} "
            f"for all"
        ) from None


def group_channels(names: Sequence[str]) -> list[LevelGroup]:
    """Group channels by variable, in the order in which variables come first."""
    by_variable: dict[str, list[tuple[int, float | None]]] = {}
    for channel, name in enumerate(names):
        variable, level = split_channel(name)
        by_variable.setdefault(variable, []).append((channel, level))
    groups = []
    for variable, members in by_variable.items():
        levels = [level for _, level in members if level is not None]
        if levels and len(levels) < len(members):
            raise DataError(f"{variable} is a channel with levels and one without; name one of them otherwise")
        groups.append(LevelGroup(variable, tuple(channel for channel, _ in members), tuple(levels) or None))
    return groups
