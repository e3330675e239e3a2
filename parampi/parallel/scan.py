"""The scan of affine maps over the points of a window, and so over ranks.

    y[j+1] = sum_l slopes[l,j] y[j-l] + values[j],        j = 0 ... n - 1 on this rank

The K fields that a step reads are the rank before's last ones. As a map of those K fields to the next K, steps compose,
`(A, v) o (A', v') = (A A', A v' + v)` with K x K numbers A, and composition is associative, so the scan over ranks needs log2 P
messages. Two modes:

* "fast": each rank scans its own maps from zero, an exclusive scan over ranks by recursive doubling gives what comes in
  (Hillis and Steele 1986, Commun. ACM 29, 1170), and its response is added. Sums associate differently for each number of
  ranks, so results agree to rounding.
* "bitwise": ranks scan one after the other, each passing its last K fields on. P messages in a row, and every y is formed by
  the same operations in the same order, so results are equal bit for bit for any number of ranks.

A message is K fields per member, and in "fast" K x K slopes per member beside them.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from parampi.parallel.group import Group

SHORT, LARGE = 8, 1 << 24
"""Points from which on, and numbers up to which, a device scans all points at once."""
PIECE = 1 << 16
"""Numbers of a row that a processor scans at once, so that they stay in its cache."""
Mode = Literal["fast", "bitwise"]
MODES: tuple[Mode, ...] = ("fast", "bitwise")
Maps = tuple[Tensor, Tensor]
Apply = Callable[[int, Tensor], Tensor]
"""The linear part of step j, applied to the fields (K, *field) at the step's own point (row K - 1) and those before."""


def affine_scan(
    group: Group, slopes: Tensor, values: Tensor, first: Tensor, active_ranks: int, mode: Mode = "fast", begin: int = 0
) -> Tensor:
    """Return all y of this rank, (K + n, *field): the K fields that come in, and the n that are made of them.

    slopes (K, n, *shape that broadcasts to field) and values (n, *field); `first` (K, *field), what comes in to the whole scan,
    is read on the rank `begin` only, where it begins. Ranks before that, and `active_ranks` ... size - 1, take no part in
    messages and get `first` back.
    """
    if not begin <= group.rank < active_ranks:
        return first.clone()
    y = room_for(values, first)
    scan_in_place(group, slopes, y, active_ranks, mode, begin)
    return y


def scan_in_place(group: Group, slopes: Tensor, y: Tensor, active_ranks: int, mode: Mode = "fast", begin: int = 0) -> None:
    """Scan where values are: y (K + n, *field), contiguous, has what comes in to the whole scan, which counts on the rank
    `begin` only, and then the values. Only the ranks `begin` ... `active_ranks` - 1 call this."""
    if mode == "fast" and active_ranks - begin > 1:
        Doubling(group, slopes, range(begin, active_ranks))(y)
    else:
        local = fast_scan if mode == "fast" else local_scan
        sequential_scan(group, lambda y: local(slopes, y), y, len(slopes), range(begin, active_ranks))


def room_for(values: Tensor, first: Tensor) -> Tensor:
    """Return fields (K + n, *field) with what comes in, (K, *field), before the values (n, *field)."""
    y = torch.empty((len(first) + len(values), *first.shape[1:]), dtype=first.dtype, device=first.device)
    y[: len(first)] = first
    y[len(first) :] = values
    return y


def operator_scan(group: Group, apply: Apply, values: Tensor, first: Tensor, active_ranks: int) -> Tensor:
    """Scan any linear operators, `y[j+1] = apply(j, y[j-K+1 ... j]) + values[j]`; ranks scan one after the other."""
    if group.rank >= active_ranks:
        return first.clone()
    y = room_for(values, first)
    sequential_scan(group, lambda y: local_operators(apply, y, len(first)), y, len(first), range(active_ranks))
    return y


def local_scan(slopes: Tensor, y: Tensor) -> None:
    """Scan on one rank, by plain products and sums, so that no fused operation makes bits depend on shapes; in place of the
    values."""
    taps, count = slopes.shape[:2]
    if not count:
        return
    rows = y.view(*y.shape[:2], -1)
    numbers = rows.shape[2]
    slopes = slopes.reshape(*slopes.shape[:3], -1)
    if slopes.shape[3] not in (1, numbers):
        slopes = slopes.expand(taps, count, *y.shape[1:]).reshape(taps, count, *rows.shape[1:])
    size = numbers if rows[0].numel() <= PIECE or not y.is_cpu else max(1, PIECE // rows.shape[1])
    for start in range(0, numbers, size):
        part = rows if size == numbers else rows[..., start : start + size]
        factors = slopes if size == numbers or slopes.shape[3] == 1 else slopes[..., start : start + size]
        for j in range(count):
            new = part[taps + j - 1] * factors[0, j]
            for tap in range(1, taps):
                new += factors[tap, j] * part[taps + j - 1 - tap]
            part[taps + j] += new


def fast_scan(slopes: Tensor, y: Tensor) -> None:
    """Scan on one rank, on a device by log2(n) products of all points at once where launching each step costs more."""
    taps, count = slopes.shape[:2]
    if y.is_cpu or taps > 1 or count < SHORT or y.numel() > LARGE:
        local_scan(slopes, y)
        return
    # nothing comes in to the field that comes in: its factor is 0
    factors, distance = torch.cat([torch.zeros_like(slopes[0, :1]), slopes[0]]), 1
    while distance <= count:
        y[distance:] = torch.addcmul(y[distance:], factors[distance:], y[:-distance])
        if 2 * distance <= count:
            factors = torch.cat([factors[:distance], factors[distance:] * factors[:-distance]])
        distance *= 2


def local_operators(apply: Apply, y: Tensor, taps: int) -> None:
    for j in range(len(y) - taps):
        y[taps + j] += apply(j, y[j : taps + j])


def sequential_scan(group: Group, scan: Callable[[Tensor], None], y: Tensor, taps: int, ranks: range) -> None:
    """Scan in place with one message from each of the ranks to the next."""
    if group.rank > ranks.start:
        group.exchange([], [(group.rank - 1, y[:taps])])
    scan(y)
    if group.rank + 1 < ranks.stop:
        group.exchange([(group.rank + 1, y[len(y) - taps :])], [])


class Doubling:
    """Scan with log2(len(ranks)) messages per rank, of the same slopes for any number of values.

    The slopes of composed maps are sent with the first values, and kept: later messages are K fields per member.

    totals, befores  slopes of the maps of this rank and those before it, and of all those before it, at each distance
    """

    def __init__(self, group: Group, slopes: Tensor, ranks: range):
        self.group, self.slopes, self.ranks = group, slopes, ranks
        self.response = responses(slopes)
        self.totals: list[Tensor] = []
        self.befores: list[Tensor | None] = []

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
        entering = self.again(y[count:]) if self.totals else self.once(y[count:])
        if entering is not None:
            if taps == 1:
                y[1:].addcmul_(self.response[1:, 0], entering)
            else:
                y[taps:] += weighted(self.response[taps:], entering)
            y[:taps] = entering

    @property
    def distances(self) -> list[int]:
        return [1 << k for k in range((len(self.ranks) - 1).bit_length())]

    def once(self, fields: Tensor) -> Tensor | None:
        """Return the composition of the maps of all of the ranks before this one, applied to 0; None on the first."""
        total, before = (self.response[-len(fields) :], fields), None
        for distance in self.distances:
            self.totals.append(total[0])
            self.befores.append(None if before is None else before[0])
            received = shift(self.group, total, distance, self.ranks)
            if received is not None:
                before = received if before is None else compose(before, received)
                if self.group.rank + 2 * distance in self.ranks:
                    total = compose(total, received)
        return None if before is None else before[1]

    def again(self, fields: Tensor) -> Tensor | None:
        """Return the same with the slopes that are known."""
        before = None
        for distance, own, former in zip(self.distances, self.totals, self.befores, strict=True):
            received = shift_fields(self.group, fields, distance, self.ranks)
            if received is not None:
                before = received if before is None or former is None else applied(former, received, before)
                if self.group.rank + 2 * distance in self.ranks:
                    fields = applied(own, received, fields)
        return before


def responses(slopes: Tensor) -> Tensor:
    """Return how each row of a scan answers to each field that comes in: (K + n, K, *shape), the K x K unit matrix first."""
    taps, n, *shape = slopes.shape
    unit = torch.eye(taps, dtype=slopes.dtype, device=slopes.device).view(taps, taps, *(1 for _ in shape))
    unit = unit.expand(taps, taps, *shape)
    if taps == 1:
        return torch.cat([unit, torch.cumprod(slopes[0], 0)[:, None]])
    y = torch.cat([unit, torch.zeros((n, *unit.shape[1:]), dtype=slopes.dtype, device=slopes.device)])
    local_scan(slopes[:, :, None], y)
    return y


def weighted(weights: Tensor, fields: Tensor) -> Tensor:
    """Return sum_c weights[:, c] fields[c]."""
    total = weights[:, 0] * fields[0]
    for c in range(1, len(fields)):
        total += weights[:, c] * fields[c]
    return total


def applied(weights: Tensor, fields: Tensor, values: Tensor) -> Tensor:
    """Return `sum_c weights[:, c] fields[c] + values`."""
    if len(fields) == 1:
        return torch.addcmul(values, weights[:, 0], fields)
    return weighted(weights, fields) + values


def compose(later: Maps, earlier: Maps) -> Maps:
    """Compose two maps: (K, K, *shape), the rows of the numbers A, and (K, *field)."""
    if len(later[0]) == 1:
        return later[0] * earlier[0], applied(later[0], earlier[1], later[1])
    return torch.stack([weighted(row[None], earlier[0]) for row in later[0]]), applied(later[0], earlier[1], later[1])


def shift(group: Group, maps: Maps, distance: int, ranks: range) -> Maps | None:
    """Send a map to the rank `distance` after this one and receive one from as far before; None where there is none."""
    buffer = shift_fields(group, pack(maps), distance, ranks)
    return None if buffer is None else unpack(buffer, maps)


def shift_fields(group: Group, fields: Tensor, distance: int, ranks: range) -> Tensor | None:
    """Send fields to the rank `distance` after this one and receive as many from as far before; None where there is none."""
    sends = [(group.rank + distance, fields.contiguous())] if group.rank + distance in ranks else []
    buffer = torch.empty_like(fields, memory_format=torch.contiguous_format) if group.rank - distance in ranks else None
    if sends or buffer is not None:
        group.exchange(sends, [] if buffer is None else [(group.rank - distance, buffer)])
    return buffer


def pack(maps: Maps) -> Tensor:
    return torch.cat([t.reshape(-1) for t in maps])


def unpack(buffer: Tensor, like: Maps) -> Maps:
    slopes, values = like
    return buffer[: slopes.numel()].view(slopes.shape), buffer[slopes.numel() :].view(values.shape)
