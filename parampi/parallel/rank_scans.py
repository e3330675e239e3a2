"""Scans over ranks in `fast` mode: each rank scans its own maps from 0, and adds its response to what comes in."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from parampi.parallel.group import Group
from parampi.parallel.local_scans import applied, fast_scan, responses, weighted

Maps = tuple[Tensor | None, Tensor]
"""An affine map: its slopes (K, K, *shape), and its values (K, *field). One that takes in what comes in to the whole scan needs
no slopes."""


class RankScan(ABC):
    """Base of scans over ranks, of the same slopes for any number of values of one shape.

    What is sent is the map of a whole rank, K fields to the next K. Slopes of such maps are sent with the first values, and
    kept: later messages are K fields per member.

    slopes    (K, n, *shape that broadcasts to field) of this rank's steps
    ranks     those that take part; what comes in to the whole scan is read on the first of them
    response  (K + n, K, *shape) of each row to each field that comes in
    """

    def __init__(self, group: Group, slopes: Tensor, ranks: range):
        self.group, self.slopes, self.ranks = group, slopes, ranks
        self.response = responses(slopes)

    def __call__(self, y: Tensor) -> None:
        """Scan in place of the values: y (K + n, *field)."""
        taps, count = self.slopes.shape[:2]
        if self.group.rank != self.ranks.start:
            y[:taps] = 0  # what comes in is added to the scan of these
        if taps == count == 1:
            if self.group.rank == self.ranks.start:
                y[1:].addcmul_(self.slopes[0], y[:1])
        else:
            fast_scan(self.slopes, y)
        entering = self.entering(y[count:])
        if entering is not None:
            if taps == 1:
                y[1:].addcmul_(self.response[1:, 0], entering)
            else:
                y[taps:] += weighted(self.response[taps:], entering)
            y[:taps] = entering

    @property
    def total(self) -> Tensor:
        """Slopes (K, K, *shape) of the map of this rank."""
        return self.response[-len(self.slopes) :]

    @abstractmethod
    def entering(self, fields: Tensor) -> Tensor | None:
        """Return the composition of the maps of all of the ranks before this one, applied to 0, (K, *field), for the values of
        this rank's map, (K, *field); None on the first rank."""


class Doubling(RankScan):
    """Scan by recursive doubling: log2(len(ranks)) messages per rank, one after another, of K fields each.

    totals, befores  slopes of the maps of this rank and those before it, and of all those before it, at each distance
    """

    def __init__(self, group: Group, slopes: Tensor, ranks: range):
        super().__init__(group, slopes, ranks)
        self.totals: list[Tensor | None] = []
        self.befores: list[Tensor | None] = []

    def entering(self, fields: Tensor) -> Tensor | None:
        return self.again(fields) if self.totals else self.once(fields)

    @property
    def distances(self) -> list[int]:
        return [1 << k for k in range((len(self.ranks) - 1).bit_length())]

    def once(self, fields: Tensor) -> Tensor | None:
        total: Maps = (self.total, fields)
        before: Maps | None = None
        for distance in self.distances:
            self.totals.append(total[0])
            self.befores.append(None if before is None else before[0])
            received = self.shift(total, distance)
            if received is not None:
                before = received if before is None else compose(before, received)
                if self.group.rank + 2 * distance in self.ranks:
                    total = compose(total, received)
        return None if before is None else before[1]

    def again(self, fields: Tensor) -> Tensor | None:
        """Return the same with the slopes that are known."""
        before = None
        for distance, own, former in zip(self.distances, self.totals, self.befores, strict=True):
            received = self.shift((None, fields), distance)
            if received is not None:
                before = received[1] if before is None or former is None else applied(former, received[1], before)
                if self.group.rank + 2 * distance in self.ranks:
                    assert own is not None, "a map that takes in what comes in to the scan receives nothing"
                    fields = applied(own, received[1], fields)
        return before

    def shift(self, maps: Maps, distance: int) -> Maps | None:
        """Send a map to the rank `distance` after this one and receive one from as far before; None where there is none.
        Slopes go along but for those of maps that need none, which all ranks know."""
        rank, like = self.group.rank, maps[1]
        slopes = 0 if maps[0] is None else maps[0].numel()
        sends = [(rank + distance, self.message(maps, distance))] if rank + distance in self.ranks else []
        receives, received = [], None
        if rank - distance in self.ranks:
            size = slopes if rank - distance - self.ranks.start >= distance else 0
            buffer = like.new_empty(size + like.numel())
            receives = [(rank - distance, buffer)]
            received = (
                buffer[:size].view(maps[0].shape) if size and maps[0] is not None else None,
                buffer[size:].view(like.shape),
            )
        if sends or receives:
            self.group.exchange(sends, receives)
        return received

    def message(self, maps: Maps, distance: int) -> Tensor:
        slopes, values = maps
        if slopes is None or self.group.rank - self.ranks.start < distance:
            return values.reshape(-1)
        return pack(slopes, values)


def compose(later: Maps, earlier: Maps) -> Maps:
    """Compose two maps; one that takes in what comes in to the whole scan can only be the earlier one."""
    assert later[0] is not None, "nothing comes before what comes in to the whole scan"
    values = applied(later[0], earlier[1], later[1])
    if earlier[0] is None:
        return None, values
    if len(later[0]) == 1:
        return later[0] * earlier[0], values
    return torch.stack([weighted(row[None], earlier[0]) for row in later[0]]), values


def pack(slopes: Tensor, values: Tensor) -> Tensor:
    """Return one message of both."""
    return torch.cat([slopes.reshape(-1), values.reshape(-1)])
