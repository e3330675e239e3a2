"""Work on rows in blocks that stay in a processor's cache."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

BLOCK = 1 << 16  # numbers worked on at once on a CPU; larger temporaries cost more than what is computed
WHOLE = {"cpu": 1 << 18}
"""Numbers of rows up to which they are worked on at once, by the kind of device, and on any other."""
WHOLE_ELSEWHERE = 1 << 26


def pieces(rows: Tensor) -> list[slice]:
    """Return the pieces in which to work on rows (n, ...) where temporaries would be as large as all of them: one piece unless
    they are large, else as many rows as stay in a processor's cache, or keep a device busy."""
    count, most = rows.shape[0], WHOLE.get(rows.device.type, WHOLE_ELSEWHERE)
    if rows.numel() <= most:
        return [slice(0, count)] if count else []
    size = max(1, (most >> 2) // rows[:1].numel())
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def in_pieces(work: Callable[[slice], Tensor], rows: Tensor) -> Tensor:
    """Return rows (n, ...) that `work` makes of the pieces of rows."""
    parts = pieces(rows)
    if len(parts) <= 1:
        return work(slice(None))
    first = work(parts[0])
    done = first.new_empty((len(rows), *first.shape[1:]))
    done[parts[0]] = first
    for part in parts[1:]:
        done[part] = work(part)
    return done


def by_blocks(
    work: Callable[[Tensor], Tensor], rows: Tensor, tail: tuple[int, ...], dtype: torch.dtype | None = None
) -> Tensor:
    """Apply `work` (R, ...) -> (R, *tail), which treats rows one by one, to some rows at a time; `dtype` of the result."""
    count = rows.shape[0]
    if count == 1 or (count and not rows.is_cpu):
        return work(rows)
    size = max(1, BLOCK // max(1, prod(rows.shape[1:]), prod(tail)))
    if 0 < count <= size:
        return work(rows)
    done = rows.new_empty(count, *tail, dtype=dtype or rows.dtype)
    for first in range(0, count, size):
        done[first : first + size] = work(rows[first : first + size])
    return done
