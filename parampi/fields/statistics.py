"""Statistics of a data set, by which fields are normalised and ensembles judged, and a few samples to look at."""

import json
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
from parampi.fields.kept_samples import KeptSamples, KeptStoredSamples
from parampi.fields.moments import Missing, Samples, SingleProcess, StoredSamples, Team, moments
from parampi.fields.netcdf_files import CONVENTIONS, reading, require, write_axis
from parampi.fields.prior_files import BASIS
from parampi.fields.spectra import wavenumbers

Floats = NDArray[np.floating[Any]]
AXES = {
    "reference": ("sample", "channel", "y", "x"),
    "mean": ("channel",),
    "standard_deviation": ("channel",),
    "kurtosis": ("channel",),
    "spectrum": ("channel", "wavenumber"),
    "wavenumber": ("wavenumber",),
    "y": ("y",),
    "x": ("x",),
}
LONG_NAMES = {
    "mean": "mean over samples and points",
    "standard_deviation": "standard deviation over samples and points",
    "kurtosis": "kurtosis about the mean over samples and points, 3 if normal",
    "spectrum": "mean square per shell of radial wavenumbers, mean over samples",
    "reference": "some of the samples",
    "wavenumber": "radial wavenumber in cycles per domain, to the nearest integer",
}
SPECTRA, SPECTRAL_POINTS = 256, 1 << 24
"""Spectra are taken of all samples up to so many points, else of so many samples or more, evenly spread."""
PER_CHANNEL = ("mean", "standard_deviation", "kurtosis", "spectrum")
TEXTS = {"channel": "names", "channel_units": "units", "channel_long_name": "long_names"}
"""Texts per channel by their variables in a file."""
OPTIONAL_TEXTS = {"channel_standard_name": "standard_names"}
ALL_TEXTS = TEXTS | OPTIONAL_TEXTS
PLACES = {"latitude": "degrees_north", "longitude": "degrees_east"}
"""Variables of where points are, and their units."""


@dataclass(frozen=True, eq=False)
class DatasetStatistics:
    """Statistics of fields (samples, C, H, W), in the fields' units: they normalise fields, and ensembles are judged by them.

    names, units, long_names   one of each per channel; units as UDUNITS reads them, "1" if there is none
    mean, standard_deviation   (C,) over samples and points: one number each per channel
    kurtosis                   (C,) E[x^4] / E[x^2]^2 about the mean
    spectrum, wavenumber       (C, K) mean over samples of `radial_spectrum`, and its shells (K,) in cycles per domain
    reference                  (S, C, H, W) float32, some of the samples
    y, x                       (H,) and (W,), evenly spaced, in y_units and x_units
    samples                    how many there were
    standard_names             of the CF conventions, one per channel, "" where there is none
    axes                       names of y and x in the files
    level_axes                 per variable of channels such as t@500, the axis of levels in the files
    places                     latitudes and longitudes (2, H, W) in degrees, where the files have these
    projection                 attributes of the map projection, as CF has them

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

    def __post_init__(self) -> None:
        if not self.standard_names:
            object.__setattr__(self, "standard_names", ("",) * len(self.names))
        sizes = {"channel": len(self.names), "wavenumber": len(wavenumbers(*self.grid)), "sample": len(self.reference)}
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
        """Shape (C, H, W) of one field."""
        return (len(self.names), *self.grid)

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
    ) -> "DatasetStatistics":
        """Return the statistics of fields (N, C, H, W), read in blocks; `references` of them, evenly spread, are kept.

        team     processes that share the reading
        missing  "refuse" missing values, or leave them out ("mean": the spectrum and the kept samples have the mean instead)

        Raises DataError for fields that are not finite, a channel that does not vary, or names and coordinates that do not fit.
        """
        kept = (KeptStoredSamples if isinstance(fields, StoredSamples) else KeptSamples)(fields, references)
        measured = moments(kept, team, missing, max(SPECTRA, SPECTRAL_POINTS // max(1, math.prod(fields.shape[2:]))))
        return cls(
            *(tuple(names), tuple(units), tuple(long_names)),
            **{name: getattr(measured, name) for name in PER_CHANNEL},
            wavenumber=wavenumbers(*fields.shape[2:]),
            reference=kept.filled(measured.mean, team or SingleProcess()),
            y=np.asarray(y, np.float64),
            x=np.asarray(x, np.float64),
            y_units=y_units,
            x_units=x_units,
            samples=fields.shape[0],
            standard_names=tuple(standard_names),
            axes=axes,
            level_axes=level_axes or {},
        )

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

    def mean_of(self, names: Sequence[str]) -> Floats:
        """Return the means (c,) of some of the channels."""
        return self.mean[[self.names.index(name) for name in names]]

    def columns(self, fields: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (C, 1, 1). Raise DataError for fields of another shape, or no array."""
        if not isinstance(fields, np.ndarray):
            raise DataError(f"fields are a {type(fields).__name__}; give a NumPy array, such as tensor.numpy()")
        if not np.issubdtype(fields.dtype, np.floating):
            raise DataError(f"fields are of type {fields.dtype}; give floating numbers, such as fields.astype(float)")
        if fields.shape[-3:] != self.shape:
            raise DataError(f"fields have shape {fields.shape}; these statistics are of fields with last axes {self.shape}")
        return self.mean[:, None, None], self.standard_deviation[:, None, None]

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
            require(file, path, [*AXES, *TEXTS], "a file of statistics")
            file.set_auto_mask(False)
            try:
                return cls(**read(file))
            except DataError as error:
                raise DataError(f"{path}: {error}") from error
            except (ValueError, TypeError, LookupError, AttributeError) as error:  # texts and attributes that are damaged
                raise DataError(
                    f"{path} is no file of statistics that parampi can read ({reason_of(error)}); make it again"
                ) from error


def require_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...], axes: tuple[str, ...]) -> None:
    """Raise DataError for a shape other than the expected one."""
    if shape != expected:
        raise DataError(f"{name} has shape {shape}; expected {expected} for axes ({', '.join(axes)})")


def read(file: netCDF4.Dataset) -> dict[str, Any]:
    """Read the arguments of `DatasetStatistics` from an open file."""
    values: dict[str, Any] = {name: file[name][:] for name in AXES}
    values |= {text: tuple(map(str, file[name][:])) for name, text in ALL_TEXTS.items() if name in file.variables}
    values["axes"] = tuple(str(getattr(file[axis], "input_name", axis)) for axis in ("y", "x"))
    values |= {f"{axis}_units": str(getattr(file[axis], "units", "1")) for axis in ("y", "x")}
    level_axes = json.loads(getattr(file, "level_axes", "{}"))
    values["level_axes"] = {
        variable: LevelAxis(axis, tuple(map(tuple, attributes))) for variable, (axis, attributes) in level_axes.items()
    }
    if set(PLACES) <= set(file.variables):
        values["places"] = np.stack([file[name][:] for name in PLACES])
    values["projection"] = dict(json.loads(getattr(file, "projection", "{}")))
    return values | {"samples": int(getattr(file, "samples", 0))}


def write(file: netCDF4.Dataset, statistics: DatasetStatistics) -> None:
    """Write all statistics into an empty file."""
    file.setncatts({"Conventions": CONVENTIONS, "title": f"Statistics of {', '.join(statistics.long_names)}"})
    file.setncattr("samples", np.int64(statistics.samples))
    if statistics.level_axes:
        file.setncattr("level_axes", json.dumps({name: [a.name, a.attributes] for name, a in statistics.level_axes.items()}))
    for name, size in (("channel", len(statistics.names)), ("sample", len(statistics.reference))):
        file.createDimension(name, size)
    file.createDimension("wavenumber", len(statistics.wavenumber))
    write_axis(file, "y", statistics.y, statistics.y_units)
    write_axis(file, "x", statistics.x, statistics.x_units)
    for axis, name in zip(("y", "x"), statistics.axes, strict=True):
        file[axis].setncattr("input_name", name)
    if statistics.projection:
        file.setncattr("projection", json.dumps(dict(statistics.projection)))
    for place, (name, units) in zip(() if statistics.places is None else statistics.places, PLACES.items(), strict=False):
        variable = file.createVariable(name, "f8", ("y", "x"), compression="zlib")
        variable.setncatts({"standard_name": name, "units": units})
        variable[:] = place
    for name, text in ALL_TEXTS.items():
        variable = file.createVariable(name, str, ("channel",))
        variable.long_name = name.replace("_", " ")
        variable[:] = np.array(getattr(statistics, text), object)
    for name, long_name in LONG_NAMES.items():
        kind = {"reference": "f4", "wavenumber": "i4"}.get(name, "f8")
        variable = file.createVariable(name, kind, AXES[name], compression="zlib" if name == "reference" else None)
        variable.setncatts({"long_name": long_name, **units_of(name, statistics.units)})
        variable[:] = getattr(statistics, name)


def units_of(name: str, units: tuple[str, ...]) -> dict[str, str]:
    """Return the attribute `units`; where channels have different ones, no single one is true and a comment says where they
    are."""
    if name in ("kurtosis", "wavenumber"):
        return {"units": "1"}
    power = 2 if name == "spectrum" else 1
    if len(set(units)) > 1:
        return {"comment": "in units of channel_units" + (" squared" if power == 2 else "")}
    return {"units": units[0] if power == 1 or units[0] == "1" else f"({units[0]})2"}
