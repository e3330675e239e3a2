"""Radial spectra of periodic fields of one to three dimensions, on the grid's own integer wavenumbers."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


def radial_spectrum(fields: ArrayLike, axes: int = 2) -> Floats:
    """Return the mean square of fields (..., H, W) per shell of wavenumbers, (..., K) float64, in their units squared.

        E(k) = sum over round(|l|) = k of |c(l)|^2,        c = fft2(field) / (H W),        |l| = sqrt(l_y^2 + l_x^2),

    l counting cycles per domain along each axis. Every coefficient is in one shell, so that by Parseval's theorem sum_k E(k) is
    the mean square of the field. `axes`: how many axes a field has, the last ones; |l| and c are of
    all of them. Of vorticity this is twice the enstrophy spectrum, of velocity twice the energy spectrum.
    K = len(wavenumbers(H, W)); shells beyond half the shorter side are the corners of the grid and hold part of a circle only.
    """
    fields = np.asarray(fields, np.float64)
    order, starts, multiplicity = shells(*fields.shape[-axes:])
    coefficients = np.fft.rfftn(fields, axes=tuple(range(-axes, 0)), norm="forward")
    power = (coefficients.real**2 + coefficients.imag**2) * multiplicity
    flat = power.reshape(*fields.shape[:-axes], -1)
    return np.add.reduceat(flat[..., order], starts, axis=-1)


def wavenumbers(*sizes: int) -> Integers:
    """Return the shells 0, 1, ..., K - 1 of a grid of these sizes, H x W for example, in cycles per domain."""
    return np.arange(len(shells(*sizes)[1]))


@cache
def shells(*sizes: int) -> tuple[Integers, Integers, Floats]:
    """Return the order of rfftn's coefficients by shell, where each shell starts in it, and how often each counts in fftn."""
    width = sizes[-1]
    kx = np.fft.rfftfreq(width, 1 / width)
    *others, kx = np.meshgrid(*(np.fft.fftfreq(size, 1 / size) for size in sizes[:-1]), kx, indexing="ij")
    # |l| is the root of an integer, so never half-way between two shells; neighbours differ by 1 at most, so no shell is empty
    length = np.hypot(others[0], kx) if len(others) == 1 else np.sqrt(np.sum(np.square([*others, kx]), axis=0))
    shell = np.rint(length).astype(np.int64).ravel()
    order = np.argsort(shell, kind="stable")
    starts = np.searchsorted(shell[order], np.arange(shell.max() + 1))
    once = (kx == 0) | (2 * kx == width)
    return order, starts, np.where(once, 1.0, 2.0)
