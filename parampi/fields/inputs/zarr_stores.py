"""Groups of Zarr stores as xarray data sets, whose missing values are those that the data mark.

`fill_value` of an array is what chunks have that nobody wrote. Zarr 2 has no other place for `_FillValue`, so that xarray and
NetCDF write it there; but 0 is there by default, and is a value.
"""

import base64
import binascii
import struct
from collections.abc import Container
from pathlib import Path
from typing import Any

import xarray
from xarray.backends import ZarrStore

from parampi.errors import DataError
from parampi.fields.inputs.encoding import PACKING

NUMBERS = "biufc"


class MarkedArrays(ZarrStore):
    """A group of a store, as xarray reads it, with the marks of missing values that its arrays have; without arrays that are
    neither numbers nor text."""

    __slots__ = ()

    def get_variables(self) -> dict[str, Any]:
        return {name: self.marked(name) for name in self.array_keys() if is_plain(self.members[name])}

    def marked(self, name: str) -> xarray.Variable:
        read: Any = self.open_store_variable
        variable: xarray.Variable = read(name)
        mark = mark_of(self.members[name])
        variable.attrs.pop("_FillValue", None)
        if mark is not None:
            variable.attrs["_FillValue"] = mark
        return variable


def open_zarr(path: Path, group: str, names: Container[str]) -> xarray.Dataset:
    """Open one group. Raise DataError where one of these names is of another type, or packed and nothing says whether 0 is a
    value."""
    store = MarkedArrays.open_group(str(path), group=group or None, consolidated=None, use_zarr_fill_value_as_mask=True)
    for name, array in store.arrays():
        if name in names and not is_plain(array):
            raise DataError(
                f"{path}: {name} holds {array.dtype}, which is no field; write its numbers into an array of floats, or name "
                f"another"
            )
        if name in names and is_ambiguous(array):
            raise DataError(
                f"{path}: {name} is packed, and its fill_value 0 may mark missing values or be a value; write the attribute "
                f"_FillValue, 0 or a number that does not occur"
            )
    return xarray.open_dataset(store, decode_cf=False, cache=False)


def is_plain(array: Any) -> bool:
    """Return whether an array holds numbers or text."""
    return array.dtype.kind in "biufcSUOTM"


def is_ambiguous(array: Any) -> bool:
    packed = bool(set(PACKING) & set(array.attrs))
    return packed and array.metadata.zarr_format == 2 and "_FillValue" not in array.attrs and array.fill_value == 0


def mark_of(array: Any) -> Any:
    """Return the mark of missing values of an array: its `_FillValue`, else in Zarr 2 a `fill_value` other than 0; None where
    it has none."""
    if "_FillValue" in array.attrs:
        return decoded_mark(array.attrs["_FillValue"], array.dtype.kind)
    fill = array.fill_value
    marks = array.metadata.zarr_format == 2 and fill is not None and array.dtype.kind in NUMBERS and fill != 0
    return fill if marks else None


def decoded_mark(value: Any, kind: str) -> Any:
    """Return a mark as a number; xarray writes those of floats as the letters (base64) of their bytes."""
    if kind != "f" or not isinstance(value, str):
        return value
    try:
        return struct.unpack("<d", base64.standard_b64decode(value))[0]
    except (struct.error, binascii.Error, ValueError):
        return value
