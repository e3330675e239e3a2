"""Statistics over the members of an ensemble: moments and extremes as members come, quantiles from the members at the end."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields.stores.content import Content

Floats = NDArray[np.floating[Any]]
METHODS = {"mean": "mean", "standard_deviation": "standard_deviation", "minimum": "minimum", "maximum": "maximum"}
"""Cell methods of CF for statistics."""
SLAB = 1 << 22
"""Numbers read at once for quantiles."""


class RunningMoments:
    """Mean, standard deviation, minimum and maximum of fields (C, H, W), which come in any order and on several ranks.

    Sums of the distances to `shift` (C,) and of their squares are carried with what each addition lost (Knuth 1969, The Art of
    Computer Programming 2, 4.2.2, theorem B), to about 32 digits: the same results, whatever the order and the rank.
    """

    def __init__(self, shape: tuple[int, ...], shift: Floats):
        self.count, self.shift = 0, shift[:, None, None]
        self.table = np.zeros((6, *shape))
        self.minimum, self.maximum = self.table[4:]
        self.minimum[:], self.maximum[:] = np.inf, -np.inf

    def add(self, fields: Floats) -> None:
        """Add one member's fields."""
        self.count += 1
        distances = fields.astype(np.float64) - self.shift
        accumulate(self.table[0:2], distances)
        accumulate(self.table[2:4], distances**2)
        self.extend_range(fields, fields)

    def extend_range(self, low: Floats, high: Floats) -> None:
        """Extend minimum and maximum."""
        np.minimum(self.minimum, low, out=self.minimum)
        np.maximum(self.maximum, high, out=self.maximum)

    def merge(self, count: int, table: Floats) -> None:
        """Add another one's count and table, of further fields."""
        self.count += count
        for rows in (slice(0, 2), slice(2, 4)):
            accumulate(self.table[rows], table[rows][0])
            accumulate(self.table[rows], table[rows][1])
        self.extend_range(table[4], table[5])

    def value(self, kind: str) -> Floats:
        """Return a statistic (C, H, W); NaN where there are too few members."""
        if self.count < (2 if kind == "standard_deviation" else 1):
            return np.full(self.minimum.shape, np.nan)
        if kind in ("minimum", "maximum"):
            return np.asarray(self.minimum if kind == "minimum" else self.maximum)
        wide = self.table[:4].astype(np.longdouble)
        total, squares = wide[0] + wide[1], wide[2] + wide[3]
        if kind == "mean":
            return np.asarray(self.shift + total / self.count, np.float64)
        return np.asarray(np.sqrt(np.maximum(squares - total**2 / self.count, 0) / (self.count - 1)), np.float64)


def accumulate(pair: Floats, addend: Floats) -> None:
    """Add to a sum (2, ...): its value, and what rounding has taken from it."""
    value = pair[0] + addend
    added = value - pair[0]
    pair[1] += (pair[0] - (value - added)) + (addend - added)
    pair[0] = value


class Summary:
    """Statistics over members, for each case and lead time.

    variable_slots  variable of each channel, and its index along the variable's levels, if it has any
    means           (C,) of the data
    """

    def __init__(self, content: Content, variable_slots: Sequence[tuple[str, tuple[int, ...]]], means: Floats):
        self.content, self.variable_slots, self.means = content, variable_slots, means
        self.columns: dict[tuple[int, ...], RunningMoments] = {}
        self.counted = set[tuple[int, int]]()

    def column(self, index: tuple[int, ...], shape: tuple[int, ...]) -> RunningMoments:
        """Return the moments at an index along cases and lead times, for fields of this shape."""
        return self.columns.setdefault(index, RunningMoments(shape, self.means))

    def add(self, key: tuple[int, int], index: tuple[int, ...], fields: Floats) -> None:
        """Add a member's fields (C, H, W) at an index along cases and lead times; each `key` counts once."""
        if self.content.summary and key not in self.counted:
            self.counted.add(key)
            self.column(index, fields.shape).add(fields)

    def write(self, file: Any) -> None:
        """Write the statistics into an ensemble file that has all members."""
        for index, moments in self.columns.items():
            for channel, (name, level) in enumerate(self.variable_slots):
                for kind in self.content.summary:
                    if kind != "quantiles":
                        target = file[f"{name}_{kind}"]
                        field = moments.value(kind)[channel].reshape(target.shape[len(index) + len(level) :])
                        target[(*index, *level, ...)] = field
                    elif moments.count:
                        self.write_quantiles(file, name, index, level)

    def write_quantiles(self, file: Any, name: str, index: tuple[int, ...], level: tuple[int, ...]) -> None:
        """Write the quantiles of finished members, a few rows of the grid at a time."""
        finished = np.flatnonzero(np.ma.filled(file["complete"][(slice(None), *index)], 0) == 1)
        source, target = file[name], file[f"{name}_quantiles"]
        first, *others = source.shape[1 + len(index) + len(level) :]
        for rows in slabs(len(finished), first, math.prod(others)):
            values = np.ma.filled(source[(slice(None), *index, *level, rows)], np.nan)[finished]
            target[(slice(None), *index, *level, rows)] = np.quantile(values.astype(np.float64), self.content.quantiles, axis=0)


def slabs(members: int, rows: int, columns: int) -> Iterator[slice]:
    """Yield rows of a grid that can be read of all members at once."""
    step = max(SLAB // max(members * columns, 1), 1)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
