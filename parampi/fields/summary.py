"""Statistics over the members of an ensemble: moments and extremes as members come, quantiles from the members at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError

Floats = NDArray[np.floating[Any]]
Kind = Literal["mean", "standard_deviation", "minimum", "maximum", "quantiles"]
METHODS = {"mean": "mean", "standard_deviation": "standard_deviation", "minimum": "minimum", "maximum": "maximum"}
SLAB = 1 << 22
"""Numbers read at once for quantiles."""


@dataclass(frozen=True)
class Content:
    """What of an ensemble is written.

    variables    names of channels; None for all
    members      whether the members themselves are
    summary      statistics over members; standard deviations are those of a sample (divided by members - 1)
    quantiles    for the summary "quantiles", by linear interpolation between members
    compression  0 (none) to 9, lossless
    """

    variables: tuple[str, ...] | None = None
    members: bool = True
    summary: tuple[Kind, ...] = ()
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    compression: int = 0

    def __post_init__(self) -> None:
        if not self.members and not self.summary:
            raise OutputError("neither members nor a summary would be written; leave output.members true, or name a summary")
        if not self.members and "quantiles" in self.summary:
            raise OutputError("quantiles need the members in the file; leave output.members true, or the quantiles out")
        if not all(0 <= q <= 1 for q in self.quantiles) or list(self.quantiles) != sorted(set(self.quantiles)):
            raise OutputError(f"quantiles = {list(self.quantiles)}; give increasing numbers from 0 to 1")

    def chosen(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The channels to write, in the order of the statistics. Raises OutputError for unknown ones."""
        unknown = [name for name in self.variables or () if name not in names]
        if unknown:
            raise OutputError(f"output.variables names {', '.join(unknown)}; there are {', '.join(names)}")
        return names if self.variables is None else tuple(name for name in names if name in self.variables)

    def size(self, members: int, cases: int, variables: int, points: int) -> int:
        """Bytes, before compression."""
        maps = members * cases * self.members
        maps += cases * sum(len(self.quantiles) if kind == "quantiles" else 1 for kind in self.summary)
        return 4 * maps * variables * points


class Running:
    """Mean, standard deviation, minimum and maximum of fields that come one after the other (Welford 1962, Technometrics 4)."""

    def __init__(self, shape: tuple[int, ...]):
        self.count = 0
        self.mean, self.squares = np.zeros(shape), np.zeros(shape)
        self.minimum, self.maximum = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, fields: Floats) -> None:
        self.count += 1
        apart = fields - self.mean
        self.mean += apart / self.count
        self.squares += apart * (fields - self.mean)
        np.minimum(self.minimum, fields, out=self.minimum)
        np.maximum(self.maximum, fields, out=self.maximum)

    def value(self, kind: str) -> Floats:
        """NaN where there are too few members."""
        if self.count < (2 if kind == "standard_deviation" else 1):
            return np.full(self.mean.shape, np.nan)
        found: Floats = np.sqrt(self.squares / (self.count - 1)) if kind == "standard_deviation" else getattr(self, kind)
        return found


def slabs(members: int, rows: int, columns: int) -> Iterator[slice]:
    """Rows of a grid that can be read of all members at once."""
    step = max(SLAB // max(members * columns, 1), 1)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
