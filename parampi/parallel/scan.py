"""The scan of affine maps over the points of a window, and so over ranks.

    y[j+1] = slopes[j] y[j] + values[j],        j = 0 ... n - 1 on this rank,        y[0] = the rank before's last y

Composition `(A, v) o (A', v') = (A A', A v' + v)` is associative, so the scan over ranks needs log2 P messages. Two modes:

* "fast": each rank scans its own maps from zero, an exclusive scan over ranks by recursive doubling gives what comes in
  (Hillis and Steele 1986, Commun. ACM 29, 1170), and one multiplication adds it. Sums associate differently for each number of
  ranks, so results agree to rounding.
* "bitwise": ranks scan one after the other, each passing its last y on. P messages in a row, and every y is formed by the same
  operations in the same order, so results are equal bit for bit for any number of ranks.

A message is one field per member, and in "fast" one slope per member beside it.
"""

from typing import Literal

import torch
from torch import Tensor

from parampi.parallel.group import Group

Mode = Literal["fast", "bitwise"]
MODES: tuple[Mode, ...] = ("fast", "bitwise")


def affine_scan(group: Group, slopes: Tensor, values: Tensor, first: Tensor, busy: int, mode: Mode = "fast") -> Tensor:
    """All y of this rank, (n + 1, *field).

    slopes (n, *shape that broadcasts to field) and values (n, *field); `first` (*field) is y[0] of the whole scan and is read
    on rank 0 only. Ranks `busy` ... size - 1 have n = 0, take no part in messages and get `first` back.
    """
    if group.rank >= busy:
        return first[None].clone()
    scan = by_doubling if mode == "fast" and busy > 1 else in_turn
    return scan(group, slopes, values, first, busy)


def local_scan(slopes: Tensor, values: Tensor, first: Tensor) -> Tensor:
    """The scan on one rank; plain products and sums, so that no fused operation makes bits depend on shapes."""
    y = torch.empty((len(values) + 1, *first.shape), dtype=values.dtype, device=values.device)
    y[0] = first
    for j in range(len(values)):
        torch.mul(y[j], slopes[j], out=y[j + 1])
        y[j + 1] += values[j]
    return y


def in_turn(group: Group, slopes: Tensor, values: Tensor, first: Tensor, busy: int) -> Tensor:
    """The scan with one message from each rank to the next."""
    if group.rank > 0:
        first = torch.empty_like(first)
        group.exchange([], [(group.rank - 1, first)])
    y = local_scan(slopes, values, first)
    if group.rank + 1 < busy:
        group.exchange([(group.rank + 1, y[-1].contiguous())], [])
    return y


def by_doubling(group: Group, slopes: Tensor, values: Tensor, first: Tensor, busy: int) -> Tensor:
    """The scan with log2(busy) messages per rank."""
    y = local_scan(slopes, values, first if group.rank == 0 else torch.zeros_like(first))
    products = torch.cumprod(slopes, 0)
    entering = exclusive_scan(group, products[-1], y[-1], busy)
    if entering is not None:
        y[1:] += products * entering
        y[0] = entering
    return y


def exclusive_scan(group: Group, slope: Tensor, value: Tensor, busy: int) -> Tensor | None:
    """The composition of the maps of all ranks before this one, applied to 0; None on rank 0."""
    total, before, distance = (slope, value), None, 1
    while distance < busy:
        received = shift(group, total, distance, busy)
        if received is not None:
            before = received if before is None else compose(before, received)
            total = compose(total, received)
        distance *= 2
    return None if before is None else before[1]


def compose(later: tuple[Tensor, Tensor], earlier: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return later[0] * earlier[0], later[0] * earlier[1] + later[1]


def shift(group: Group, pair: tuple[Tensor, Tensor], distance: int, busy: int) -> tuple[Tensor, Tensor] | None:
    """Send a map to the rank `distance` after this one and receive one from as far before; None where there is none."""
    sends = [(group.rank + distance, pack(pair))] if group.rank + distance < busy else []
    buffer = torch.empty_like(pack(pair)) if group.rank >= distance else None
    group.exchange(sends, [] if buffer is None else [(group.rank - distance, buffer)])
    return None if buffer is None else unpack(buffer, pair)


def pack(pair: tuple[Tensor, Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in pair])


def unpack(buffer: Tensor, like: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    slope, value = like
    return buffer[: slope.numel()].view(slope.shape), buffer[slope.numel() :].view(value.shape)
