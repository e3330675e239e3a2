"""The states of a window, and how they move between ranks when windows slide."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.parallel.group import Group
from parampi.parallel.layout import Slices

Integers = NDArray[np.int64]


@dataclass
class Window:
    """One rank's slice of the windows of all members of its group.

    first   (m,) index of each member's frozen point, at position 0; members' windows move independently of one another
    slices  positions of the window over the ranks
    x       (n + 1, m, *shape) states at positions a ... b of this rank's slice; position a is the rank before's last one
    """

    first: Integers
    slices: Slices
    x: Tensor

    @property
    def members(self) -> int:
        return len(self.first)


def points_kept(first: Integers, slices: Slices, rank: int) -> tuple[Integers, Integers]:
    """Begin and end (m,) of the absolute indices of the points that a rank owns."""
    kept = slices.kept(rank)
    return first + kept.start, first + kept.stop


def overlaps(a: tuple[Integers, Integers], b: tuple[Integers, Integers]) -> Iterator[tuple[int, int, int]]:
    """(column, begin, end) of the common points of two sets of ranges, one range per member."""
    begin, end = np.maximum(a[0], b[0]), np.minimum(a[1], b[1])
    for column in np.flatnonzero(begin < end):
        yield int(column), int(begin[column]), int(end[column])


def move(group: Group, old: Window, first: Integers, slices: Slices) -> Window:
    """The same states in slices of windows that begin at `first`; points that were in no window before are 0."""
    new = Window(first, slices, old.x.new_zeros((len(slices.of(group.rank)) + 1, *old.x.shape[1:])))
    mine_old, mine_new = points_kept(old.first, old.slices, group.rank), points_kept(first, slices, group.rank)
    for column, begin, end in overlaps(mine_old, mine_new):
        copy_in(new, group.rank, column, begin, take(old, group.rank, column, begin, end))
    sends, receives, places = [], [], []
    for other in range(group.size):
        if other == group.rank:
            continue
        outgoing = list(overlaps(mine_old, points_kept(first, slices, other)))
        if outgoing:
            sends.append((other, torch.cat([take(old, group.rank, *part) for part in outgoing])))
        incoming = list(overlaps(points_kept(old.first, old.slices, other), mine_new))
        if incoming:
            count = sum(end - begin for _, begin, end in incoming)
            receives.append((other, old.x.new_empty((count, *old.x.shape[2:]))))
            places.append(incoming)
    if sends or receives:
        group.exchange(sends, receives)
    for incoming, (_, buffer) in zip(places, receives, strict=True):
        for column, begin, end in incoming:
            copy_in(new, group.rank, column, begin, buffer[: end - begin])
            buffer = buffer[end - begin :]
    return new


def take(window: Window, rank: int, column: int, begin: int, end: int) -> Tensor:
    offset = int(window.first[column]) + window.slices.of(rank).start
    return window.x[begin - offset : end - offset, column]


def copy_in(window: Window, rank: int, column: int, begin: int, states: Tensor) -> None:
    offset = int(window.first[column]) + window.slices.of(rank).start
    window.x[begin - offset : begin - offset + len(states), column] = states


def pass_on(group: Group, window: Window) -> None:
    """Give each rank the last point of the rank before, as position a of its slice."""
    rank, busy = group.rank, window.slices.busy
    sends = [(rank + 1, window.x[-1].contiguous())] if rank + 1 < busy else []
    receives = [(rank - 1, window.x[0])] if 0 < rank < busy else []
    if sends or receives:
        group.exchange(sends, receives)
