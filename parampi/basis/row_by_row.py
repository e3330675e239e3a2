"""Library kernels called with one row at a time, so that the bits of a row do not depend on the rows beside it.

Kernels choose the order of their sums by the shape of a call and by the alignment of its memory: a field alone and the same
field in a batch may differ in the last bit, on one processor and not on another. A row that is always called by itself, in
memory of its own, has the same bits in any batch, window and slice.
"""

from collections.abc import Callable
from math import prod
from typing import Self

import torch
from torch import Tensor

from parampi.basis.base import Basis, Device, Points


def row_by_row(work: Callable[..., Tensor], *rows: Tensor, axes: int = 2) -> Tensor:
    """Return `work(*rows)`, called for each row by itself; the first `axes` axes of all `rows` number their rows."""
    batch = rows[0].shape[:axes]
    if not prod(batch):
        return work(*rows)
    flat = [tensor.reshape(prod(batch), *tensor.shape[axes:]) for tensor in rows]
    done = [work(*(row.clone(memory_format=torch.contiguous_format) for row in each)) for each in zip(*flat, strict=True)]
    return torch.stack(done).view(*batch, *done[0].shape)


class RowByRow:
    """A basis that transforms fields one by one."""

    def __init__(self, basis: Basis):
        self.basis, self.shape, self.modes, self.shells = basis, basis.shape, basis.modes, basis.shells
        self.shell, self.weight, self.noise = basis.shell, basis.weight, basis.noise

    def forward(self, fields: Tensor) -> Tensor:
        """Return modes (..., M) of fields (..., *shape)."""
        return row_by_row(self.basis.forward, fields, axes=fields.ndim - len(self.shape))

    def inverse(self, modes: Tensor) -> Tensor:
        """Return fields (..., *shape) of modes (..., M)."""
        return row_by_row(self.basis.inverse, modes, axes=modes.ndim - 1)

    def shell_sums(self, modes_like: Tensor) -> Tensor:
        """Return sums over each shell (..., S), whose bits depend on the row alone in every basis."""
        return self.basis.shell_sums(modes_like)

    def spread(self, per_shell: Tensor) -> Tensor:
        """Return values per shell (..., S) at their modes, (..., M)."""
        return self.basis.spread(per_shell)

    def squares(self, fields: Tensor) -> Tensor:
        """Return the sums of squares (...) of fields (..., *shape)."""
        return row_by_row(self.basis.squares, fields, axes=fields.ndim - len(self.shape))

    def smoothing(self, points: Points) -> Tensor | None:
        """Return the factors (M,) of a Gaussian average over neighbouring points."""
        return self.basis.smoothing(points)

    def halved(self) -> Basis | None:
        """Return the basis of a grid half as fine, which transforms fields one by one too."""
        coarse = self.basis.halved()
        return None if coarse is None else type(self)(coarse)

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        """Return the same with the basis's tables on a device and in a dtype."""
        return type(self)(self.basis.to(device, dtype))
