"""Scans and moving windows without ranks: what each rank's part is compared with."""

import torch

from parampi.parallel import Slices, Window


def scan(slopes, values, first):
    """All y (n + 1, *field) of `y[j+1] = slopes[j] y[j] + values[j]`."""
    y = [first]
    for slope, value in zip(slopes, values, strict=True):
        y.append(slope * y[-1] + value)
    return torch.stack(y)


def state(point, member, shape):
    """A field that tells its point and member, and differs from entry to entry."""
    return 1000.0 * point + member + torch.linspace(0, 0.5, shape.numel(), dtype=torch.float64).view(shape)


def window(first, slices: Slices, rank, shape):
    """One rank's states of windows that begin at `first` (m,)."""
    mine = slices.of(rank)
    rows = [[state(int(f) + p, m, shape) for m, f in enumerate(first)] for p in range(mine.start, mine.stop + 1)]
    return Window(first, slices, torch.stack([torch.stack(row) for row in rows]))
