"""The state of an engine between two rounds, by names: fields at points, and numbers of members."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class PointRows:
    """A field at consecutive points: `rows` (r, m, ...), row 0 of a member being its point `begin` (m,)."""

    rows: Tensor
    begin: Integers

    def first_rows(self, count: int) -> Tensor:
        """Return a copy of `count` rows, 0 beyond those there are."""
        rows = self.rows.new_zeros((count, *self.rows.shape[1:]))
        rows[: len(self.rows)] = self.rows[:count]
        return rows


@dataclass(frozen=True)
class EngineState:
    """One rank's part of what a group of ranks needs to go on.

    begun    (m,) which members have begun; nothing but zeros is known of the others' fields
    fields   fields at the points of this rank
    numbers  tensors (m, ...) of members: where they are, what they cost, what the stop rule keeps. What rank 0 alone decides is
             complete there only
    """

    begun: NDArray[np.bool_]
    fields: dict[str, PointRows]
    numbers: dict[str, Tensor]

    def integers(self, name: str) -> Integers:
        return self.numbers[name].numpy().astype(np.int64)


def named(prefix: str, items: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Return the items under names that begin with a prefix."""
    return {f"{prefix}.{name}": value for name, value in items}


def unnamed(prefix: str, numbers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the numbers whose names begin with a prefix, without it."""
    return {name.removeprefix(f"{prefix}."): value for name, value in numbers.items() if name.startswith(f"{prefix}.")}
