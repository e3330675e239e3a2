"""Scans and moving windows without ranks: what each rank's part is compared with."""

import torch

from parampi.parallel import Slices, Window


def scan(slopes, values, first):
    """All y (K + n, *field) of `y[j+1] = sum_l slopes[l,j] y[j-l] + values[j]`, `first` being the K fields before."""
    y = list(first)
    for j, value in enumerate(values):
        new = slopes[0, j] * y[-1]
        for tap in range(1, len(slopes)):
            new = new + slopes[tap, j] * y[-1 - tap]
        y.append(new + value)
    return torch.stack(y)


def state(point, member, shape):
    """A field that tells its point and member, and differs from entry to entry."""
    return 1000.0 * point + member + torch.linspace(0, 0.5, shape.numel(), dtype=torch.float64).view(shape)


def points_read(first, slices: Slices, rank, taps):
    """Points (member by member) whose states a rank holds: `taps` that its first step reads, and those it makes."""
    mine = slices.of(rank)
    return [range(int(begin) + mine.start + 1 - taps, int(begin) + mine.stop + 1) for begin in first]


def window(first, slices: Slices, rank, shape, taps=1):
    """One rank's states of windows that begin at `first` (m,)."""
    columns = [[state(p, m, shape) for p in points] for m, points in enumerate(points_read(first, slices, rank, taps))]
    return Window(first, slices, torch.stack([torch.stack(column) for column in columns], dim=1), taps)
