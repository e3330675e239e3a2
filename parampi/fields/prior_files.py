"""Files of `parampi.Statistics`: the mean and the spectrum of normalised fields, in a basis.

They share the variables `mean` and `spectrum` with the files of `DatasetStatistics`. What tells them apart is the global
attribute BASIS, a JSON text with the basis and its options; a file without it has a radial spectrum, in physical units.
"""

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.fields.atomic_files import replacing
from parampi.fields.netcdf_files import CONVENTIONS, reading, require

Floats = NDArray[np.floating[Any]]
BASIS = "parampi_spectral_basis"


def write_spectrum(path: str | Path, mean: Floats, spectrum: Floats | None, basis: str) -> None:
    """Write a mean of any number of axes, a spectrum (one number, (S,) or (M,)) and the basis as a JSON text."""
    with replacing(path) as partial, netCDF4.Dataset(partial, "w") as file:
        file.setncatts({"Conventions": CONVENTIONS, "title": "Mean and spectrum of normalised fields", BASIS: basis})
        write_variable(file, "mean", mean, "mean of the fields")
        if spectrum is not None:
            long_name = "variance of modes, in units of that of white noise of unit variance"
            write_variable(file, "spectrum", spectrum, long_name)


def write_variable(file: netCDF4.Dataset, name: str, values: Floats, long_name: str) -> None:
    """Write a variable with axes of its own."""
    axes = [f"{name}_axis{i}" for i in range(values.ndim)]
    for axis, size in zip(axes, values.shape, strict=True):
        file.createDimension(axis, size)
    variable = file.createVariable(name, "f8", axes)
    variable.setncatts({"long_name": long_name, "units": "1"})
    variable[...] = values


def read_spectrum(path: str | Path) -> tuple[Floats, Floats | None, str] | None:
    """Read mean, spectrum and basis from a file that `write_spectrum` wrote; None for a NetCDF file of another kind. Raise
    DataError for one without a mean."""
    with reading(path) as file:
        if not hasattr(file, BASIS):
            return None
        require(file, path, ["mean"], "a file of parampi.Statistics")
        file.set_auto_mask(False)
        spectrum = np.asarray(file["spectrum"][...]) if "spectrum" in file.variables else None
        return np.asarray(file["mean"][...]), spectrum, str(getattr(file, BASIS))
