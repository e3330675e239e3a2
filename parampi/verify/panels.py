"""Panels of fields: maps, lines, points on the Earth, and one layer of what has more axes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields import DatasetStatistics
from parampi.verify.drawing import INK, pretty

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.floating[Any]]
LINE_ASPECT, GLOBE_ASPECT = 1.6, 2.0


def is_line(statistics: DatasetStatistics) -> bool:
    """Return whether fields have one axis along which there is an order."""
    return statistics.dimensions is not None and len(statistics.sizes) == 1 and statistics.dimensions.ordered


def points_on_earth(statistics: DatasetStatistics) -> tuple[Floats, Floats] | None:
    """Return latitudes and longitudes of all points where fields are cells or faces that have them; None for others."""
    if statistics.dimensions is None or statistics.dimensions.ordered:
        return None
    found = {}
    for one in statistics.dimensions.coordinates:
        if one.horizontal and one.axes == statistics.axis_names:
            north = one.attributes.get("standard_name") == "latitude" or "north" in one.attributes.get("units", "")
            found["latitude" if north else "longitude"] = one.values.ravel()
    return (found["latitude"], found["longitude"]) if len(found) == 2 else None


def layer(statistics: DatasetStatistics) -> tuple[int, str]:
    """Return which layer (y, x) of fields of more axes is shown, the middle one, and in words which it is."""
    dimensions = statistics.dimensions
    if dimensions is None or len(dimensions.sizes) < 3 or points_on_earth(statistics) is not None:
        return 0, ""
    sizes = dimensions.sizes[:-2]
    middle = tuple(size // 2 for size in sizes)
    words = ", ".join(f"{name} {at + 1} of {size}" for name, at, size in zip(dimensions.names, middle, sizes, strict=False))
    return int(np.ravel_multi_index(middle, sizes)), words


def along_axis(statistics: DatasetStatistics, place: int) -> tuple[Floats, str]:
    """Return the coordinate of an axis of fields, numbers of points where it has none, and its name with units."""
    dimensions = statistics.dimensions
    assert dimensions is not None
    name = dimensions.names[place]
    own = [one for one in dimensions.coordinates if one.axes == (name,) and one.name == name]
    values = own[0].values if own else np.arange(dimensions.sizes[place], dtype=np.float64)
    units = own[0].attributes.get("units", "1") if own else "1"
    return values, f"{name} ({units})"


def map_axes(statistics: DatasetStatistics) -> tuple[tuple[Floats, str], tuple[Floats, str]]:
    """Return coordinates and labels of the vertical and the horizontal axis of panels."""
    if points_on_earth(statistics) is not None:
        return (statistics.y, along("y", "degrees_north")), (statistics.x, along("x", "degrees_east"))
    if statistics.dimensions is None or len(statistics.sizes) < 2:
        x = along("x", statistics.x_units) if statistics.dimensions is None else along_axis(statistics, 0)[1]
        y = along("y", statistics.y_units) if statistics.dimensions is None else ""
        return (statistics.y, y), (statistics.x, x)
    return along_axis(statistics, len(statistics.sizes) - 2), along_axis(statistics, len(statistics.sizes) - 1)


def along(axis: str, units: str) -> str:
    """Return the label of an axis of the map."""
    return {"degrees_east": "longitude (°E)", "degrees_north": "latitude (°N)"}.get(units, f"{axis} ({pretty(units)})")


def draw_line(axis: "Axes", field: Floats, statistics: DatasetStatistics, colours: Any) -> None:
    """Draw a field of one axis."""
    places, _ = along_axis(statistics, 0)
    axis.plot(places, field.ravel(), color=INK, linewidth=1.2)
    axis.set(xlim=(min(places[0], places[-1]), max(places[0], places[-1])), ylim=(colours.norm.vmin, colours.norm.vmax))
    axis.locator_params(nbins=4)


def draw_points(axis: "Axes", field: Floats, places: tuple[Floats, Floats], colours: Any) -> None:
    """Draw a field of points on the Earth."""
    latitude, longitude = places
    size = float(np.clip(4000 / field.size, 0.5, 30))
    axis.scatter(longitude, latitude, c=field.ravel(), cmap=colours.cmap, norm=colours.norm, s=size, linewidths=0)
    axis.locator_params(nbins=4)
