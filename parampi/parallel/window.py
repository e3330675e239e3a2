"""The fields of a window, and how they move between ranks when windows slide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, cat

from parampi.parallel.group import Group, Message
from parampi.parallel.layout import Ranks, Slices

Integers = NDArray[np.int64]
PointRanges = tuple[Integers, Integers]
"""Begin and end (m,) of absolute indices of points, one range per member; (r, m) of r ranks."""
Share = Callable[[Ranks], PointRanges]
"""The points of a rank; of each of several ranks (r, 1), in one call however many there are."""
Piece = tuple[int, int, int]
"""A member's column, begin and end of some of its points."""
PlacedPoint = tuple[int, int]
"""A member's column, and a point."""
LARGE = 1 << 18
"""Numbers of rows from which on they are moved within their memory, rather than in few calls to other memory."""


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

    def between(self, start: Ranks, stop: Ranks) -> PointRanges:
        """Return the points at positions start ... stop - 1."""
        return self.first + start, self.first + stop

    def owned_points(self, rank: Ranks) -> PointRanges:
        """Return the points that a rank's steps make; rank 0 also keeps the frozen ones that steps still read."""
        start, stop = self.slices.bounds(rank)
        return self.between(np.where(np.equal(rank, 0), 1 - self.taps, start + 1), stop + 1)

    def held_points(self, rank: Ranks) -> PointRanges:
        """Return the points whose states a rank holds: rows of `x`."""
        start, stop = self.slices.bounds(rank)
        return self.between(start + 1 - self.taps, stop + 1)

    def evaluated_points(self, rank: Ranks) -> PointRanges:
        """Return the points at which a rank evaluates the network; rank 0 also keeps its fields at frozen points."""
        start, stop = self.slices.bounds(rank)
        return self.between(np.where(np.equal(rank, 0), 1 - self.taps, start), stop)


def move(group: Group, old: Window, first: Integers, slices: Slices) -> Window:
    """Return the same states in slices of windows that begin at `first`; points that were in no window before are 0. The old
    window's memory may be used again."""
    new = Window(first, slices, old.x, old.taps)
    begin, count = old.held_points(group.rank)[0], old.taps + len(slices.of(group.rank))
    new.x = redistribute_all(group, [old.x], begin, owned=old.owned_points, needed=new.held_points, count=count, reuse=True)[0]
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

    def points(rank: Ranks) -> PointRanges:
        at = window.slices.bounds(rank)[0]
        reads = np.greater(rank, 0) & np.less(rank, window.slices.active_ranks)
        return window.between(at + start, at + np.where(reads, stop, start))

    return points


def redistribute(group: Group, rows: Tensor, begin: Integers, *, owned: Share, needed: Share, count: int) -> Tensor:
    """Return the fields that a rank needs, (count, m, *shape), row 0 being its first point; 0 if no rank owns it.

    `rows` (r, m, *shape) are this rank's fields, row 0 being point `begin` (m,). Every point has at most one owner.
    """
    return redistribute_all(group, [rows], begin, owned=owned, needed=needed, count=count)[0]


def redistribute_all(
    group: Group,
    several: Sequence[Tensor],
    begin: Integers,
    *,
    owned: Share,
    needed: Share,
    count: int,
    reuse: bool = False,
) -> list[Tensor]:
    """Return what `redistribute` returns of each of several fields of the same points, in one exchange. With `reuse` large
    fields are moved within their memory, and what `several` were is lost."""
    ranks, mine, needs = np.arange(group.size)[:, None], owned(group.rank), needed(group.rank)
    if group.size == 1:
        outgoing, incoming = {}, overlaps(mine, needs, 1)
    else:
        outgoing, incoming = overlaps(mine, needed(ranks), group.size), overlaps(owned(ranks), needs, group.size)
    own = incoming.pop(group.rank, [])
    outgoing.pop(group.rank, None)
    lengths = {other: sum(stop - start for _, start, stop in pieces) for other, pieces in incoming.items()}
    sends, receives = list[Message](), list[Message]()
    for rows in several:
        sends += [(other, packed(rows, begin, pieces)) for other, pieces in outgoing.items()]
        receives += [(other, rows.new_empty((length, *rows.shape[2:]))) for other, length in lengths.items()]
    if sends or receives:
        group.exchange(sends, receives)
    made = list[Tensor]()
    for rows in several:
        made.append(rows_at(rows, begin, needs[0], own, count, reuse))
    for (other, buffer), new in zip(receives, (new for new in made for _ in lengths), strict=True):
        for column, start, stop in incoming[other]:
            put(new, needs[0], column, start, buffer[: stop - start])
            buffer = buffer[stop - start :]
    return made


def rows_at(rows: Tensor, begin: Integers, target: Integers, own: Sequence[Piece], count: int, reuse: bool = False) -> Tensor:
    """Return `count` rows that begin at points `target` (m,), with those `own` of rows that begin at `begin` (m,); 0 elsewhere.
    With `reuse` large rows are moved within their memory."""
    if reuse and count <= len(rows) and rows.numel() > LARGE:
        return moved(rows, begin, target, own)[:count]
    new = rows.new_zeros((count, *rows.shape[1:]))
    for column, start, stop in own:
        put(new, target, column, start, part(rows, begin, column, start, stop))
    return new


def moved(rows: Tensor, begin: Integers, target: Integers, own: Sequence[Piece]) -> Tensor:
    """Move rows of points that begin at `begin` (m,) to where they begin at `target` (m,), in place; 0 elsewhere."""
    kept = {column: (start, stop) for column, start, stop in own}
    for column in range(len(begin)):
        start, stop = kept.get(column, (0, 0))
        source, to = (int(start - begin[column]), int(start - target[column])) if stop > start else (0, 0)
        length, shift = stop - start, source - to
        if shift:
            # blocks that do not overlap, from the end that nothing is read from any more
            blocks = range(0, length, abs(shift))
            for offset in blocks if shift > 0 else reversed(blocks):
                size = min(abs(shift), length - offset)
                rows[to + offset : to + offset + size, column] = rows[source + offset : source + offset + size, column]
        rows[:to, column] = 0
        rows[to + length :, column] = 0
    return rows


def packed(rows: Tensor, begin: Integers, pieces: Sequence[Piece]) -> Tensor:
    """Return some points' rows in a message's memory."""
    parts = [part(rows, begin, *piece) for piece in pieces]
    return parts[0].contiguous() if len(parts) == 1 else cat(parts)


def overlaps(a: PointRanges, b: PointRanges, ranks: int) -> dict[int, list[Piece]]:
    """Return, by rank, the common points of two sets of ranges, one range per member; either is of one rank, or of all."""
    begin, end = np.maximum(a[0], b[0]), np.minimum(a[1], b[1])
    if begin.shape != end.shape or len(begin) != ranks or begin.ndim == 1:
        begin, end = (np.broadcast_to(ends, (ranks, begin.shape[-1])) for ends in (begin, end))
    pieces: dict[int, list[Piece]] = {}
    for rank, column in zip(*(places.tolist() for places in (begin < end).nonzero()), strict=True):
        pieces.setdefault(rank, []).append((column, int(begin[rank, column]), int(end[rank, column])))
    return pieces


def part(rows: Tensor, begin: Integers, column: int, start: int, stop: int) -> Tensor:
    offset = int(begin[column])
    return rows[start - offset : stop - offset, column]


def put(rows: Tensor, begin: Integers, column: int, start: int, fields: Tensor) -> None:
    offset = start - int(begin[column])
    rows[offset : offset + len(fields), column] = fields


def fetch_points(group: Group, window: Window, needed: Sequence[list[PlacedPoint]]) -> dict[PlacedPoint, Tensor]:
    """Return copies of the states at single points that this rank needs, by column and point; one message for each pair of
    ranks. `needed` are those of each rank."""
    if not any(needed):
        return {}
    begin, outgoing, incoming = (
        window.held_points(group.rank)[0],
        dict[int, list[PlacedPoint]](),
        dict[int, list[PlacedPoint]](),
    )
    ranges = window.owned_points(np.arange(group.size)[:, None])
    mine = [(ends[0], ends[1]) for ends in zip(*(ends[group.rank].tolist() for ends in ranges), strict=True)]
    for other, places in enumerate(needed):
        own = [(column, point) for column, point in places if mine[column][0] <= point < mine[column][1]]
        if own:
            outgoing[other] = own
    for column, point in needed[group.rank]:
        owners = np.flatnonzero((ranges[0][:, column] <= point) & (point < ranges[1][:, column]))
        for owner in owners.tolist():
            incoming.setdefault(owner, []).append((column, point))
    own = outgoing.pop(group.rank, [])
    fields = {(column, point): part(window.x, begin, column, point, point + 1)[0].clone() for column, point in own}
    incoming.pop(group.rank, None)
    sends = [
        (other, cat([part(window.x, begin, column, point, point + 1) for column, point in places]))
        for other, places in outgoing.items()
    ]
    receives = [(other, window.x.new_empty((len(places), *window.x.shape[2:]))) for other, places in incoming.items()]
    if sends or receives:
        group.exchange(sends, receives)
    for other, buffer in receives:
        fields |= dict(zip(incoming[other], buffer, strict=True))
    return fields
