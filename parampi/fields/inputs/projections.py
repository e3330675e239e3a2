"""Map projections of grids, as CF describes them (`grid_mapping`): the same y and x are other places in another one."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from parampi.fields.inputs.axes import FieldAxes, coordinate_of

if TYPE_CHECKING:
    import xarray

Projection = Mapping[str, Any]
NAME = "grid_mapping_name"
IMPLIED = {"latitude": "latitude_longitude", "grid_latitude": "rotated_latitude_longitude"}
"""Projections of grids without a description, by the standard name of their y."""
DEFAULTS = {
    "north_pole_grid_longitude": 0.0,
    "longitude_of_prime_meridian": 0.0,
    "false_easting": 0.0,
    "false_northing": 0.0,
    "scale_factor_at_projection_origin": 1.0,
    "scale_factor_at_central_meridian": 1.0,
}
"""Numbers that hold where a description has none."""
RADII = ("earth_radius", "semi_major_axis")
NOT_COMPARED = ("semi_minor_axis", "inverse_flattening", "GeoTransform")
"""Numbers that move points by less than models do, or that are of the coordinates."""
CLOSE, SPHERE = 1e-4, 1e-3
"""How far parameters may be apart, as float32 makes them, and relatively the radii of models' spheres."""
EPSG = re.compile(r'(?:AUTHORITY|ID)\["EPSG",\s*"?([0-9]+)"?\]\s*\]\s*$')


def projection_of(dataset: "xarray.Dataset", variable: str, axes: FieldAxes) -> Projection:
    """Return the attributes that describe a variable's projection; what its y implies, or none, where there are none."""
    names = [str(name) for name, one in dataset.variables.items() if NAME in one.attrs or "crs_wkt" in one.attrs]
    if variable:
        one = dataset[variable]
        text = str(one.encoding.get("grid_mapping", one.attrs.get("grid_mapping", "")))
        names = [word.rstrip(":") for word in text.split() if word.rstrip(":") in dataset.variables] or names[: len(names) == 1]
    if names:
        return {key: plain(value) for key, value in dataset[names[0]].attrs.items() if isinstance(value, str | float | int) or
                np.asarray(value).dtype.kind in "iuf"}  # fmt: skip
    y = coordinate_of(dataset, axes.y, "y")
    implied = IMPLIED.get(str(dataset[y].attrs.get("standard_name", ""))) if y else None
    return {NAME: implied} if implied else {}


def plain(value: Any) -> Any:
    """Return a value as JSON takes it."""
    return value if isinstance(value, str) else np.asarray(value).tolist()


def difference(own: Projection, other: Projection) -> str:
    """Return the parameter in which two projections differ; "" where they are the same, as far as both say."""
    if own.get(NAME) and other.get(NAME):
        return NAME if own[NAME] != other[NAME] else next((key for key in keys(own, other) if differs(key, own, other)), "")
    codes = [code(one) for one in (own, other)]
    return "crs_wkt" if all(codes) and codes[0] != codes[1] else ""


def keys(own: Projection, other: Projection) -> list[str]:
    """Return the parameters that are compared: those that both have, or one where the other has a default."""
    names = [key for key in {**own, **other} if key not in (*NOT_COMPARED, *RADII)]
    return [*(key for key in names if all(key in one or key in DEFAULTS for one in (own, other))), *RADII[:1]]


def differs(key: str, own: Projection, other: Projection) -> bool:
    first, second = (numbers(key, one) for one in (own, other))
    if first.size == 0 or second.size == 0:
        return False
    if key in RADII:
        return bool(abs(first[0] / second[0] - 1.0) > SPHERE) if second[0] else False
    if first.shape != second.shape:
        first, second = np.unique(first), np.unique(second)
    if first.shape != second.shape:
        return True
    distance = np.sort(first) - np.sort(second)
    if "longitude" in key:
        distance -= 360.0 * np.rint(distance / 360.0)
    return bool((np.abs(distance) > CLOSE * np.maximum(1.0, np.abs(second) / 1e3)).any())


def numbers(key: str, projection: Projection) -> Any:
    """Return a parameter as numbers, none where it is text; the radius of the Earth under either name."""
    names = RADII if key in RADII else (key,)
    value: Any = next((projection[name] for name in names if name in projection), DEFAULTS.get(key, []))
    try:
        return np.atleast_1d(np.asarray(value, np.float64)) if not isinstance(value, str) else np.zeros(0)
    except (TypeError, ValueError):
        return np.zeros(0)


def code(projection: Projection) -> str:
    """Return the number of a projection in the register of EPSG, where its text has it."""
    match = EPSG.search(str(projection.get("crs_wkt", projection.get("spatial_ref", ""))))
    return match[1] if match else ""
