"""The scan of affine maps over the points of a window, and so over ranks.

    y[j+1] = sum_l slopes[l,j] y[j-l] + values[j],        j = 0 ... n - 1 on this rank

The K fields that a step reads are the rank before's last ones. As a map of those K fields to the next K, steps compose,
`(A, v) o (A', v') = (A A', A v' + v)` with K x K numbers A, and composition is associative, so ranks need not wait for one
another in a row. Two modes:

* "fast": each rank scans its own maps from zero, an exclusive scan over ranks gives what comes in, and its response is added.
  Small fields go by recursive doubling (Hillis and Steele 1986, Commun. ACM 29, 1170), in log2 P messages; of large ones each
  rank scans its part over all ranks (`scan_choice`). Sums associate differently for each number of ranks, so results agree to
  rounding.
* "bitwise": ranks scan one after the other, each passing its last K fields on. P messages in a row, and every y is formed by
  the same operations in the same order, so results are equal bit for bit for any number of ranks.

A message is K fields per member, or a P-th part of them, and in "fast" K x K slopes per member beside them.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from parampi.parallel.group import Group
from parampi.parallel.local_scans import fast_scan, local_scan
from parampi.parallel.rank_scans import Doubling, RankScan
from parampi.parallel.scan_choice import ScanSize
from parampi.parallel.transposed import Transposed

Mode = Literal["fast", "bitwise"]
MODES: tuple[Mode, ...] = ("fast", "bitwise")
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
        rank_scan(group, slopes, y.shape[1:], range(begin, active_ranks))(y)
    else:
        local = fast_scan if mode == "fast" else local_scan
        sequential_scan(group, lambda y: local(slopes, y), y, len(slopes), range(begin, active_ranks))


def rank_scan(group: Group, slopes: Tensor, fields: Sequence[int], ranks: range) -> RankScan:
    """Return the scan over ranks, at least two, of slopes (K, n, *shape that broadcasts to field) and fields of a shape (m,
    ...), in the way that takes less: the same one on all ranks."""
    way = Transposed if ScanSize.of(slopes, fields, len(ranks)).transposes else Doubling
    return way(group, slopes, ranks)


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
