"""Statistics of a data set, by which fields are normalised and ensembles judged, and a few samples to look at."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import ArrayLike, NDArray

from parampi.errors import DataError
from parampi.fields.atomic_files import replacing
from parampi.fields.channels import LevelAxis, require_names
from parampi.fields.failures import reason_of
from parampi.fields.field_dimensions import FieldDimensions, column_of
from parampi.fields.geometry import Geometry, geometry_of, unplaced
from parampi.fields.kept_samples import KeptSamples, KeptStoredSamples
from parampi.fields.moments import Missing, Samples, SingleProcess, StoredSamples, Team, moments
from parampi.fields.netcdf_files import reading, require
from parampi.fields.prior_files import BASIS
from parampi.fields.statistics_files import ALL_TEXTS, AXES, needed, read, require_shape, write

Floats = NDArray[np.floating[Any]]
PLANE = Geometry((0, 0))
"""A plane of any grid."""
SPECTRA, SPECTRAL_POINTS = 256, 1 << 24
"""Spectra are taken of all samples up to so many points, else of so many samples or more, evenly spread."""
PER_CHANNEL = ("mean", "standard_deviation", "kurtosis", "spectrum")


@dataclass(frozen=True, eq=False)
class DatasetStatistics:
    """Statistics of fields (samples, C, H, W), in the fields' units: they normalise fields, and ensembles are judged by them.

    names, units, long_names   one of each per channel; units as UDUNITS reads them, "1" if there is none
    mean, standard_deviation   (C,) over samples and points, by area: one number each per channel
    kurtosis                   (C,) E[x^4] / E[x^2]^2 about the mean
    spectrum, wavenumber       (C, K) mean over samples of the mean square per shell, and its shells (K,): cycles per domain
                               of a plane (`radial_spectrum`), degrees of a sphere
    reference                  (S, C, H, W) float32, some of the samples
    y, x                       (H,) and (W,), evenly spaced, in y_units and x_units
    samples                    how many there were
    standard_names             of the CF conventions, one per channel, "" where there is none
    axes                       names of y and x in the files
    level_axes                 per variable of channels such as t@500, the axis of levels in the files
    places                     latitudes and longitudes (2, H, W) in degrees, where the files have these
    projection                 attributes of the map projection, as CF has them
    geometry                   where the points are: a plane, where it is not said
    dimensions                 of fields that are no maps: their axes. H is then the points along all of them but the last, W
                               along the last, and y and x are numbers of points

    Kurtosis and spectrum are NaN where only mean and standard deviation are known (`of_moments`).

    Raises DataError where shapes do not fit or a channel cannot be normalised.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    long_names: tuple[str, ...]
    mean: Floats
    standard_deviation: Floats
    kurtosis: Floats
    spectrum: Floats
    wavenumber: NDArray[np.integer[Any]]
    reference: NDArray[np.float32]
    y: Floats
    x: Floats
    y_units: str
    x_units: str
    samples: int
    standard_names: tuple[str, ...] = ()
    axes: tuple[str, str] = ("y", "x")
    level_axes: Mapping[str, LevelAxis] = field(default_factory=dict)
    places: Floats | None = None
    projection: Mapping[str, Any] = field(default_factory=dict)
    geometry: Geometry = PLANE
    dimensions: FieldDimensions | None = None

    def __post_init__(self) -> None:
        if self.geometry is PLANE:
            object.__setattr__(self, "geometry", unplaced(self.grid, self.dimensions))
        if self.dimensions is not None:
            require_shape("fields", self.grid, self.dimensions.folded, self.dimensions.folded_names)
        if not self.standard_names:
            object.__setattr__(self, "standard_names", ("",) * len(self.names))
        sizes = {"channel": len(self.names), "wavenumber": len(self.geometry.shells), "sample": len(self.reference)}
        sizes |= {"y": len(self.y), "x": len(self.x)}
        for name, axes in AXES.items():
            require_shape(name, np.shape(getattr(self, name)), tuple(sizes[axis] for axis in axes), axes)
        for name in ALL_TEXTS.values():
            require_shape(name, (len(getattr(self, name)),), (sizes["channel"],), ("channel",))
        if self.places is not None:
            require_shape("places", np.shape(self.places), (2, *self.grid), ("latitude and longitude", "y", "x"))
        if len(set(self.names)) < len(self.names):
            raise DataError(f"channels are named {', '.join(self.names)}; give each its own name")
        require_names(self.names)
        for name, deviation in zip(self.names, self.standard_deviation, strict=True):
            if not (np.isfinite(deviation) and deviation > 0):
                raise DataError(f"{name} has standard deviation {deviation}; a channel that does not vary cannot be normalised")

    @property
    def grid(self) -> tuple[int, int]:
        """Points (H, W) along y and x."""
        return len(self.y), len(self.x)

    @property
    def level_units(self) -> dict[str, str]:
        """Units of the levels of each variable of channels such as t@500, where they are known."""
        return {name: units for name, axis in self.level_axes.items() if (units := dict(axis.attributes).get("units"))}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one field in memory."""
        return (len(self.names), *self.grid)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Points along the axes that fields have in files."""
        return self.dimensions.sizes if self.dimensions else self.grid

    @property
    def axis_names(self) -> tuple[str, ...]:
        """Names of these axes."""
        return self.dimensions.names if self.dimensions else self.axes

    @classmethod
    def from_samples(
        cls,
        fields: Samples,
        names: Sequence[str],
        units: Sequence[str],
        long_names: Sequence[str],
        *,
        x: ArrayLike,
        y: ArrayLike,
        references: int = 16,
        x_units: str = "1",
        y_units: str = "1",
        team: Team | None = None,
        standard_names: Sequence[str] = (),
        axes: tuple[str, str] = ("y", "x"),
        level_axes: Mapping[str, LevelAxis] | None = None,
        missing: Missing = "refuse",
        plane: bool = False,
        dimensions: FieldDimensions | None = None,
    ) -> "DatasetStatistics":
        """Return the statistics of fields (N, C, H, W), read in blocks; `references` of them, evenly spread, are kept.

        Where y and x are latitude and longitude (by their units, or their names in `axes`), means are weighted by area, and the
        spectrum is that of spherical harmonics, or of cosine modes in a region.

        team     processes that share the reading
        plane    take latitude and longitude for a plane: points count alike, the spectrum is Fourier's
        missing  "refuse" missing values, or leave them out ("mean": the spectrum and the kept samples have the mean instead)

        Raises DataError for fields that are not finite, a channel that does not vary, or names and coordinates that do not fit,
        and ConfigError where the library of spherical harmonics is missing.
        """
        y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
        placed = not plane and dimensions is None
        geometry = geometry_of(y, x, units=(y_units, x_units), names=axes) if placed else unplaced((len(y), len(x)), dimensions)
        if geometry.grid != tuple(fields.shape[2:]):  # which is said below
            geometry = Geometry((fields.shape[-2], fields.shape[-1]))
        kept = (KeptStoredSamples if isinstance(fields, StoredSamples) else KeptSamples)(fields, references)
        measured = moments(kept, team, missing, most_spectra(fields.shape), geometry)
        return cls(
            *(tuple(names), tuple(units), tuple(long_names)),
            **{name: getattr(measured, name) for name in PER_CHANNEL},
            wavenumber=geometry.shells,
            reference=kept.filled(measured.mean, team or SingleProcess()),
            y=y,
            x=x,
            geometry=geometry,
            y_units=y_units,
            x_units=x_units,
            samples=fields.shape[0],
            standard_names=tuple(standard_names),
            axes=axes,
            level_axes=level_axes or {},
            dimensions=dimensions,
        )

    @classmethod
    def of_moments(
        cls, names: Sequence[str], mean: ArrayLike, standard_deviation: ArrayLike, grid: tuple[int, int], **more: Any
    ) -> "DatasetStatistics":
        """Return the statistics of fields of which mean and standard deviation per channel are known alone, on a grid (H, W);
        `more` are other arguments of the class. Raises DataError for numbers that do not fit."""
        count, shells = len(names), unplaced(grid, more.get("dimensions")).shells
        known: dict[str, Any] = {
            "units": ("1",) * count,
            "long_names": tuple(names),
            "samples": 0,
            "y_units": "1",
            "x_units": "1",
        }
        axes = {"y": np.arange(grid[0], dtype=np.float64), "x": np.arange(grid[1], dtype=np.float64)}
        return cls(
            names=tuple(names),
            mean=np.asarray(mean, np.float64),
            standard_deviation=np.asarray(standard_deviation, np.float64),
            kurtosis=np.full(count, np.nan),
            spectrum=np.full((count, len(shells)), np.nan),
            wavenumber=shells,
            reference=np.zeros((0, count, *grid), np.float32),
            **known | axes | more,
        )

    @property
    def has_spectrum(self) -> bool:
        """Whether the spectrum is known."""
        return bool(np.isfinite(self.spectrum).all())

    def require_spectrum(self, source: str | Path) -> None:
        """Raise DataError where the spectrum is unknown; `source` is named."""
        if not self.has_spectrum:
            raise DataError(
                f"{source} has means and standard deviations alone, and a spectrum is needed; measure it with parampi stats "
                f"DATA.nc --normalised-by {source} --output NEW.nc"
            )

    def normalised_by(self, other: "DatasetStatistics", source: str | Path) -> "DatasetStatistics":
        """Return these statistics with the means and standard deviations of other ones, channel by channel. Raises DataError,
        which names the `source`, where those have other channels."""
        missing = [name for name in self.names if name not in other.names]
        if missing:
            raise DataError(f"{source} has no {', '.join(missing)}; it has {', '.join(other.names)}; name them with --variable")
        own = other.select(self.names)
        return replace(self, mean=own.mean, standard_deviation=own.standard_deviation)

    def normalise(self, fields: Floats) -> Floats:
        """Return fields (..., C, H, W) with mean 0 and standard deviation 1, in the dtype they come in."""
        mean, deviation = self.columns(fields)
        return ((fields - mean) / deviation).astype(fields.dtype)

    def restore(self, fields: Floats) -> Floats:
        """Return normalised fields (..., C, H, W) in physical units, in the dtype they come in: the inverse of `normalise`."""
        mean, deviation = self.columns(fields)
        return (fields * deviation + mean).astype(fields.dtype)

    def select(self, names: Sequence[str]) -> "DatasetStatistics":
        """Return the statistics of some of the channels, in the order of `names`."""
        rows = [self.names.index(name) for name in names]
        texts: dict[str, Any] = {name: tuple(getattr(self, name)[row] for row in rows) for name in ALL_TEXTS.values()}
        numbers = {name: getattr(self, name)[rows] for name in PER_CHANNEL}
        return replace(self, **texts, **numbers, reference=self.reference[:, rows])

    def joined(self, other: "DatasetStatistics") -> "DatasetStatistics":
        """Return these statistics with the channels of another data set on the same grid after them, such as static fields,
        whose kept samples repeat where they are fewer. Raises DataError for another grid, and for channels of the same name."""
        if other.grid != self.grid:
            raise DataError(f"channels on {other.grid} points cannot join those on {self.grid}; give fields of one grid")
        texts: dict[str, Any] = {name: (*getattr(self, name), *getattr(other, name)) for name in ALL_TEXTS.values()}
        numbers: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in PER_CHANNEL}
        rows = np.arange(len(self.reference)) % max(1, len(other.reference))
        reference = np.concatenate([self.reference, other.reference[rows]], axis=1)
        return replace(self, **texts, **numbers, reference=reference, level_axes={**self.level_axes, **other.level_axes})

    def mean_of(self, names: Sequence[str]) -> Floats:
        """Return the means (c,) of some of the channels."""
        return self.mean[[self.names.index(name) for name in names]]

    def columns(self, fields: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (C, 1, 1), or as many axes as fields have that are no maps. Raise DataError for
        fields of another shape, or no array."""
        column = column_of(fields, (len(self.names), *self.sizes), self.shape)
        return self.mean.reshape(column), self.standard_deviation.reshape(column)

    def save(self, path: str | Path) -> None:
        """Write a NetCDF-4 file, in place of one that may be there; floats in float64, the reference fields in float32."""
        with replacing(path) as partial, netCDF4.Dataset(partial, "w") as file:
            write(file, self)

    @classmethod
    def from_file(cls, path: str | Path) -> "DatasetStatistics":
        """Read a file that `save` wrote. Raise DataError naming what is missing or does not fit."""
        with reading(path) as file:
            if hasattr(file, BASIS):
                raise DataError(
                    f"{path} is a file of parampi.Statistics, with a mean and a spectrum of normalised fields alone; give the "
                    f"file of the data set that parampi stats writes"
                )
            require(file, path, needed(file), "a file of statistics")
            file.set_auto_mask(False)
            try:
                return cls(**read(file))
            except DataError as error:
                raise DataError(f"{path}: {error}") from error
            except (ValueError, TypeError, LookupError, AttributeError) as error:  # texts and attributes that are damaged
                raise DataError(
                    f"{path} is no file of statistics that parampi can read ({reason_of(error)}); make it again"
                ) from error


def most_spectra(shape: Sequence[int]) -> int:
    """Return of how many samples (N, C, H, W) spectra are taken."""
    return max(SPECTRA, SPECTRAL_POINTS // max(1, math.prod(shape[2:])))
