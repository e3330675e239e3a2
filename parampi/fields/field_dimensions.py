"""Axes of fields that are no maps (y, x): lines, cells, faces of a sphere, volumes. Their names, lengths and coordinates.

In memory such fields have two axes like maps: all but the last axis count as one, in order. Files have them as they are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.channels import FIT, RESERVED

Floats = NDArray[np.floating[Any]]
ATTRIBUTE = "field_axes"
"""Global attribute of files with such fields: names of the axes."""
USUAL = {1: ("x",), 3: ("z", "y", "x")}
"""Names of axes that nothing names, by how many there are."""
WITHOUT_ORDER = ("cell", "cells", "ncells", "face", "faces", "tile", "tiles", "node", "nodes", "values", "station", "stations")
"""Names of axes whose neighbours need not be neighbours in space."""
HORIZONTAL = ("latitude", "longitude")
KEPT = ("units", "long_name", "standard_name", "axis", "positive", "calendar")
"""Attributes of coordinates that are kept."""
CLOSE = 1e-5
"""How far the same coordinates may be apart, as a share of the largest: they are often stored as float32."""


@dataclass(frozen=True, eq=False)
class Coordinate:
    """Where points are along some of the axes of fields."""

    name: str
    axes: tuple[str, ...]
    values: Floats
    attributes: Mapping[str, str]

    @property
    def horizontal(self) -> bool:
        """Whether it is latitude or longitude."""
        return self.attributes.get("standard_name") in HORIZONTAL or self.attributes.get("units", "").startswith("degrees_")


@dataclass(frozen=True)
class FieldDimensions:
    """Names and lengths of the axes of fields, and the coordinates along them.

    Raises DataError for names that an ensemble file cannot have, or as many lengths as there are not names.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    coordinates: tuple[Coordinate, ...] = ()

    def __post_init__(self) -> None:
        wrong = [name for name in self.names if name in RESERVED or not FIT.fullmatch(name)]
        if wrong or not self.names or len(set(self.names)) < len(self.names):
            raise DataError(
                f"field_axes = {list(self.names)}: give each axis a name of its own that files can have, and none of "
                f"{', '.join(RESERVED)}"
            )
        if len(self.names) != len(self.sizes):
            raise DataError(f"field_axes = {list(self.names)} for fields of {list(self.sizes)} points; name each axis once")

    @classmethod
    def usual(cls, sizes: Sequence[int], names: Sequence[str] = ()) -> "FieldDimensions":
        """Return axes of these lengths, with usual names where none are given."""
        count = len(sizes)
        return cls(tuple(names) or USUAL.get(count, tuple(f"axis_{k + 1}" for k in range(count))), tuple(sizes))

    @property
    def folded(self) -> tuple[int, int]:
        """Points (H, W) that fields have in memory."""
        return math.prod(self.sizes[:-1]), self.sizes[-1]

    @property
    def folded_names(self) -> tuple[str, str]:
        """Names of the two axes in memory."""
        return " ".join(self.names[:-1]), self.names[-1]

    @property
    def ordered(self) -> bool:
        """Whether neighbours along all axes are neighbours in space, so that fields have spectra along them."""
        along = [one for one in self.coordinates if one.horizontal and one.axes != (one.name,)]
        return not any(name.lower() in WITHOUT_ORDER for name in self.names) and not along

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """Coordinates other than those of axes."""
        return tuple(one.name for one in self.coordinates if one.axes != (one.name,))

    def words(self) -> str:
        """Return the axes in words, `cell 3072`."""
        return ", ".join(f"{name} {size}" for name, size in zip(self.names, self.sizes, strict=True))

    def write(self, file: netCDF4.Dataset) -> None:
        """Write axes and coordinates into a file."""
        file.setncattr(ATTRIBUTE, " ".join(self.names))
        for name, size in zip(self.names, self.sizes, strict=True):
            file.createDimension(name, size)
        for one in self.coordinates:
            variable = file.createVariable(one.name, "f8", one.axes, compression="zlib" if len(one.axes) > 1 else None)
            variable.setncatts(dict(one.attributes))
            variable[:] = one.values

    def require_same(self, other: "FieldDimensions", source: str) -> None:
        """Raise DataError, naming the `source`, where other fields have other axes, or other values of the same coordinates."""
        if self.names != other.names or self.sizes != other.sizes:
            raise DataError(f"{source} has fields of ({other.words()}); expected ({self.words()})")
        own = {one.name: one for one in self.coordinates}
        for one in other.coordinates:
            known = own.get(one.name)
            if known is None or known.axes != one.axes:
                continue
            apart = np.abs(known.values - one.values).max(initial=0.0)
            if not apart <= CLOSE * max(np.abs(known.values).max(initial=0.0), 1e-30):
                raise DataError(
                    f"{source}: its {one.name} differs by up to {apart:.4g} from that of the statistics; give fields of the "
                    f"same points, in the same order"
                )


def read_dimensions(file: netCDF4.Dataset) -> FieldDimensions | None:
    """Return the axes of the fields of a file, by its own attribute; None where they are y and x."""
    names = tuple(str(getattr(file, ATTRIBUTE, "")).split())
    if not names:
        return None
    coordinates = [
        Coordinate(name, one.dimensions, np.asarray(np.ma.filled(one[:], np.nan), np.float64), kept(attributes_of(one)))
        for name, one in file.variables.items()
        if one.dimensions and set(one.dimensions) <= set(names) and one.dtype == np.float64
    ]
    return FieldDimensions(names, tuple(len(file.dimensions[name]) for name in names), tuple(coordinates))


def rank_of(file: netCDF4.Dataset) -> int:
    """Return how many axes the fields of a file have."""
    return len(str(getattr(file, ATTRIBUTE, "y x")).split())


def attributes_of(variable: Any) -> dict[str, Any]:
    return {key: variable.getncattr(key) for key in variable.ncattrs()}


def kept(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of a coordinate that are kept."""
    return {key: str(attributes[key]) for key in KEPT if key in attributes}


def column_of(fields: Any, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which numbers of channels go with fields whose last axes are one of `shapes`, (C, ...). Raise
    DataError for fields of another shape, or no array."""
    if not isinstance(fields, np.ndarray):
        raise DataError(f"fields are a {type(fields).__name__}; give a NumPy array, such as tensor.numpy()")
    if not np.issubdtype(fields.dtype, np.floating):
        raise DataError(f"fields are of type {fields.dtype}; give floating numbers, such as fields.astype(float)")
    fitting = [shape for shape in shapes if fields.shape[-len(shape) :] == shape]
    if not fitting:
        raise DataError(f"fields have shape {fields.shape}; these statistics are of fields with last axes {shapes[0]}")
    return (-1, *(1 for _ in fitting[0][1:]))
