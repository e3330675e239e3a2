"""Scans of affine maps over the points of one rank, and how they answer to the fields that come in."""

import torch
from torch import Tensor

SHORT, LARGE = 8, 1 << 24
"""Points from which on, and numbers up to which, a device scans all points at once."""
PIECE = 1 << 16
"""Numbers of a row that a processor scans at once, so that they stay in its cache."""


def local_scan(slopes: Tensor, y: Tensor) -> None:
    """Scan on one rank, by plain products and sums, so that no fused operation makes bits depend on shapes; in place of the
    values."""
    taps, count = slopes.shape[:2]
    if not count:
        return
    rows = y.view(*y.shape[:2], -1)
    numbers = rows.shape[2]
    if slopes.shape[3:].numel() not in (1, numbers):
        slopes = slopes.expand(*slopes.shape[:3], *y.shape[2:])
    slopes = slopes.reshape(*slopes.shape[:3], -1)
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
