"""Radial spectra of two-dimensional periodic fields, on the grid's own integer wavenumbers."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


def radial_spectrum(fields: ArrayLike) -> Floats:
    """Return the mean square of fields (..., H, W) per shell of wavenumbers, (..., K) float64, in their units squared.

        E(k) = sum over round(|l|) = k of |c(l)|^2,        c = fft2(field) / (H W),        |l| = sqrt(l_y^2 + l_x^2),

    l counting cycles per domain along each axis. Every coefficient is in one shell, so that by Parseval's theorem sum_k E(k) is
    the mean square of the field. Of vorticity this is twice the enstrophy spectrum, of velocity twice the energy spectrum.
    K = len(wavenumbers(H, W)); shells beyond half the shorter side are the corners of the grid and hold part of a circle only.
    """
    fields = np.asarray(fields, np.float64)
    order, starts, multiplicity = shells(*fields.shape[-2:])
    coefficients = np.fft.rfft2(fields, norm="forward")
    power = (coefficients.real**2 + coefficients.imag**2) * multiplicity
    flat = power.reshape(*fields.shape[:-2], -1)
    return np.add.reduceat(flat[..., order], starts, axis=-1)


def wavenumbers(height: int, width: int) -> Integers:
    """Return the shells 0, 1, ..., K - 1 of an H x W grid, in cycles per domain."""
    return np.arange(len(shells(height, width)[1]))


@cache
def shells(height: int, width: int) -> tuple[Integers, Integers, Floats]:
    """Return the order of rfft2's coefficients by shell, where each shell starts in it, and how often each counts in fft2."""
    ky = np.fft.fftfreq(height, 1 / height)[:, None]
    kx = np.fft.rfftfreq(width, 1 / width)[None]
    # |l| is the root of an integer, so never half-way between two shells; neighbours differ by 1 at most, so no shell is empty
    shell = np.rint(np.hypot(ky, kx)).astype(np.int64).ravel()
    order = np.argsort(shell, kind="stable")
    starts = np.searchsorted(shell[order], np.arange(shell.max() + 1))
    once = (kx == 0) | (2 * kx == width)
    return order, starts, np.where(once, 1.0, 2.0)
