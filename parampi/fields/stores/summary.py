"""Statistics over the members of an ensemble: moments and extremes as members come, quantiles from the members at the end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.inputs.levels import split

Floats = NDArray[np.floating[Any]]
Kind = Literal["mean", "standard_deviation", "minimum", "maximum", "quantiles"]
METHODS = {"mean": "mean", "standard_deviation": "standard_deviation", "minimum": "minimum", "maximum": "maximum"}
SLAB = 1 << 22
"""Numbers read at once for quantiles."""


@dataclass(frozen=True)
class Content:
    """What of an ensemble is written.

    variables    names of channels, or of variables for all their levels; None for all
    members      whether the members themselves are
    summary      statistics over members; standard deviations are those of a sample (divided by members - 1)
    quantiles    for the summary "quantiles", by linear interpolation between members
    compression  0 (none) to 9, lossless
    checksums    of members' fields, by which damaged ones are found
    digits       significant decimal digits that are kept; None for all of float32. Fewer compress better
    """

    variables: tuple[str, ...] | None = None
    members: bool = True
    summary: tuple[Kind, ...] = ()
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    compression: int = 0
    checksums: bool = True
    digits: int | None = None

    def __post_init__(self) -> None:
        if not self.members and not self.summary:
            raise OutputError("neither members nor a summary would be written; leave output.members true, or name a summary")
        if not self.members and "quantiles" in self.summary:
            raise OutputError("quantiles need the members in the file; leave output.members true, or the quantiles out")
        if self.digits is not None and not self.compression:
            raise OutputError(
                f"output.digits = {self.digits} without output.compression makes fields less exact but no file smaller; "
                f"compress too, or leave the digits out"
            )
        if not all(0 <= q <= 1 for q in self.quantiles) or list(self.quantiles) != sorted(set(self.quantiles)):
            raise OutputError(f"quantiles = {list(self.quantiles)}; give increasing numbers from 0 to 1")

    def chosen(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The channels to write, in the order of the statistics. Raises OutputError for unknown ones."""
        wanted = self.variables
        unknown = [name for name in wanted or () if name not in names and name not in [split(known)[0] for known in names]]
        if unknown:
            raise OutputError(f"output.variables names {', '.join(unknown)}; there are {', '.join(names)}")
        return names if wanted is None else tuple(name for name in names if name in wanted or split(name)[0] in wanted)

    def size(self, members: int, cases: int, variables: int, points: int) -> int:
        """Bytes, before compression."""
        maps = members * cases * self.members
        maps += cases * sum(len(self.quantiles) if kind == "quantiles" else 1 for kind in self.summary)
        return 4 * maps * variables * points


class Running:
    """Mean, standard deviation, minimum and maximum of fields (C, H, W), which come in any order and in several places.

    Sums of the distances to `shift` (C,) and of their squares are carried with what each addition lost (Knuth 1969, The Art of
    Computer Programming 2, 4.2.2, theorem B), to about 32 digits: the same results, whatever the order and the places.
    """

    def __init__(self, shape: tuple[int, ...], shift: Floats):
        self.count, self.shift = 0, shift[:, None, None]
        self.table = np.zeros((6, *shape))
        self.minimum, self.maximum = self.table[4:]
        self.minimum[:], self.maximum[:] = np.inf, -np.inf

    def add(self, fields: Floats) -> None:
        self.count += 1
        apart = fields.astype(np.float64) - self.shift
        accumulate(self.table[0:2], apart)
        accumulate(self.table[2:4], apart**2)
        self.stretch(fields, fields)

    def stretch(self, low: Floats, high: Floats) -> None:
        np.minimum(self.minimum, low, out=self.minimum)
        np.maximum(self.maximum, high, out=self.maximum)

    def merge(self, count: int, table: Floats) -> None:
        """MemberSink in what another has of further fields."""
        self.count += count
        for rows in (slice(0, 2), slice(2, 4)):
            accumulate(self.table[rows], table[rows][0])
            accumulate(self.table[rows], table[rows][1])
        self.stretch(table[4], table[5])

    def value(self, kind: str) -> Floats:
        """NaN where there are too few members."""
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
    taken = value - pair[0]
    pair[1] += (pair[0] - (value - taken)) + (addend - taken)
    pair[0] = value


class Summary:
    """Statistics over members, for each case and lead time. `variable_slots`: of each channel its variable and its index
    along the variable's levels, if it has any; `means` (C,) of the data."""

    def __init__(self, content: Content, variable_slots: Sequence[tuple[str, tuple[int, ...]]], means: Floats):
        self.content, self.variable_slots, self.means = content, variable_slots, means
        self.columns: dict[tuple[int, ...], Running] = {}
        self.counted = set[tuple[int, int]]()

    def column(self, place: tuple[int, ...], shape: tuple[int, ...]) -> Running:
        return self.columns.setdefault(place, Running(shape, self.means))

    def add(self, key: tuple[int, int], place: tuple[int, ...], fields: Floats) -> None:
        """A member's fields (C, H, W) of a case and lead time; `key` is counted once."""
        if self.content.summary and key not in self.counted:
            self.counted.add(key)
            self.column(place, fields.shape).add(fields)

    def write(self, file: Any) -> None:
        """Into an ensemble file that has all members."""
        for place, running in self.columns.items():
            for channel, (name, level) in enumerate(self.variable_slots):
                for kind in self.content.summary:
                    if kind != "quantiles":
                        file[f"{name}_{kind}"][(*place, *level, ...)] = running.value(kind)[channel]
                    elif running.count:
                        self.write_quantiles(file, name, place, level)

    def write_quantiles(self, file: Any, name: str, place: tuple[int, ...], level: tuple[int, ...]) -> None:
        """Those of finished members, a few rows of the grid at a time."""
        finished = np.flatnonzero(np.ma.filled(file["complete"][(slice(None), *place)], 0) == 1)
        source, target = file[name], file[f"{name}_quantiles"]
        for rows in slabs(len(finished), *source.shape[-2:]):
            values = np.ma.filled(source[(slice(None), *place, *level, rows)], np.nan)[finished]
            target[(slice(None), *place, *level, rows)] = np.quantile(values.astype(np.float64), self.content.quantiles, axis=0)


def slabs(members: int, rows: int, columns: int) -> Iterator[slice]:
    """Rows of a grid that can be read of all members at once."""
    step = max(SLAB // max(members * columns, 1), 1)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
