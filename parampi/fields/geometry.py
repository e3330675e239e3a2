"""Geometry of horizontal grids: the area that points stand for, and the modes by whose shells spectra are told."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import ConfigError, DataError
from parampi.fields.field_dimensions import FieldDimensions
from parampi.fields.spectra import radial_spectrum, wavenumbers

if TYPE_CHECKING:
    from parampi.basis.sphere_grid import SphereGrid
    from parampi.fields.shell_spectra import ShellSpectrum

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
REST = -1
"""Number of the shell of what harmonics leave of a field."""
SPHERE = "spherical_harmonics"
NO_MODES = "identity"
"""Basis of points without order: all is in one shell."""
BASES = ("fourier", "cosine", "mixed", SPHERE, NO_MODES)
NORTH = re.compile(r"degrees?_?n(orth)?", re.IGNORECASE)
EAST = re.compile(r"degrees?_?e(ast)?", re.IGNORECASE)
ANGLE = re.compile(r"deg(rees?)?|1?", re.IGNORECASE)
LATITUDE = re.compile(r"(nav_|r|g|grid_)?lat(itude)?", re.IGNORECASE)
LONGITUDE = re.compile(r"(nav_|r|g|grid_)?lon(gitude)?", re.IGNORECASE)
EVEN = 1e-3
"""How far the steps of longitudes may differ, as a share of them."""


@dataclass(frozen=True)
class Geometry:
    """Where the points of fields (H, W) are.

    areas    (H,) the area that points of each row stand for, in units of the mean; None where all stand for the same
    basis    the modes of a spectrum, a name of `parampi.basis.make_basis`, with `options`; "identity" for points without order
    sizes    points along the axes of fields that are no maps, of which the grid is what is in memory (`FieldDimensions`)

    Raises DataError for areas that are none, and for a basis that has no shells of wavenumbers.
    """

    grid: tuple[int, int]
    areas: tuple[float, ...] | None = None
    basis: str = "fourier"
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        areas = np.ones(self.grid[0]) if self.areas is None else np.array(self.areas)
        if (
            areas.shape != self.grid[:1]
            or not ((areas >= 0) & (areas < np.inf)).all()
            or not (areas.sum() > 0 or not areas.size)
        ):
            raise DataError(f"areas of the rows of a grid are {areas}; give {self.grid[0]} numbers, not negative")
        if self.basis not in BASES:
            raise DataError(f"the basis of a spectrum is {self.basis!r}; it must be one of {', '.join(BASES)}")

    @property
    def flat(self) -> bool:
        """Whether it is a plane, line or volume that is periodic along all axes, whose points all count alike."""
        return self.areas is None and self.basis == "fourier"

    @property
    def has_modes(self) -> bool:
        """Whether fields have a spectrum: points without order have none."""
        return self.basis != NO_MODES

    @property
    def spherical(self) -> bool:
        """Whether it is the whole sphere."""
        return self.basis == SPHERE

    @property
    def transform(self) -> "ShellSpectrum":
        """The transform into modes. Raises ConfigError where a library is missing."""
        return transform_of(self.basis, json.dumps(dict(self.options), sort_keys=True), self.grid)

    @property
    def shells(self) -> Integers:
        """Wavenumbers or degrees (K,) of the shells of a spectrum; REST for what harmonics leave."""
        return wavenumbers(*(self.sizes or self.grid)) if self.flat else self.transform.shells

    @property
    def highest(self) -> int:
        """The highest wavenumber or degree that the grid has in all directions."""
        side = min((points for points in self.sizes or self.grid if points > 1), default=1)
        return max(2, side // 2) if self.flat else self.transform.highest

    def spectrum(self, fields: Floats) -> Floats:
        """Return the mean square of fields (..., H, W) per shell, (..., K) float64; over the sphere it is that of areas."""
        if not self.flat:
            return self.transform(fields, self.weights())
        sizes = self.sizes or self.grid
        return radial_spectrum(np.reshape(fields, (*np.shape(fields)[:-2], *sizes)), len(sizes))

    def weights(self) -> Floats:
        """Return the areas (H,) that points stand for, in units of the mean."""
        areas = np.ones(self.grid[0]) if self.areas is None else np.array(self.areas)
        return np.asarray(areas / areas.mean())

    def point_areas(self) -> Floats | None:
        """Return the areas (H W,) of all points, row by row, in units of the mean; None where all are alike."""
        return None if self.areas is None else np.repeat(self.weights(), self.grid[1])

    def mean(self, fields: Floats) -> Floats:
        """Return means (...) of fields (..., H, W) by area."""
        return np.asarray(np.einsum("...hw,h->...", np.asarray(fields, np.float64), self.weights()) / np.prod(self.grid))

    def words(self) -> str:
        """Return in a few words how means and spectra are taken; "" for a plane."""
        if self.flat:
            return ""
        if self.basis == NO_MODES:
            return "points without order, which have no spectrum"
        modes = {"cosine": "cosine modes", "mixed": "cosine modes along latitude, Fourier modes along longitude"}
        if self.spherical:
            modes[SPHERE] = f"spherical harmonics up to degree {self.highest} ({self.options['grid']} grid)"
        where = "latitude and longitude around the globe" if self.spherical else "a region in latitude and longitude"
        weighted = ", means weighted by area" if self.areas is not None else ""
        return f"{where}{weighted}, spectra in {modes.get(self.basis, 'Fourier modes')}"


@lru_cache(maxsize=16)
def transform_of(basis: str, options: str, grid: tuple[int, int]) -> "ShellSpectrum":
    """Return the transform for options in JSON."""
    from parampi.fields.shell_spectra import shell_spectrum

    return shell_spectrum(basis, json.loads(options), grid)


def unplaced(grid: tuple[int, int], dimensions: FieldDimensions | None) -> Geometry:
    """Return the geometry of fields whose points are nowhere on the Earth: a plane, or what their axes say."""
    if dimensions is None:
        return Geometry(grid)
    return Geometry(grid, basis="fourier" if dimensions.ordered else NO_MODES, sizes=dimensions.sizes)


def geometry_of(y: Floats, x: Floats, *, units: tuple[str, str] = ("1", "1"), names: tuple[str, str] = ("y", "x")) -> Geometry:
    """Return the geometry of a grid with these coordinates: a sphere, a region of one, or a plane.

    units, names  of y and x. Latitude and longitude are known by them.

    Raises DataError for latitudes beyond the poles.
    """
    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    grid = (len(y), len(x))
    if min(grid) < 2 or not (
        is_angle(y, units[0], names[0], NORTH, LATITUDE) and is_angle(x, units[1], names[1], EAST, LONGITUDE)
    ):
        return Geometry(grid)
    if np.abs(y).max() > 90 + 1e-4:
        worst = float(y[np.abs(y).argmax()])
        raise DataError(f"the latitude {names[0]} has the value {worst:g} degrees; it must be within -90 and 90, mend the file")
    sphere = sphere_of(y, x)
    if sphere is not None:
        options = {"grid": sphere.family, "ascending": sphere.ascending}
        return Geometry(grid, tuple(sphere.areas().tolist()), SPHERE, options)
    extent = [float(np.ptp(y)), float(np.ptp(x)) * float(np.cos(np.deg2rad(y.mean())))]
    sizes = [max(length * points / (points - 1), 1e-9) for length, points in zip(extent, grid, strict=True)]
    if goes_around(x):
        return Geometry(grid, tuple(band_areas(y).tolist()), "mixed", {"kinds": ["cosine", "fourier"], "extent": sizes})
    return Geometry(grid, tuple(band_areas(y).tolist()), "cosine", {"extent": sizes})


def is_angle(values: Floats, units: str, name: str, exact: re.Pattern[str], usual: re.Pattern[str]) -> bool:
    """Return whether a coordinate is latitude or longitude: by its units, or by a usual name where units do not say otherwise.
    Bare indices are none."""
    if exact.fullmatch(units.strip()):
        return True
    indices = units == "1" and np.array_equal(np.abs(np.diff(values)), np.ones(len(values) - 1)) and 0 in values[[0, -1]]
    return bool(ANGLE.fullmatch(units.strip()) and usual.fullmatch(name) and not indices)


def goes_around(x: Floats) -> bool:
    """Return whether longitudes are even and go once around, each place once."""
    steps = np.diff(x) - 360 * np.rint(np.diff(x) / 360)
    even = 360 / len(x) * np.sign(steps[0])
    return bool(np.abs(steps - even).max() < EVEN * 360 / len(x))


def sphere_of(y: Floats, x: Floats) -> "SphereGrid | None":
    """Return the global grid with these coordinates that has exact transforms; None for others."""
    from parampi.basis.sphere_grid import SphereGrid

    if not goes_around(x):
        return None
    try:
        sphere = SphereGrid.of((len(y), len(x)), family=None, latitude=y.tolist(), ascending=None, degree=None)
    except ConfigError:
        return None
    return sphere if sphere.degree > 1 else None


def band_areas(latitude: Floats) -> Floats:
    """Return the areas (H,) of the bands around latitudes in degrees, bounded half-way between them, in units of the mean."""
    middle = (latitude[1:] + latitude[:-1]) / 2
    ends = 2 * latitude[[0, -1]] - middle[[0, -1]]
    edges = np.sin(np.deg2rad(np.clip(np.concatenate([ends[:1], middle, ends[1:]]), -90, 90)))
    areas = np.abs(np.diff(edges))
    return np.asarray(areas / areas.mean())
