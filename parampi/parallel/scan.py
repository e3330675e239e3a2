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

Mode = Literal["fast", "bitwise"]
MODES: tuple[Mode, ...] = ("fast", "bitwise")
Maps = tuple[Tensor, Tensor]
Apply = Callable[[int, Tensor], Tensor]
"""The linear part of step j, applied to the fields (K, *field) at the step's own point (row K - 1) and those before."""


def affine_scan(group: Group, slopes: Tensor, values: Tensor, first: Tensor, active_ranks: int, mode: Mode = "fast") -> Tensor:
    """Return all y of this rank, (K + n, *field): the K fields that come in, and the n that are made of them.

    slopes (K, n, *shape that broadcasts to field) and values (n, *field); `first` (K, *field), what comes in to the whole scan,
    is read on rank 0 only. Ranks `active_ranks` ... size - 1 have n = 0, take no part in messages and get `first` back.
    """
    if group.rank >= active_ranks:
        return first.clone()
    if mode == "fast" and active_ranks > 1:
        return by_doubling(group, slopes, values, first, active_ranks)
    return sequential_scan(group, lambda start: local_scan(slopes, values, start), first, active_ranks)


def operator_scan(group: Group, apply: Apply, values: Tensor, first: Tensor, active_ranks: int) -> Tensor:
    """Scan any linear operators, `y[j+1] = apply(j, y[j-K+1 ... j]) + values[j]`; ranks scan one after the other."""
    if group.rank >= active_ranks:
        return first.clone()
    return sequential_scan(group, lambda start: local_operators(apply, values, start), first, active_ranks)


def local_scan(slopes: Tensor, values: Tensor, first: Tensor) -> Tensor:
    """Scan on one rank, by plain products and sums, so that no fused operation makes bits depend on shapes."""
    taps = len(slopes)
    y = torch.empty((taps + len(values), *first.shape[1:]), dtype=first.dtype, device=first.device)
    y[:taps] = first
    for j in range(len(values)):
        new = y[taps + j]
        torch.mul(y[taps + j - 1], slopes[0, j], out=new)
        for tap in range(1, taps):
            new += slopes[tap, j] * y[taps + j - 1 - tap]
        new += values[j]
    return y


def local_operators(apply: Apply, values: Tensor, first: Tensor) -> Tensor:
    taps = len(first)
    y = torch.empty((taps + len(values), *first.shape[1:]), dtype=first.dtype, device=first.device)
    y[:taps] = first
    for j in range(len(values)):
        y[taps + j] = apply(j, y[j : taps + j])
        y[taps + j] += values[j]
    return y


def sequential_scan(group: Group, scan: Callable[[Tensor], Tensor], first: Tensor, active_ranks: int) -> Tensor:
    """Scan with one message from each rank to the next."""
    if group.rank > 0:
        first = first.new_empty(first.shape)
        group.exchange([], [(group.rank - 1, first)])
    y = scan(first)
    if group.rank + 1 < active_ranks:
        group.exchange([(group.rank + 1, y[-len(first) :].contiguous())], [])
    return y


def by_doubling(group: Group, slopes: Tensor, values: Tensor, first: Tensor, active_ranks: int) -> Tensor:
    """Scan with log2(active_ranks) messages per rank."""
    taps = len(slopes)
    y = local_scan(slopes, values, first if group.rank == 0 else torch.zeros_like(first))
    response = responses(slopes)
    entering = exclusive_scan(group, (response[-taps:], y[-taps:]), active_ranks)
    if entering is not None:
        y[taps:] += weighted(response[taps:], entering)
        y[:taps] = entering
    return y


def responses(slopes: Tensor) -> Tensor:
    """Return how each row of a scan answers to each field that comes in: (K + n, K, *shape), the K x K unit matrix first."""
    taps, n, *shape = slopes.shape
    unit = torch.eye(taps, dtype=slopes.dtype, device=slopes.device).view(taps, taps, *(1 for _ in shape))
    unit = unit.expand(taps, taps, *shape)
    if taps == 1:
        return torch.cat([unit, torch.cumprod(slopes[0], 0)[:, None]])
    return local_scan(slopes[:, :, None], torch.zeros((n, *unit.shape[1:]), dtype=slopes.dtype, device=slopes.device), unit)


def weighted(weights: Tensor, fields: Tensor) -> Tensor:
    """Return sum_c weights[:, c] fields[c]."""
    total = weights[:, 0] * fields[0]
    for c in range(1, len(fields)):
        total += weights[:, c] * fields[c]
    return total


def exclusive_scan(group: Group, maps: Maps, active_ranks: int) -> Tensor | None:
    """Return the composition of the maps of all ranks before this one, applied to 0; None on rank 0."""
    total, before, distance = maps, None, 1
    while distance < active_ranks:
        received = shift(group, total, distance, active_ranks)
        if received is not None:
            before = received if before is None else compose(before, received)
            total = compose(total, received)
        distance *= 2
    return None if before is None else before[1]


def compose(later: Maps, earlier: Maps) -> Maps:
    """Compose two maps: (K, K, *shape), the rows of the numbers A, and (K, *field)."""
    return torch.stack([weighted(row[None], earlier[0]) for row in later[0]]), weighted(later[0], earlier[1]) + later[1]


def shift(group: Group, maps: Maps, distance: int, active_ranks: int) -> Maps | None:
    """Send a map to the rank `distance` after this one and receive one from as far before; None where there is none."""
    sends = [(group.rank + distance, pack(maps))] if group.rank + distance < active_ranks else []
    buffer = torch.empty_like(pack(maps)) if group.rank >= distance else None
    group.exchange(sends, [] if buffer is None else [(group.rank - distance, buffer)])
    return None if buffer is None else unpack(buffer, maps)


def pack(maps: Maps) -> Tensor:
    return torch.cat([t.reshape(-1) for t in maps])


def unpack(buffer: Tensor, like: Maps) -> Maps:
    slopes, values = like
    return buffer[: slopes.numel()].view(slopes.shape), buffer[slopes.numel() :].view(values.shape)
