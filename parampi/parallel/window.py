"""The fields of a window, and how they move between ranks when windows slide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, cat

from parampi.parallel.group import Group
from parampi.parallel.layout import Slices

Integers = NDArray[np.int64]
PointRanges = tuple[Integers, Integers]
"""Begin and end (m,) of absolute indices of points, one range per member."""
Share = Callable[[int], PointRanges]
"""The points of a rank."""
PlacedPoint = tuple[int, int]
"""A member's column, and a point."""


@dataclass
class Window:
    """One rank's slice of the windows of all members of its group.

    first   (m,) index of each member's frozen point, at position 0; members' windows move independently of one another
    slices  positions of the window over the ranks
    x       (K + n, m, *shape) states at positions a - K + 1 ... b of this rank's slice a ... b - 1: the K points that its first
            step reads, which other ranks own or which are frozen (rank 0), and the n points it makes
    """

    first: Integers
    slices: Slices
    x: Tensor
    taps: int = 1

    @property
    def members(self) -> int:
        return len(self.first)

    def between(self, start: int, stop: int) -> PointRanges:
        """Return the points at positions start ... stop - 1."""
        return self.first + start, self.first + stop

    def owned_points(self, rank: int) -> PointRanges:
        """Return the points that a rank's steps make; rank 0 also keeps the frozen ones that steps still read."""
        mine = self.slices.of(rank)
        return self.between(1 - self.taps if rank == 0 else mine.start + 1, mine.stop + 1)

    def held_points(self, rank: int) -> PointRanges:
        """Return the points whose states a rank holds: rows of `x`."""
        mine = self.slices.of(rank)
        return self.between(mine.start + 1 - self.taps, mine.stop + 1)

    def evaluated_points(self, rank: int) -> PointRanges:
        """Return the points at which a rank evaluates the network; rank 0 also keeps its fields at frozen points."""
        mine = self.slices.of(rank)
        return self.between(1 - self.taps if rank == 0 else mine.start, mine.stop)


def move(group: Group, old: Window, first: Integers, slices: Slices) -> Window:
    """Return the same states in slices of windows that begin at `first`; points that were in no window before are 0."""
    new = Window(first, slices, old.x, old.taps)
    begin, count = old.held_points(group.rank)[0], old.taps + len(slices.of(group.rank))
    new.x = redistribute(group, old.x, begin, owned=old.owned_points, needed=new.held_points, count=count)
    return new


def exchange_halo(group: Group, window: Window) -> None:
    """Give each rank the last K points that the ranks before it made, as positions a - K + 1 ... a of its slice."""
    rank, active_ranks, taps = group.rank, window.slices.active_ranks, window.taps
    if active_ranks == 1:
        return
    if taps == 1:
        sends = [(rank + 1, window.x[-1].contiguous())] if rank + 1 < active_ranks else []
        receives = [(rank - 1, window.x[0])] if 0 < rank < active_ranks else []
        if sends or receives:
            group.exchange(sends, receives)
        return
    halo = halo_points(window, 1 - taps, 1)
    rows = redistribute(group, window.x, window.held_points(rank)[0], owned=window.owned_points, needed=halo, count=taps)
    if 0 < rank < active_ranks:
        window.x[:taps] = rows


def halo_points(window: Window, start: int, stop: int) -> Share:
    """Return the points at positions a + start ... a + stop - 1 of each active rank's slice but the first's, which has them."""

    def points(rank: int) -> PointRanges:
        at = window.slices.of(rank).start
        return window.between(at + start, at + stop if 0 < rank < window.slices.active_ranks else at + start)

    return points


def redistribute(group: Group, rows: Tensor, begin: Integers, *, owned: Share, needed: Share, count: int) -> Tensor:
    """Return the fields that a rank needs, (count, m, *shape), row 0 being its first point; 0 if no rank owns it.

    `rows` (r, m, *shape) are this rank's fields, row 0 being point `begin` (m,). Every point has at most one owner.
    """
    mine, needs = owned(group.rank), needed(group.rank)
    new = rows.new_zeros((count, *rows.shape[1:]))
    for column, start, stop in overlaps(mine, needs):
        put(new, needs[0], column, start, part(rows, begin, column, start, stop))
    sends, receives, places = [], [], []
    for other in range(group.size):
        if other == group.rank:
            continue
        outgoing = list(overlaps(mine, needed(other)))
        if outgoing:
            sends.append((other, cat([part(rows, begin, *piece) for piece in outgoing])))
        incoming = list(overlaps(owned(other), needs))
        if incoming:
            receives.append((other, rows.new_empty((sum(stop - start for _, start, stop in incoming), *rows.shape[2:]))))
            places.append(incoming)
    if sends or receives:
        group.exchange(sends, receives)
    for incoming, (_, buffer) in zip(places, receives, strict=True):
        for column, start, stop in incoming:
            put(new, needs[0], column, start, buffer[: stop - start])
            buffer = buffer[stop - start :]
    return new


def overlaps(a: PointRanges, b: PointRanges) -> Iterator[tuple[int, int, int]]:
    """Yield (column, begin, end) of the common points of two sets of ranges, one range per member."""
    begin, end = np.maximum(a[0], b[0]), np.minimum(a[1], b[1])
    for column in np.flatnonzero(begin < end):
        yield int(column), int(begin[column]), int(end[column])


def part(rows: Tensor, begin: Integers, column: int, start: int, stop: int) -> Tensor:
    offset = int(begin[column])
    return rows[start - offset : stop - offset, column]


def put(rows: Tensor, begin: Integers, column: int, start: int, fields: Tensor) -> None:
    offset = start - int(begin[column])
    rows[offset : offset + len(fields), column] = fields


def fetch_points(group: Group, window: Window, needed: Callable[[int], list[PlacedPoint]]) -> dict[PlacedPoint, Tensor]:
    """Return copies of the states at single points that this rank needs, by column and point; one message for each pair of
    ranks. `needed` says of each rank which it needs."""
    mine, begin = needed(group.rank), window.held_points(group.rank)[0]
    own = owned_among(window, group.rank, mine)
    fields = {(column, point): part(window.x, begin, column, point, point + 1)[0].clone() for column, point in own}
    sends, receives, places = [], [], []
    for other in range(group.size):
        if other == group.rank:
            continue
        outgoing = owned_among(window, group.rank, needed(other))
        if outgoing:
            sends.append((other, cat([part(window.x, begin, column, point, point + 1) for column, point in outgoing])))
        incoming = owned_among(window, other, mine)
        if incoming:
            receives.append((other, window.x.new_empty((len(incoming), *window.x.shape[2:]))))
            places.append(incoming)
    if sends or receives:
        group.exchange(sends, receives)
    for incoming, (_, buffer) in zip(places, receives, strict=True):
        fields |= dict(zip(incoming, buffer, strict=True))
    return fields


def owned_among(window: Window, rank: int, places: list[PlacedPoint]) -> list[PlacedPoint]:
    """Return those of some points whose states a rank makes."""
    if not places:
        return []
    begin, end = window.owned_points(rank)
    return [(column, point) for column, point in places if begin[column] <= point < end[column]]
