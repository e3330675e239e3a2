"""NetCDF files: how they are opened, what they must have, and their axes along y and x."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError

Floats = NDArray[np.floating[Any]]
CONVENTIONS = "CF-1.11"
KNOWN_UNITS = {
    "degrees_north": {"standard_name": "latitude", "long_name": "latitude"},
    "degrees_east": {"standard_name": "longitude", "long_name": "longitude"},
}


LIBRARIES = ("netCDF4", "h5py", "cftime")
"""The folders of their sources, by which what they raise is known."""


@contextmanager
def reading(path: str | Path) -> Iterator[netCDF4.Dataset]:
    """Open a NetCDF file for reading. Raise DataError where there is none, and for all that its library raises meanwhile."""
    with intact(path), netCDF4.Dataset(path) as file:
        yield file


@contextmanager
def intact(path: str | Path) -> Iterator[None]:
    """Turn what the libraries raise while a file is read into DataError: OSError, RuntimeError, and what damage leads to."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; is the name right, and is the file on a disk that all ranks see?") from error
    except Exception as error:
        if not of_library(error):
            raise
        raise DataError(
            f"{path} cannot be read as NetCDF ({reason_of(error)}); it is truncated, damaged or of another format: "
            f"copy or make it again"
        ) from error


def of_library(error: BaseException) -> bool:
    """Return whether a library of NetCDF or HDF5 raised an error, or asked for the memory that there is not."""
    sources = (Path(frame.f_code.co_filename).parts[-3:] for frame, _ in walk_tb(error.__traceback__))
    return isinstance(error, MemoryError) or any(library in parts for parts in sources for library in LIBRARIES)


def reason_of(error: BaseException) -> str:
    """Return in one line what an error says."""
    return " ".join(str(getattr(error, "strerror", None) or str(error) or type(error).__name__).split())


def require(file: netCDF4.Dataset, path: str | Path, names: Iterable[str], kind: str) -> None:
    """Raise DataError naming every variable that a file of this kind needs and does not have."""
    missing = [name for name in names if name not in file.variables]
    if missing:
        present = ", ".join(file.variables) or "no variables"
        raise DataError(f"{path} is not {kind}: it has no {', '.join(missing)}; it has {present}")


def require_variable(file: netCDF4.Dataset, path: str | Path, name: str) -> Any:
    """Return the variable of that name. Raise DataError with those that there are."""
    if name not in file.variables:
        raise DataError(f"{path} has no variable {name}; it has {', '.join(file.variables) or 'no variables'}")
    return file[name]


def read_mapping(file: netCDF4.Dataset, path: str | Path, name: str) -> dict[str, Any]:
    """Return the mapping that a global attribute holds as JSON; {} where there is none. Raise DataError for another text."""
    try:
        value = json.loads(str(getattr(file, name, "{}")))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"{path}: the attribute {name} is damaged, no mapping in JSON; bring the file back as it was written")
    return value


def write_axis(file: netCDF4.Dataset, axis: str, values: Floats, units: str, *, name: str = "") -> None:
    """Write the dimension along `axis` (y or x) with its coordinate variable, whose name is the axis's by default."""
    name = name or axis
    file.createDimension(name, len(values))
    variable = file.createVariable(name, "f8", (name,))
    attributes = {"long_name": f"{axis} coordinate", "units": units, "axis": axis.upper()}
    variable.setncatts(attributes | KNOWN_UNITS.get(units, {}))
    variable[:] = values
