"""Ensemble files with their members first, whichever order of axes they were written in."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from parampi.fields.ensemble_axes import Order


def members_first(file: Any) -> Any:
    """Return an open ensemble file as one whose axis of members is the first of every variable that has it.

    A file that has it so is returned as it is; of one with its times first, variables show their axes, and take indices and
    values, as (member, [time], [lead_time], ...).
    """
    return file if file["complete"].dimensions[0] == "member" else TurnedFile(file)


def order_of(file: Any) -> Order:
    """Return which axes an open ensemble file has first."""
    return "time_first" if isinstance(file, TurnedFile) else "member_first"


class TurnedFile:
    """An open file whose variables have members after their times; all but `variables` is the file's own."""

    def __init__(self, file: Any):
        self._file = file

    @cached_property
    def variables(self) -> dict[str, Any]:
        """The variables by name, those with members turned."""
        return {
            name: TurnedVariable(variable) if "member" in variable.dimensions[1:] else variable
            for name, variable in self._file.variables.items()
        }

    def __getitem__(self, name: str) -> Any:
        return self.variables[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class TurnedVariable:
    """A variable with members first; all but axes and values is the file's own."""

    def __init__(self, variable: Any):
        self._variable, self._place = variable, variable.dimensions.index("member")

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(self._turned(self._variable.dimensions))

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(self._turned(self._variable.shape))

    def __getitem__(self, index: Any) -> Any:
        place, axis = self._stored(index)
        values = self._variable[place]
        return values if axis is None else np.moveaxis(values, axis, 0)

    def __setitem__(self, index: Any, value: Any) -> None:
        place, axis = self._stored(index)
        self._variable[place] = value if axis is None or np.ndim(value) == 0 else np.moveaxis(value, 0, axis)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)

    def _turned(self, values: tuple[Any, ...]) -> Iterator[Any]:
        yield values[self._place]
        yield from (value for place, value in enumerate(values) if place != self._place)

    def _stored(self, index: Any) -> tuple[tuple[Any, ...], int | None]:
        """Return an index in the file's order, and where the axis of members is among those that it leaves, None for one
        member."""
        given = index if isinstance(index, tuple) else (index,)
        at = next((place for place, one in enumerate(given) if one is Ellipsis), len(given))
        behind = given[at + 1 :]
        full = [*given[:at], *[slice(None)] * (self._variable.ndim - at - len(behind)), *behind]
        place = (*full[1 : 1 + self._place], full[0], *full[1 + self._place :])
        if isinstance(full[0], int | np.integer):
            return place, None
        return place, sum(not isinstance(one, int | np.integer) for one in place[: self._place])
