"""Rounding to significant digits, by the NetCDF library: the same bits in every store."""

from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def rounding_options(digits: int | None) -> dict[str, Any]:
    """Return options that put zeros in the place of bits that are not significant (Kouznetsov 2021, Geosci. Model Dev. 14)."""
    return {"significant_digits": digits, "quantize_mode": "GranularBitRound"} if digits else {}


def rounded(fields: Floats, digits: int | None) -> Floats:
    """Return fields (C, H, W), float32, as a NetCDF file has them with so many digits; all of them for None."""
    if digits is None:
        return fields
    with netCDF4.Dataset("rounding", "w", diskless=True) as file:
        for axis, size in enumerate(fields.shape):
            file.createDimension(f"axis_{axis}", size)
        variable = file.createVariable("fields", "f4", tuple(file.dimensions), fill_value=np.nan, **rounding_options(digits))
        variable.set_auto_mask(False)
        variable[:] = fields
        return np.asarray(variable[:])
