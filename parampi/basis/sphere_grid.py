"""Latitude-longitude grids whose fields have exact spherical harmonic transforms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from parampi.errors import ConfigError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """Family of grids. `geometry`: ducc0's name; `colatitudes` (H,) of H rings in radians; `degree`: highest one that is exact
    for H rings; `weights` (H,) of the quadrature along them, whose sum is 2."""

    geometry: str
    colatitudes: Callable[[int], Floats]
    degree: Callable[[int], int]
    weights: Callable[[int], Floats]


def fejer(rings: int) -> Floats:
    """Return the weights of Fejer's first rule."""
    theta, k = (np.arange(rings) + 0.5) * np.pi / rings, np.arange(1, rings // 2 + 1)[:, None]
    return np.asarray(2 / rings * (1 - 2 * (np.cos(2 * k * theta) / (4 * k**2 - 1)).sum(0)))


def clenshaw_curtis(rings: int) -> Floats:
    """Return the weights of the rule of Clenshaw and Curtis, which has both poles."""
    spaces = max(rings - 1, 1)
    theta, k = np.arange(rings) * np.pi / spaces, np.arange(1, spaces // 2 + 1)[:, None]
    ends = np.where(np.arange(rings) % spaces == 0, 1, 2)
    return np.asarray(ends / spaces * (1 - (np.where(2 * k == spaces, 1, 2) * np.cos(2 * k * theta) / (4 * k**2 - 1)).sum(0)))


def driscoll_healy(rings: int) -> Floats:
    """Return the weights of Fejer's second rule, 0 at the pole."""
    theta, k = np.arange(rings) * np.pi / rings, np.arange(1, rings // 2 + 1)[:, None]
    return np.asarray(4 * np.sin(theta) / rings * (np.sin((2 * k - 1) * theta) / (2 * k - 1)).sum(0))


def gauss(rings: int) -> Floats:
    """Return the weights of Gauss and Legendre."""
    return np.asarray(np.polynomial.legendre.leggauss(rings)[1])


FAMILIES = {
    # rings in the middle of equal cells of latitude, none on a pole
    "equiangular": Family("F1", lambda h: (np.arange(h) + 0.5) * np.pi / h, lambda h: h - 1, fejer),
    # the first and the last ring on the poles
    "equiangular-poles": Family("CC", lambda h: np.arange(h) * np.pi / max(h - 1, 1), lambda h: h - 2, clenshaw_curtis),
    # the first ring on the north pole, the last one spacing from the south pole
    "driscoll-healy": Family("DH", lambda h: np.arange(h) * np.pi / h, lambda h: (h - 2) // 2, driscoll_healy),
    "gauss-legendre": Family("GL", lambda h: np.arccos(np.polynomial.legendre.leggauss(h)[0][::-1]), lambda h: h - 1, gauss),
}
TOLERANCE = 0.02  # of the spacing of rings, for latitudes that files give with few digits


@dataclass(frozen=True)
class SphereGrid:
    """Rings of constant latitude, `columns` points each at longitudes 0, 360 / columns, ...; harmonics l <= degree, m <= order.

    `family`: a name in FAMILIES; `ascending`: whether the first ring is the southernmost.
    """

    family: str
    rings: int
    columns: int
    degree: int
    order: int
    ascending: bool

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        *,
        family: str | None,
        latitude: Sequence[float] | None,
        ascending: bool | None,
        degree: int | None,
    ) -> Self:
        """Return the grid of the options of `SphericalHarmonics`. Raises ConfigError where they fit neither the fields nor each
        other."""
        rings, columns = shape[-2:]
        if latitude is not None:
            family, ascending = recognised(np.asarray(latitude, np.float64), rings, family, ascending)
        if family not in FAMILIES:
            raise ConfigError(
                f"SphericalHarmonics' grid = {family!r} is not one of {', '.join(map(repr, FAMILIES))}; "
                "name the grid or give the latitudes of its rings in degrees"
            )
        most = FAMILIES[family].degree(rings)
        degree = most if degree is None else degree
        if not 0 <= degree <= most:
            raise ConfigError(
                f"SphericalHarmonics' degree = {degree} is not possible on {rings} x {columns} points of the grid "
                f"{family!r}, which determines degrees 0 to {most}; " + ("lower it" if most >= 0 else "give more rings")
            )
        return cls(family, rings, columns, degree, min(degree, (columns - 1) // 2), bool(ascending))

    @property
    def geometry(self) -> str:
        return FAMILIES[self.family].geometry

    def latitudes(self) -> Floats:
        """Return latitudes of the rings as they are stored, in degrees."""
        return latitudes(self.family, self.rings)[:: -1 if self.ascending else 1]

    def areas(self) -> Floats:
        """Return the area (rings,) that a point of each ring stands for, in units of the mean."""
        weights = FAMILIES[self.family].weights(self.rings)[:: -1 if self.ascending else 1]
        return np.asarray(weights / weights.mean())

    def numbers(self) -> tuple[Floats, Floats]:
        """Return the degree l and order m >= 0 of the coefficients as the library stores them: by order, then by degree."""
        order, degree = np.triu_indices(self.order + 1, m=self.degree + 1)
        return degree.astype(np.float64), order.astype(np.float64)


def latitudes(family: str, rings: int) -> Floats:
    """Return latitudes from north to south, in degrees."""
    return 90 - np.rad2deg(FAMILIES[family].colatitudes(rings))


def recognised(latitude: Floats, rings: int, family: str | None, ascending: bool | None) -> tuple[str, bool]:
    """Return the family of grids that has these latitudes, and whether they ascend."""
    if latitude.shape != (rings,):
        raise ConfigError(
            f"SphericalHarmonics got latitudes of shape {latitude.shape} for {rings} rings; give one for each ring"
        )
    upward = bool(latitude[-1] > latitude[0])
    falling = latitude[::-1] if upward else latitude
    matching = [name for name in FAMILIES if np.abs(falling - latitudes(name, rings)).max() <= TOLERANCE * 180 / rings]
    if not matching:
        raise ConfigError(
            f"SphericalHarmonics does not know a global grid with latitudes {falling[0]:.6g}, {falling[1]:.6g}, ... "
            f"{falling[-1]:.6g} degrees; it knows {', '.join(FAMILIES)}: interpolate the data, or use another basis"
        )
    if family not in (None, matching[0]) or ascending not in (None, upward):
        raise ConfigError(
            f"SphericalHarmonics' grid = {family!r}, ascending = {ascending} contradict the latitudes given, which are those "
            f"of {matching[0]!r} with ascending = {upward}; leave the first two out"
        )
    return matching[0], upward
