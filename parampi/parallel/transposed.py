"""Scan over ranks of large fields: each rank scans its part of the field over all ranks."""

import torch
from torch import Tensor

from parampi.parallel.group import Group, Message
from parampi.parallel.layout import split
from parampi.parallel.local_scans import weighted
from parampi.parallel.rank_scans import RankScan, pack


class Part:
    """A part of the map of a rank: values (K, m, numbers) and, in the same memory before them, slopes (K, K, m or 1, numbers or
    1); None for a map that needs none."""

    def __init__(self, like: Tensor, slopes: Tensor | None):
        size = 0 if slopes is None else slopes.numel()
        self.whole = like.new_empty(size + like.numel())
        self.slopes = None if slopes is None else self.whole[:size].view(slopes.shape)
        self.values = self.whole[size:].view(like.shape)

    def compose(self, before: Tensor) -> None:
        """Add to the values what the slopes make of fields (K, m, numbers) that come in."""
        assert self.slopes is not None, "nothing comes before what comes in to the whole scan"
        if len(self.values) == 1:
            self.values.addcmul_(self.slopes[:, 0], before)
        else:
            self.values += weighted(self.slopes, before)


class Transposed(RankScan):
    """Scan by two exchanges of all ranks with all: 2 (P - 1) messages per rank, of a P-th part of K fields each.

    Every rank sends the P-th part of the values of its map to each other one. That composes the maps of all ranks before each,
    for its part alone, and sends the results back. A member's field is cut by its numbers, into P parts whose sizes differ by
    one at most; a part of none takes no messages. Slopes that differ within a field are cut in the same way; those that do not
    go along whole. The last rank's map, and the first one's slopes, are of no use to others.

    parts  this rank's part of the maps of all ranks but the last; None before the first scan. Later ones use the same memory
    """

    def __init__(self, group: Group, slopes: Tensor, ranks: range):
        super().__init__(group, slopes, ranks)
        self.place, self.last = group.rank - ranks.start, len(ranks) - 1
        self.parts: list[Part] | None = None

    def entering(self, fields: Tensor) -> Tensor | None:
        rows, slopes = fields.reshape(*fields.shape[:2], -1), None
        landing = [part.values.view(-1) for part in self.parts or []]
        if self.parts is None:
            slopes = self.spread(fields)
            self.parts = self.room(rows, slopes)
            landing = [part.whole for part in self.parts]
        self.gather(rows, slopes, landing)
        for before, part in zip(self.parts, self.parts[1:], strict=False):
            part.compose(before.values)
        entering = self.scatter(rows)
        return entering.view(fields.shape) if self.place else None

    def columns(self, numbers: int, place: int) -> slice:
        """Return the part of a field of so many numbers that a rank scans."""
        mine = split(numbers, len(self.ranks), place)
        return slice(mine.start, mine.stop)

    def others(self, numbers: int) -> list[tuple[int, slice]]:
        """Return the other ranks that have a part of fields, and these parts."""
        places = [place for place in range(min(len(self.ranks), numbers)) if place != self.place]
        return [(self.ranks[place], self.columns(numbers, place)) for place in places]

    def spread(self, fields: Tensor) -> Tensor:
        """Return the slopes of this rank's map (K, K, m or 1, numbers of a field, or 1)."""
        total = self.total
        taps, _, members, *shape = total.shape
        if torch.Size(shape).numel() == 1:
            return total.reshape(taps, taps, members, 1)
        return total.expand(taps, taps, members, *fields.shape[2:]).reshape(taps, taps, members, -1)

    def room(self, rows: Tensor, slopes: Tensor) -> list[Part]:
        """Return memory for this rank's part of the maps of all ranks but the last."""
        mine = self.columns(rows.shape[2], self.place)
        if mine.start == mine.stop:
            return []
        like, slopes = rows[:, :, mine], cut(slopes, mine)
        return [Part(like, slopes if place else None) for place in range(self.last)]

    def gather(self, rows: Tensor, slopes: Tensor | None, landing: list[Tensor]) -> None:
        """Send the other ranks their parts of the values of this rank's map, (K, m, numbers), and receive its own of theirs in
        the memory of `landing`."""
        numbers, sends = rows.shape[2], list[Message]()
        if self.place < self.last:
            slopes = slopes if self.place else None
            sends = [(rank, message(slopes, rows, part)) for rank, part in self.others(numbers)]
            if landing:
                landing[self.place].copy_(message(slopes, rows, self.columns(numbers, self.place)))
        receives = [(self.ranks[place], part) for place, part in enumerate(landing) if place != self.place]
        if sends or receives:
            self.group.exchange(sends, receives)

    def scatter(self, rows: Tensor) -> Tensor:
        """Send the other ranks a part of what comes in to them, and return what comes in to this one, (K, m, numbers); nothing
        on the first rank."""
        assert self.parts is not None, "parts are gathered before"
        entering, numbers = torch.empty_like(rows), rows.shape[2]
        sends = [(self.ranks[place], part.values) for place, part in enumerate(self.parts, 1) if place != self.place]
        receives, apart = list[Message](), list[tuple[slice, Tensor]]()
        if self.place:
            if self.parts:
                entering[:, :, self.columns(numbers, self.place)] = self.parts[self.place - 1].values
            for rank, part in self.others(numbers):
                place = entering[:, :, part]
                if not place.is_contiguous():
                    apart.append((part, torch.empty_like(place, memory_format=torch.contiguous_format)))
                    place = apart[-1][1]
                receives.append((rank, place))
        if sends or receives:
            self.group.exchange(sends, receives)
        for part, received in apart:
            entering[:, :, part] = received
        return entering


def cut(slopes: Tensor, part: slice) -> Tensor:
    """Return the slopes (K, K, m or 1, ...) of a part of a field; where they are the same all over it, all of them."""
    return slopes if slopes.shape[3] == 1 else slopes[..., part]


def message(slopes: Tensor | None, rows: Tensor, part: slice) -> Tensor:
    """Return what a part of a map is sent as: its slopes and values, or values alone."""
    values = rows[:, :, part]
    return values.contiguous().view(-1) if slopes is None else pack(cut(slopes, part), values)
