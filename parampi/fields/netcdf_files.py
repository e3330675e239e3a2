"""NetCDF files: how they are opened, what they must have, and their axes along y and x."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.failures import intact

Floats = NDArray[np.floating[Any]]
CONVENTIONS = "CF-1.11"
KNOWN_UNITS = {
    "degrees_north": {"standard_name": "latitude", "long_name": "latitude"},
    "degrees_east": {"standard_name": "longitude", "long_name": "longitude"},
}


@contextmanager
def reading(path: str | Path) -> Iterator[netCDF4.Dataset]:
    """Open a NetCDF file for reading. Raise DataError where there is none, and for all that its library raises meanwhile."""
    with intact(path), netCDF4.Dataset(path) as file:
        yield file


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
