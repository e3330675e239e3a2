"""Horizontal grids: whether two are the same points, and what brings fields of the one onto the other."""

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.inputs.axes import FieldAxes, coordinate_of, roles_of
from parampi.fields.inputs.other_tools import regridding
from parampi.fields.inputs.projections import Projection, difference, projection_of
from parampi.fields.inputs.units import Conversion, conversion, spelling
from parampi.fields.statistics import DatasetStatistics

if TYPE_CHECKING:
    import xarray

Floats = NDArray[np.floating[Any]]
CLOSE = 1e-2
"""How far points of one grid may lie apart, in steps of it: coordinates are often stored as float32."""
LEAST = 1e-6
"""How far they may in any case, in radians: what float32 makes of longitudes."""


@dataclass(frozen=True, eq=False)
class Axis:
    """An axis of a grid: its name, coordinates (None where the file has none, or `indexed`: bare indices) and units."""

    name: str
    values: Floats | None
    units: str
    size: int
    indexed: bool = False

    @classmethod
    def of(cls, name: str, values: Floats, units: str) -> "Axis":
        """Return an axis with these coordinates; bare indices are none."""
        indices = units == "1" and np.array_equal(values, np.arange(len(values)))
        return cls(name, None if indices else np.asarray(values, np.float64), units, len(values), bool(indices))

    @property
    def silent(self) -> bool:
        """Whether it does not say its units."""
        return spelling(self.units) == "1"

    @property
    def round(self) -> bool:
        """Whether it goes around the Earth, so that 360 degrees more are the same place."""
        if self.silent:
            return re.fullmatch(r"(nav_|r)?lon|longitude", self.name.lower()) is not None
        degrees = conversion(self.units, "degree")
        return degrees is not None and ("lon" in self.name.lower() or "east" in self.units.lower())

    @property
    def numbered(self) -> bool:
        """Whether it has no coordinates but numbers of points, from whatever first one."""
        return self.values is None or (self.silent and bool((np.abs(np.diff(self.values)) == 1).all()))

    @property
    def falling(self) -> bool:
        """Whether its coordinates are the indices of points, from the last to the first."""
        return self.values is not None and self.silent and np.array_equal(self.values, np.arange(self.size)[::-1])


@dataclass(frozen=True, eq=False)
class Grid:
    """The points of fields (y, x); `source` is where they come from, for messages.

    `places` are latitudes and longitudes (2, y, x) in degrees, where a file has these; `projection` is what it says of that.
    """

    y: Axis
    x: Axis
    source: str
    places: Floats | None = None
    projection: Projection = field(default_factory=dict)

    @property
    def bare(self) -> bool:
        """Whether nothing says where the points are."""
        return self.y.values is None and self.x.values is None and self.places is None

    @property
    def numbered(self) -> bool:
        """Whether its axes have no coordinates but numbers of points."""
        return self.y.numbered and self.x.numbered

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.size, self.x.size


@dataclass(frozen=True, eq=False)
class Placement:
    """The order of points along both axes in which fields (..., y, x) are on another grid; None leaves an axis as it is."""

    y: NDArray[np.intp] | None = None
    x: NDArray[np.intp] | None = None

    @property
    def changes(self) -> bool:
        return self.y is not None or self.x is not None

    def __call__(self, fields: Floats) -> Floats:
        if self.y is not None:
            fields = fields[..., self.y, :]
        return fields if self.x is None else fields[..., self.x]


def grid_of(dataset: "xarray.Dataset", axes: FieldAxes, source: str | Path, variable: str = "") -> Grid:
    """Return the grid of a variable with these axes; of fields that are no maps, what they have in memory."""
    if axes.fields:
        height = int(np.prod([dataset.sizes[axis] for axis in axes.fields[:-1]]))
        return Grid(Axis(axes.y, None, "1", height), Axis(axes.x, None, "1", int(dataset.sizes[axes.x])), str(source))
    y, x = axis_of(dataset, axes.y, "y", source), axis_of(dataset, axes.x, "x", source)
    return Grid(y, x, str(source), places_of(dataset, axes, variable), projection_of(dataset, variable, axes))


def places_of(dataset: "xarray.Dataset", axes: FieldAxes, variable_name: str) -> Floats | None:
    """Return latitudes and longitudes (2, y, x) of a curvilinear grid, the first where each time has its own; None where a file
    has none. Those that a variable names come before others."""
    by_role: dict[str, Floats] = {}
    named = str(dataset[variable_name].encoding.get("coordinates", "")).split() if variable_name else []
    for name, role in sorted(roles_of(dataset).items(), key=lambda item: (item[0] not in named, item[0])):
        variable = dataset[name]
        change = conversion(str(variable.attrs.get("units", "1")), "degree")
        others = [axis for axis in variable.dims if axis not in (axes.y, axes.x)]
        first = variable.size > 0 and set(others) <= set(axes.samples) and len(others) == variable.ndim - 2
        if role in ("y", "x") and first and variable.dtype.kind in "biuf" and change:
            variable = variable.isel(dict.fromkeys(others, 0))
            by_role.setdefault(role, change(np.asarray(variable.transpose(axes.y, axes.x).values, np.float64)))
    return np.stack([by_role["y"], by_role["x"]]) if len(by_role) == 2 else None


def grid_of_statistics(statistics: DatasetStatistics) -> Grid:
    """Return the grid of the fields that statistics are of."""
    (y_name, x_name), source = statistics.axes, "the statistics"
    y, x = Axis.of(y_name, statistics.y, statistics.y_units), Axis.of(x_name, statistics.x, statistics.x_units)
    return Grid(y, x, source, statistics.places, statistics.projection)


def axis_of(dataset: "xarray.Dataset", name: str, role: str, source: str | Path) -> Axis:
    """Return an axis with its coordinate, of its own name or along it alone; raise DataError for one with gaps."""
    size = int(dataset.sizes[name])
    coordinate = coordinate_of(dataset, name, role)
    if not coordinate:
        return Axis(name, None, "1", size)
    values = np.asarray(dataset[coordinate].values, np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{source}: the coordinate {coordinate} has missing values; give it all")
    return Axis.of(name, values, str(dataset[coordinate].attrs.get("units", "1")))


def placement(source: Grid, target: Grid) -> Placement:
    """Return what brings fields of `source` onto `target`. Raise DataError where these are not the same points."""
    if source.shape != target.shape:
        raise DataError(
            f"{source.source} has fields of {source.y.size} x {source.x.size} points along {source.y.name} and "
            f"{source.x.name}, {target.source} of {target.y.size} x {target.x.size}; all must have the same grid: bring "
            f"them onto one, {tool_for(source, target)}"
        )
    require_projection(source, target)
    located = source.places is not None and target.places is not None
    if located and (source.numbered or target.numbered):
        return placement_of_places(source, target)
    axes = ((source.y, target.y), (source.x, target.x))
    placed = Placement(*(order_along(own, other, source.source, target.source) for own, other in axes))
    if located:
        require_places(source, target, placed)
    return placed


def require_projection(source: Grid, target: Grid) -> None:
    """Raise DataError for another projection, naming both."""
    key = difference(source.projection, target.projection)
    if key:
        own, other = (grid.projection.get(key, "not said") for grid in (source, target))
        raise DataError(
            f"{source.source}: its grid has {key} = {own}, that of {target.source} {other}, so that the same {source.y.name} "
            f"and {source.x.name} are other places; bring both onto one grid, {tool_for(source, target)}"
        )


def require_places(source: Grid, target: Grid, placed: Placement) -> None:
    """Raise DataError where points of the same y and x are at other latitudes and longitudes."""
    assert source.places is not None and target.places is not None
    own, targets = placed(source.places), target.places
    if np.array_equal(own, targets, equal_nan=True):
        return
    far = distance(on_sphere(own) - on_sphere(targets))
    if np.nanmax(far, initial=0.0) > tolerance_of(on_sphere(targets)):
        row, column = (int(index) for index in np.unravel_index(int(np.nanargmax(far)), far.shape))
        (lat, lon), (target_lat, target_lon) = own[:, row, column], targets[:, row, column]
        raise DataError(
            f"{source.source}: a point is at {lat:.6g} N, {lon:.6g} E, that of {target.source} at the same {source.y.name} and "
            f"{source.x.name} at {target_lat:.6g} N, {target_lon:.6g} E; bring both onto one grid, {tool_for(source, target)}"
        )


def tool_for(source: Grid, target: Grid) -> str:
    """Return in words what brings fields of one of these grids onto the other."""
    placed = ["degree"] * (source.places is not None or target.places is not None)
    return regridding([source.source, target.source], source.x.units, target.x.units, *placed)


def tolerance_of(points: Floats) -> float:
    """Return how far points of one grid may be apart, by its usual step."""
    steps = np.concatenate([distance(np.diff(points, axis=axis)).ravel() for axis in (1, 2)])
    steps = steps[steps > 0]  # and no NaN
    return max(CLOSE * float(np.median(steps)) if steps.size else 0.0, LEAST)


def placement_of_places(source: Grid, target: Grid) -> Placement:
    """Return the directions of both axes in which the points of curvilinear grids are the same; gaps fit any place."""
    assert source.places is not None and target.places is not None
    if np.array_equal(source.places, target.places, equal_nan=True):
        return Placement()
    points, targets = on_sphere(source.places), on_sphere(target.places)
    tolerance = tolerance_of(targets)
    reverse = (None, np.arange(source.y.size)[::-1]), (None, np.arange(source.x.size)[::-1])
    for y, x in itertools.product(*reverse):
        placed = Placement(y, x)
        if np.nanmax(distance(placed(points) - targets), initial=0.0) <= tolerance:
            return placed
    (lat, lon), (target_lat, target_lon) = source.places[:, 0, 0], target.places[:, 0, 0]
    raise DataError(
        f"{source.source}: the first point of ({source.y.name}, {source.x.name}) is at {lat:.6g} N, {lon:.6g} E, that of "
        f"{target.source} at {target_lat:.6g} N, {target_lon:.6g} E, and no other direction fits; bring "
        f"both onto one grid, {tool_for(source, target)}"
    )


def on_sphere(places: Floats) -> Floats:
    """Return the points (3, y, x) of the unit sphere at latitudes and longitudes (2, y, x) in degrees."""
    lat, lon = np.deg2rad(places)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def distance(vectors: Floats) -> Floats:
    """Return the lengths (y, x) of vectors (3, y, x)."""
    return np.asarray(np.sqrt((vectors**2).sum(0)))


def order_along(own: Axis, other: Axis, source: str, target: str) -> NDArray[np.intp] | None:
    """Return the order in which points of an axis are those of another; None where they are in order, or have no coordinate.

    Where one of them does not say its units, their numbers are compared.
    """
    if own.values is None or other.values is None:
        reversed_indices = (own.falling and other.indexed) or (own.indexed and other.falling)
        return np.arange(own.size)[::-1] if own.size > 1 and reversed_indices else None
    change = Conversion() if own.silent or other.silent else conversion(own.units, other.units)
    if change is None:
        raise DataError(
            f"{source}: {own.name} is in {own.units!r}, but {other.name} of {target} in {other.units!r}; give both in the same "
            f"units"
        )
    values, steps = change(own.values), np.abs(np.diff(other.values))
    tolerance = CLOSE * float(steps[steps > 0].min() if (steps > 0).any() else 1.0)
    turn = turn_of(own if other.silent else other) if own.round or other.round else 0.0
    for order in orders(values, other.values, turn):
        if np.abs(around(values[order] - other.values, turn)).max() <= tolerance:
            return None if np.array_equal(order, np.arange(len(order))) else order
    first = int(np.argmax(np.abs(values - other.values) > tolerance))
    raise DataError(
        f"{source}: point {first} of {own.name} is at {own.values[first]:.6g} {own.units}, that of {target} at "
        f"{other.values[first]:.6g} {other.units}, and no other direction or origin fits; bring both onto one grid, "
        f"{regridding([source, target], own.units, other.units)}"
    )


def turn_of(axis: Axis) -> float:
    """Return a full turn in the units of an axis; in degrees where it has none."""
    degrees = conversion("degree", "degree" if axis.silent else axis.units)
    return float(degrees(np.array(360.0))) if degrees else 0.0


def around(distances: Floats, turn: float) -> Floats:
    """Return the shortest distances on a circle of this length, 0 for a line."""
    return distances - turn * np.rint(distances / turn) if turn else distances


def orders(values: Floats, targets: Floats, turn: float) -> list[NDArray[np.intp]]:
    """Return orders of points that may fit: as they are, the other way, and around the Earth from where the target begins."""
    same = np.arange(len(values))
    tried = [same, same[::-1]]
    if turn:
        tried += [np.roll(order, -int(np.abs(around(values[order] - targets[0], turn)).argmin())) for order in tried]
    return tried
