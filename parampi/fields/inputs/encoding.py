"""How values are stored in a file, mended where it is legal but not what xarray takes it for, refused where it makes no sense.

xarray unpacks and masks. It compares a marker of missing values in the attribute's own type, so that -9999.9 as a double marks
nothing in a variable of floats; and it leaves the bounds of valid values alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError

if TYPE_CHECKING:
    import xarray

MARKERS = ("_FillValue", "missing_value")
PACKING = ("scale_factor", "add_offset")
BOUNDS = {"valid_range": (0, 1), "valid_min": (0, None), "valid_max": (None, 0)}
"""Attributes of valid values: which of their numbers are the least and the largest."""
NAMING = ("coordinates", "bounds", "climatology", "grid_mapping", "cell_measures", "formula_terms", "ancillary_variables")
"""Attributes that name other variables, and mean nothing where they are no text."""
UNWRITTEN = 9.969209968386869e36
"""NetCDF's value of floats that nobody wrote, where a variable names no other."""
VALID = "parampi_valid"
"""Where the bounds of valid values are kept after unpacking."""

STORED = "parampi_stored"
"""Where variables are kept as they are stored, with their markers, that need nothing but masking."""
MASKED = 1 << 16
"""Values that are masked at once, so that they are in the processor's cache."""


def mended(attributes: Mapping[str, Any], kind: np.dtype[Any], path: Path, name: str) -> dict[str, Any]:
    """Return the attributes of a stored variable of type `kind` as xarray takes them. Raise DataError for absurd packing."""
    plain = {key: text_of(value) for key, value in attributes.items()}
    plain = {key: value for key, value in plain.items() if key not in NAMING or isinstance(value, str)}
    for key in PACKING:
        if key in plain:
            plain[key] = packing(plain[key], path, name, key)
    for key in MARKERS:
        if key in plain and kind.kind in "biuf" and str(plain.get("_Unsigned", "false")).lower() != "true":
            marks = markers(plain.pop(key), kind)
            if marks is not None:
                plain[key] = marks
    if kind.kind == "f" and kind.itemsize > 2:
        plain.setdefault("_FillValue", kind.type(UNWRITTEN))
    limits = valid_limits(plain, kind, path, name)
    return {key: value for key, value in plain.items() if key not in BOUNDS} | ({VALID: limits} if limits else {})


def plain_marks(variable: "xarray.Variable") -> list[Any]:
    """Return the markers of a variable of floats that is not packed; none for others, whose decoding is left to xarray."""
    kind, attributes = variable.dtype, variable.attrs
    if kind.kind != "f" or kind.itemsize not in (4, 8) or not kind.isnative or any(key in attributes for key in PACKING):
        return []
    marks = [np.atleast_1d(np.asarray(attributes[key])) for key in MARKERS if key in attributes]
    return list(np.concatenate(marks)) if all(one.dtype == kind for one in marks) and marks else []


def mask(values: NDArray[np.floating[Any]], marks: Sequence[Any]) -> None:
    """Write NaN in the place of markers, into the array itself."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, MASKED):
        part = flat[start : start + MASKED]
        for mark in marks:
            equal = part == mark
            if equal.any():
                part[equal] = np.nan


def text_of(value: Any) -> Any:
    """Return text for bytes, and the only value for an array of one."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return text_of(value.reshape(-1)[0])
    return value


def packing(value: Any, path: Path, name: str, key: str) -> float:
    """Return a factor or an offset. Raise DataError for one that is no finite number, or a factor of 0."""
    number = np.asarray(value)
    if number.size == 1 and number.dtype.kind in "biuf":
        factor = float(number.reshape(-1)[0])
        if np.isfinite(factor) and (factor != 0 or key == "add_offset"):
            return factor
    raise DataError(f"{path}: {name} has {key} = {value!r}, with which nothing can be unpacked; make the file again")


def markers(value: Any, kind: np.dtype[Any]) -> Any:
    """Return markers of missing values in the type of the variable; None where it has no such values."""
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=None if not isinstance(value, str) else np.float64)).astype(np.float64)
    except (TypeError, ValueError):
        return None
    if kind.kind != "f":
        bounds = np.iinfo(kind) if kind.kind in "iu" else None
        fit = [number for number in numbers if np.isfinite(number) and number == np.rint(number)]
        fit = [number for number in fit if bounds is None or bounds.min <= number <= bounds.max]
        numbers = np.asarray(fit)
    if numbers.size == 0:
        return None
    with np.errstate(over="ignore"):
        marks = numbers.astype(kind)
    return marks[0] if marks.size == 1 else marks


def valid_limits(attributes: Mapping[str, Any], kind: np.dtype[Any], path: Path, name: str) -> tuple[float, float] | None:
    """Return the least and the largest valid value, unpacked; None where all are valid.

    Bounds of the stored type are of stored values (NetCDF's convention, and CF's), others of unpacked ones.
    """
    least, largest = -np.inf, np.inf
    scale, offset = attributes.get("scale_factor", 1.0), attributes.get("add_offset", 0.0)
    packed = kind.kind in "iu" and any(key in attributes for key in PACKING)
    for key, (low, high) in BOUNDS.items():
        if key not in attributes:
            continue
        numbers = np.atleast_1d(np.asarray(attributes[key]))
        if numbers.dtype.kind not in "iuf" or numbers.size != (2 if key == "valid_range" else 1):
            raise DataError(f"{path}: {name} has {key} = {attributes[key]!r}; expected numbers; make the file again")
        if str(attributes.get("_Unsigned", "false")).lower() == "true" and numbers.dtype.kind == "i":
            numbers = numbers.view(f"u{numbers.dtype.itemsize}")
        values = numbers.astype(np.float64)
        slack = 0.0
        if packed and numbers.dtype.kind in "iu":
            values, slack = values * scale + offset, abs(scale) / 2
            low, high = (high, low) if scale < 0 else (low, high)
        elif kind.kind == "f":  # a bound that is not exact in the variable's type
            with np.errstate(over="ignore"):
                values = values.astype(kind).astype(np.float64)
        least = max(least, values[low] - slack) if low is not None else least
        largest = min(largest, values[high] + slack) if high is not None else largest
    return None if (least, largest) == (-np.inf, np.inf) else (float(least), float(largest))


def without_invalid(values: NDArray[np.floating[Any]], limits: tuple[float, float] | None) -> NDArray[np.floating[Any]]:
    """Return values with NaN outside of the valid ones."""
    if limits is None:
        return values
    values = values.astype(np.float64)
    return np.where((values >= limits[0]) & (values <= limits[1]), values, np.nan)
