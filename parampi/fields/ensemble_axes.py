"""Axes of an ensemble: members, cases (times of conditions) and lead times."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from parampi.fields.times import unit_of

Floats = NDArray[np.floating[Any]]
T = TypeVar("T")
Order = Literal["member_first", "time_first"]
PER_CASE = 1 << 16
"""Members that a case can have: member r of case t has the number `t * PER_CASE + r`, whatever the others are."""


@dataclass(frozen=True)
class Cases:
    """The axis of cases: name, coordinates and attributes as the files of conditions have them; `indices` in these files."""

    name: str
    values: Floats
    attributes: dict[str, str]
    indices: list[int]


@dataclass(frozen=True)
class Leads:
    """The axis of lead times of a roll-out: `values`, in `units` of time."""

    values: tuple[float, ...]
    units: str


@dataclass(frozen=True)
class EnsembleAxes:
    """Members by number, on the axes (member, [case], [lead time]); `order` says how the file has them. `initial`: whether the
    first lead time in it is 0, the state that forecasts start from; it is the lead -1, before those that are drawn."""

    numbers: Sequence[int]
    cases: Cases | None = None
    leads: Leads | None = None
    order: Order = "member_first"
    initial: bool = False

    @cached_property
    def realizations(self) -> list[int]:
        """Numbers along the first axis."""
        return list(self.numbers) if self.cases is None else list(dict.fromkeys(n % PER_CASE for n in self.numbers))

    @property
    def lead_times(self) -> int:
        """Number of lead times that are drawn; 1 where there is no roll-out."""
        return len(self.leads.values) if self.leads else 1

    @property
    def lead_values(self) -> tuple[float, ...]:
        """Lead times in the file."""
        return (*[0.0] * self.initial, *self.leads.values) if self.leads else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        cases, leads = (self.cases.name,) if self.cases else (), ("lead_time",) if self.leads else ()
        return ("member", *cases, *leads)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        cases, leads = (len(self.cases.indices),) if self.cases else (), (len(self.lead_values),) if self.leads else ()
        return (len(self.realizations), *cases, *leads)

    def arranged(self, values: tuple[T, ...]) -> tuple[T, ...]:
        """Return what belongs to (member, [case], [lead time], ...) in the order in which the file has these axes."""
        times = len(self.shape) - 1 if self.order == "time_first" else 0
        return (*values[1 : 1 + times], values[0], *values[1 + times :])

    @property
    def valid_times(self) -> Floats | None:
        """Times (cases, lead times) that forecasts are for, in the units of the cases; None where starts have no time."""
        if self.cases is None or self.leads is None or unit_of(self.cases.attributes.get("units", "")) != self.leads.units:
            return None
        return np.asarray(np.add.outer(self.cases.values, np.array(self.lead_values)), np.float64)

    @property
    def expected(self) -> int:
        """Fields that a complete ensemble has."""
        return len(self.numbers) * (self.lead_times + self.initial)

    @cached_property
    def member_indices(self) -> dict[int, tuple[int, ...]]:
        """Index (row, [case]) of each member, by its number."""
        rows = {realization: row for row, realization in enumerate(self.realizations)}
        if self.cases is None:
            return {number: (row,) for number, row in rows.items()}
        columns = {case: column for column, case in enumerate(self.cases.indices)}
        return {n: (rows[n % PER_CASE], columns[n // PER_CASE]) for n in self.numbers}

    def index(self, number: int, lead: int = 0) -> tuple[int, ...]:
        """Return the index of a member's field along all axes."""
        return self.member_indices[number] + ((lead + self.initial,) if self.leads else ())
