"""Norms and inner products of fields; in `bitwise` mode row by row, so that bits do not depend on how many rows there are."""

from collections.abc import Callable

import torch
from torch import Tensor

from parampi.basis.row_by_row import row_by_row
from parampi.basis.rows import BLOCK, pieces
from parampi.parallel import Mode


def by_rows(kernel: Callable[..., Tensor], mode: Mode, *fields: Tensor) -> Tensor:
    """Return float64 numbers (...) that a kernel makes of the last axis of fields (..., d)."""
    if mode != "bitwise":
        return kernel(*fields).double()
    return row_by_row(kernel, *fields, axes=fields[0].ndim - 1).double()


def inner_products(a: Tensor, b: Tensor, mode: Mode) -> Tensor:
    """Return inner products (n, m) of fields (n, m, *shape)."""
    a, b = a.flatten(2), b.flatten(2)
    if mode == "bitwise" or len(pieces(a)) == 1:
        return by_rows(torch.linalg.vecdot, mode, a, b)
    # a kernel keeps all products before it adds them up
    total = a.new_zeros(a.shape[:2], dtype=torch.float64)
    for x, y in zip(torch.split(a, BLOCK, -1), torch.split(b, BLOCK, -1), strict=True):
        total += torch.linalg.vecdot(x, y)
    return total


def norms(fields: Tensor, mode: Mode) -> Tensor:
    """Return L2 norms (m,) of fields (m, *shape)."""
    return by_rows(lambda rows: torch.linalg.vector_norm(rows, dim=-1), mode, fields.flatten(1))


def finite(*fields: Tensor) -> Tensor:
    """Return which fields (n, m, *shape) are finite, (n, m).

    A sum is finite if what is summed is, which is all that counts: its bits may depend on the shape.
    """
    total = sum(field.flatten(2).sum(2) for field in fields)
    assert isinstance(total, Tensor)
    return total.isfinite()
