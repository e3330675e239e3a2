"""Groups of HDF5 files as xarray data sets: variables that are no numbers and no text do not matter to the others.

xarray opens all variables of a group or none. h5netcdf fails at some types of HDF5 that no field has.
"""

from pathlib import Path
from typing import Any

import h5py
import xarray
from xarray.backends import H5NetCDFStore

from parampi.errors import DataError


class NumbersAndText(H5NetCDFStore):
    """A group of a file, as xarray reads it, without the variables of other types."""

    __slots__ = ()

    def get_variables(self) -> dict[str, Any]:
        variables = self.ds.variables.items()
        read: Any = self.open_store_variable
        return {name: read(name, one) for name, one in variables if not odd_type(one._h5ds)}


def open_hdf5(path: Path, group: str) -> xarray.Dataset:
    """Open one group; axes without a name get numbers."""
    store = NumbersAndText.open(str(path), group=group or None, phony_dims="access")
    return xarray.open_dataset(store, decode_cf=False, cache=False)


def odd_type(dataset: h5py.Dataset) -> str:
    """Return in words the type of a data set that holds neither numbers nor text; "" for one that does."""
    try:
        kind = dataset.dtype
    except TypeError:
        return "a type of HDF5 that NumPy has not"
    if h5py.check_string_dtype(kind) is not None:
        return ""
    if h5py.check_vlen_dtype(kind) is not None:
        return "rows of several lengths (vlen)"
    if h5py.check_ref_dtype(kind) is not None:
        return "references"
    if kind.kind == "V" or kind.subdtype:
        return "records (compound)" if kind.names else "arrays" if kind.subdtype else "opaque bytes"
    if kind.kind in "mM":
        return "opaque dates"
    return "objects" if kind.kind == "O" else ""


def require_plain(path: Path, variable: str) -> None:
    """Raise DataError for a variable, by its path in the file, that holds neither numbers nor text."""
    with h5py.File(path) as file:
        stored = file.get(variable)
        odd = odd_type(stored) if isinstance(stored, h5py.Dataset) else ""
    if odd:
        raise DataError(
            f"{path}: {variable} holds {odd}, which is no field; write its numbers into a variable of floats, or name another"
        )
