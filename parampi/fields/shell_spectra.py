"""Spectra by the shells of a basis: spherical harmonics of global grids, cosine and mixed modes of regions, none of cells."""

from collections.abc import Mapping
from math import pi
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from parampi.basis import Mixed, make_basis
from parampi.basis.harmonics import LibraryTransform
from parampi.basis.sphere_grid import SphereGrid

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


class ShellSpectrum(Protocol):
    """A transform of fields (..., H, W) into mean squares per shell."""

    @property
    def shells(self) -> Integers:
        """Wavenumbers or degrees (K,); -1 is what harmonics leave."""

    @property
    def highest(self) -> int:
        """The highest one that the grid has in all directions."""

    def __call__(self, fields: Floats, weights: Floats) -> Floats:
        """Return (..., K) float64."""


class SphereSpectrum:
    """Mean squares per degree of spherical harmonics, then that of the rest of the field. Their sum is the mean square over the
    sphere, exactly on Gaussian grids."""

    def __init__(self, grid: SphereGrid):
        self.grid = grid
        self.highest = grid.degree
        self.shells = np.append(np.arange(grid.degree + 1), -1)
        degree, order = grid.numbers()
        self.degree, self.counted = degree.astype(np.int64), np.where(order > 0, 2.0, 1.0) / (4 * pi)

    def __call__(self, fields: Floats, weights: Floats) -> Floats:
        harmonics = LibraryTransform(self.grid)
        maps = torch.from_numpy(np.array(fields, np.float64).reshape(-1, self.grid.rings, self.grid.columns))
        rows = np.empty((len(maps), len(self.shells)))
        for row, one in zip(rows, maps, strict=True):
            coefficients = harmonics.analysis(one[None])
            rest = (one - harmonics.synthesis(coefficients)[0]).numpy()
            power = coefficients[0].square().sum(-1).numpy() * self.counted
            row[:-1] = np.bincount(self.degree, power, minlength=self.grid.degree + 1)
            row[-1] = (rest**2).mean(1) @ weights / self.grid.rings
        return rows.reshape(*np.shape(fields)[:-2], -1)


class RegionSpectrum:
    """Mean squares per shell of the modes of a region, of a field less its mean by area; the mean's square is in shell 0."""

    def __init__(self, basis: Mixed):
        self.basis = basis
        self.shells = np.rint(basis.wavenumber.numpy()).astype(np.int64)
        vectors = basis.wavevector.abs()
        lengths = [
            (k.max(), k[k > 0].min(), float(e)) for k, e in zip(vectors, basis.extent, strict=True) if bool((k > 0).any())
        ]
        unit = min(float(least) / extent for _, least, extent in lengths)
        self.highest = max(2, int(min(float(most) / extent for most, _, extent in lengths) / unit))

    def __call__(self, fields: Floats, weights: Floats) -> Floats:
        rows = np.array(fields, np.float64).reshape(-1, *self.basis.shape)
        mean = np.einsum("rchw,h->r", rows, weights) / rows[0].size
        modes = self.basis.forward(torch.from_numpy(rows - mean[:, None, None, None]))
        power = self.basis.shell_sums(modes.square()).numpy() / rows[0].size
        power[:, 0] += mean**2
        return np.asarray(power.reshape(*np.shape(fields)[:-2], -1))


class WithoutModes:
    """Mean squares of fields of points without order, in one shell."""

    highest = 0

    def __init__(self) -> None:
        self.shells = np.zeros(1, np.int64)

    def __call__(self, fields: Floats, weights: Floats) -> Floats:
        return np.asarray(np.square(np.asarray(fields, np.float64)).mean((-2, -1))[..., None])


def shell_spectrum(basis: str, options: Mapping[str, Any], grid: tuple[int, int]) -> ShellSpectrum:
    """Return the transform of a basis. Raises ConfigError for options that it does not have."""
    if basis == "identity":
        return WithoutModes()
    if basis == "spherical_harmonics":
        choice = {"family": options.get("grid"), "latitude": options.get("latitude")}
        return SphereSpectrum(SphereGrid.of((1, *grid), **choice, ascending=options.get("ascending"), degree=None))
    made = make_basis(basis, (1, *grid), **options)
    assert isinstance(made, Mixed)
    return RegionSpectrum(made)
