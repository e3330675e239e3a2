"""Wavenumbers of the modes of a grid, and shells made of them."""

import numpy as np
import torch
from torch import Tensor

from parampi.basis.field_layout import F64, CoefficientLayout

SHELLS = ("radial", "axes", "full")


def shells_of(kind: str, layout: CoefficientLayout, length: Tensor) -> Tensor:
    """Return the shells (K,) 0, 1, ... of a layout's coefficients: by rounded `length` (K,), by |k| along every axis, or one
    for each."""
    if kind == "radial":
        number = length.round().long()
    elif kind == "axes":
        number = by_axes(layout.vectors)
    else:
        # the conjugate says the same about a real field
        number = torch.minimum(torch.arange(len(layout.conjugate)), layout.conjugate)
    shells: Tensor = torch.unique(number, return_inverse=True)[1]
    return shells


def by_axes(vectors: Tensor) -> Tensor:
    """Return one number for each combination of |k| along the axes; wavenumbers (D, K) are multiples of 1/2."""
    number = torch.zeros(vectors.shape[1], dtype=torch.int64)
    for k in (2 * vectors.abs()).long():
        number = number * (int(k.max()) + 1) + k
    return number


def lengths(vectors: Tensor, extent: Tensor) -> Tensor:
    """Return the lengths (K,) of wavevectors (D, K), in units of the lowest wavenumber that the domain, `extent` (D,) long,
    has."""
    lowest = [float(k[k > 0].min() / e) for k, e in zip(vectors.abs(), extent, strict=True) if bool((k > 0).any())]
    scale = 1 / (extent * min(lowest, default=1.0))
    squares = (vectors * scale[:, None]).numpy() ** 2
    # NumPy's root is right to the last bit: lengths half-way between two shells are the same for opposite wavevectors
    return torch.from_numpy(np.sqrt(np.add.reduce(squares)))


def mean_per_shell(values: Tensor, shell: Tensor) -> Tensor:
    """Return the means (S,) of values (K,) over the shells."""
    count = torch.bincount(shell)
    return torch.zeros(len(count), dtype=F64).index_add_(0, shell, values) / count
