"""Files of statistics: what their variables are, and how they are read and written."""

import json
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np

from parampi.errors import DataError
from parampi.fields.channels import LevelAxis, LevelTerm
from parampi.fields.field_dimensions import FieldDimensions, read_dimensions
from parampi.fields.geometry import Geometry, unplaced
from parampi.fields.netcdf_files import CONVENTIONS, write_axis

if TYPE_CHECKING:
    from parampi.fields.statistics import DatasetStatistics

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
WAVENUMBERS = {
    "spherical_harmonics": "degree of spherical harmonics; -1 is the rest of the field, which they leave",
    "cosine": "radial wavenumber in units of the lowest of the region, to the nearest integer",
    "mixed": "radial wavenumber in units of the lowest of the region, to the nearest integer",
}
"""Long names of `wavenumber` by the basis of the spectrum."""
AREAS, SPECTRAL_BASIS = "area_weight", "spectral_basis"
"""The variable of areas, and the global attribute with the basis of the spectrum; a plane's file has neither."""
SPECTRAL = ("kurtosis", "spectrum", "wavenumber")
"""Variables that a file has all of or none: none where mean and deviation alone are known."""
TEXTS = {"channel": "names", "channel_units": "units", "channel_long_name": "long_names"}
"""Texts per channel by their variables in a file."""
OPTIONAL_TEXTS = {"channel_standard_name": "standard_names"}
ALL_TEXTS = TEXTS | OPTIONAL_TEXTS
PLACES = {"latitude": "degrees_north", "longitude": "degrees_east"}
"""Variables of where points are, and their units."""


def needed(file: netCDF4.Dataset) -> list[str]:
    """Return the variables that a file of statistics must have: kurtosis and spectrum where it has some of them."""
    some = any(name in file.variables for name in SPECTRAL)
    optional = {"reference", *(() if read_dimensions(file) is None else ("y", "x")), *(() if some else SPECTRAL)}
    return [name for name in (*AXES, *TEXTS) if name not in optional]


def read(file: netCDF4.Dataset) -> dict[str, Any]:
    """Read the arguments of `DatasetStatistics` from an open file."""
    dimensions = read_dimensions(file)
    values: dict[str, Any] = {name: file[name][:] for name in AXES if name in file.variables}
    values |= folded(values, dimensions)
    count, grid = len(values["mean"]), (len(values["y"]), len(values["x"]))
    shells = unplaced(grid, dimensions).shells
    unknown = {"kurtosis": np.full(count, np.nan), "spectrum": np.full((count, len(shells)), np.nan), "wavenumber": shells}
    values = unknown | {"reference": np.zeros((0, count, *grid), np.float32)} | values
    values |= {text: tuple(map(str, file[name][:])) for name, text in ALL_TEXTS.items() if name in file.variables}
    if dimensions is None:
        values["axes"] = tuple(str(getattr(file[axis], "input_name", axis)) for axis in ("y", "x"))
        values |= {f"{axis}_units": str(getattr(file[axis], "units", "1")) for axis in ("y", "x")}
    level_axes = json.loads(getattr(file, "level_axes", "{}"))
    values["level_axes"] = {variable: axis_of_levels(*one) for variable, one in level_axes.items()}
    if dimensions is None and set(PLACES) <= set(file.variables):
        values["places"] = np.stack([file[name][:] for name in PLACES])
    values["projection"] = dict(json.loads(getattr(file, "projection", "{}")))
    values["geometry"] = read_geometry(file, grid, dimensions.sizes if dimensions else ())
    return values | {"samples": int(getattr(file, "samples", 0))}


def axis_of_levels(name: str, attributes: list[list[str]], terms: list[list[Any]] | None = None) -> LevelAxis:
    """Return an axis of levels as `level_axes` has it; without terms in files of earlier versions."""
    read = [
        LevelTerm(term, variable, tuple((key, text) for key, text in own), tuple(levels), tuple(numbers))
        for term, variable, own, levels, numbers in terms or ()
    ]
    return LevelAxis(name, tuple((key, text) for key, text in attributes), tuple(read))


def folded(values: dict[str, Any], dimensions: FieldDimensions | None) -> dict[str, Any]:
    """Return what stands for the axes of fields that are no maps in memory, and these fields; nothing for maps."""
    if dimensions is None:
        return {}
    points = [np.arange(size, dtype=np.float64) for size in dimensions.folded]
    more = {"dimensions": dimensions, "axes": dimensions.folded_names, "y_units": "1", "x_units": "1"}
    if "reference" in values:
        more["reference"] = values["reference"].reshape(*values["reference"].shape[:2], *dimensions.folded)
    return more | dict(zip(("y", "x"), points, strict=True))


def read_geometry(file: netCDF4.Dataset, grid: tuple[int, int], sizes: tuple[int, ...]) -> Geometry:
    """Read where the points are; files of earlier versions are of planes."""
    basis, options = json.loads(getattr(file, SPECTRAL_BASIS, '["fourier", {}]'))
    areas = tuple(np.asarray(file[AREAS][:], np.float64).tolist()) if AREAS in file.variables else None
    return Geometry(grid, areas, basis, dict(options), sizes)


def write_geometry(file: netCDF4.Dataset, geometry: Geometry) -> None:
    """Write where the points are; nothing for a plane."""
    if geometry.flat:
        return
    file.setncattr(SPECTRAL_BASIS, json.dumps([geometry.basis, dict(geometry.options)]))
    if geometry.areas is not None:
        variable = file.createVariable(AREAS, "f8", ("y",))
        variable.setncatts({"long_name": "area that a point stands for, in units of the mean", "units": "1"})
        variable[:] = geometry.areas


def write(file: netCDF4.Dataset, statistics: "DatasetStatistics") -> None:
    """Write all statistics into an empty file."""
    file.setncatts({"Conventions": CONVENTIONS, "title": f"Statistics of {', '.join(statistics.long_names)}"})
    file.setncattr("samples", np.int64(statistics.samples))
    if statistics.level_axes:
        levels = {name: [a.name, a.attributes, [astuple(t) for t in a.terms]] for name, a in statistics.level_axes.items()}
        file.setncattr("level_axes", json.dumps(levels))
    for name, size in (("channel", len(statistics.names)), ("sample", len(statistics.reference))):
        file.createDimension(name, size)
    file.createDimension("wavenumber", len(statistics.wavenumber))
    write_points(file, statistics)
    if statistics.projection:
        file.setncattr("projection", json.dumps(dict(statistics.projection)))
    for place, (name, units) in zip(() if statistics.places is None else statistics.places, PLACES.items(), strict=False):
        variable = file.createVariable(name, "f8", ("y", "x"), compression="zlib")
        variable.setncatts({"standard_name": name, "units": units})
        variable[:] = place
    write_geometry(file, statistics.geometry)
    for name, text in ALL_TEXTS.items():
        variable = file.createVariable(name, str, ("channel",))
        variable.long_name = name.replace("_", " ")
        variable[:] = np.array(getattr(statistics, text), object)
    renamed = WAVENUMBERS.get(statistics.geometry.basis)
    for name, long_name in (LONG_NAMES | ({"wavenumber": renamed} if renamed else {})).items():
        if name in SPECTRAL and not statistics.has_spectrum:
            continue
        kind = {"reference": "f4", "wavenumber": "i4"}.get(name, "f8")
        sizes, axes = statistics.sizes, AXES[name]
        if name == "reference" and statistics.dimensions is not None:
            axes = (*axes[:2], *statistics.axis_names)
        variable = file.createVariable(name, kind, axes, compression="zlib" if name == "reference" else None)
        variable.setncatts({"long_name": long_name, **units_of(name, statistics.units)})
        values = getattr(statistics, name)
        variable[:] = values.reshape(*values.shape[:2], *sizes) if name == "reference" else values


def write_points(file: netCDF4.Dataset, statistics: "DatasetStatistics") -> None:
    """Write the axes of fields."""
    if statistics.dimensions is not None:
        for name in statistics.axis_names:
            if name in file.dimensions or name in {*AXES, *ALL_TEXTS, "sample"} - {"y", "x"}:
                raise DataError(f"an axis of fields cannot be named {name!r}, which files of statistics use; rename it")
        statistics.dimensions.write(file)
        return
    write_axis(file, "y", statistics.y, statistics.y_units)
    write_axis(file, "x", statistics.x, statistics.x_units)
    for axis, name in zip(("y", "x"), statistics.axes, strict=True):
        file[axis].setncattr("input_name", name)


def units_of(name: str, units: tuple[str, ...]) -> dict[str, str]:
    """Return the attribute `units`; where channels have different ones, no single one is true and a comment says where they
    are."""
    if name in ("kurtosis", "wavenumber"):
        return {"units": "1"}
    power = 2 if name == "spectrum" else 1
    if len(set(units)) > 1:
        return {"comment": "in units of channel_units" + (" squared" if power == 2 else "")}
    return {"units": units[0] if power == 1 or units[0] == "1" else f"({units[0]})2"}


def require_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...], axes: tuple[str, ...]) -> None:
    """Raise DataError for a shape other than the expected one."""
    if shape != expected:
        raise DataError(f"{name} has shape {shape}; expected {expected} for axes ({', '.join(axes)})")
