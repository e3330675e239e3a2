"""Programs that take batches of one size: larger batches are split, smaller ones filled up with copies."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SIZES = (*range(1, 17), 20, 24, 32, 48, 64, 96, 128, 256)
"""Sizes of batches that are tried of a program which does not say its own."""


def in_batches(call: Callable[..., Tensor], inputs: Sequence[Tensor], least: int, most: int | None) -> Tensor:
    """Return the output of a program for inputs (B, ...), asked for `least` to `most` fields at once."""
    count = len(inputs[0])
    size = max(count, 1) if most is None else most
    parts = [filled(call, [one[i : i + size] for one in inputs], least) for i in range(0, count, size)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def filled(call: Callable[..., Tensor], inputs: Sequence[Tensor], least: int) -> Tensor:
    """Return the output for fewer fields than a program takes, filled up with copies of the last."""
    count = len(inputs[0])
    if count >= least:
        return call(*inputs)
    rows = torch.arange(least, device=inputs[0].device).clamp(max=count - 1)
    output = call(*(one[rows] for one in inputs))
    return output[:count] if isinstance(output, Tensor) and len(output) == least else output


def size_that_works(call: Callable[..., Tensor], inputs: Sequence[Tensor]) -> int | None:
    """Return the number of fields that a program takes, by trying; None where it takes none of them."""
    for size in SIZES:
        rows = torch.zeros(size, dtype=torch.int64, device=inputs[0].device)
        try:
            output = call(*(one[rows] for one in inputs))
        except (RuntimeError, AssertionError):
            continue
        if isinstance(output, Tensor) and len(output) == size:
            return int(size)
    return None
