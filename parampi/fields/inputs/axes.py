"""Axes of a variable: known by their attributes as CF and COARDS have them, then by usual names, then by place.

cf_xarray reads the attributes. Fields come to the network as (y, x); whatever axes stand before these are of samples or levels.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parampi.fields.inputs.units import conversion

if TYPE_CHECKING:
    import xarray

KINDS = {"latitude": "y", "Y": "y", "longitude": "x", "X": "x", "time": "time", "T": "time", "vertical": "level", "Z": "level"}
"""Roles of the coordinates and axes of cf_xarray, by its names."""
NAMES = {
    "y": r"y|lat|latitude|nav_lat|rlat|nj|yc|yh|yq|south_north|northing|yu_ocean|yt_ocean|j",
    "x": r"x|lon|longitude|long|nav_lon|rlon|ni|xc|xh|xq|west_east|easting|xu_ocean|xt_ocean|i",
    "time": r"time\d?|t|times|valid_time|forecast_time|xtime|date|initial_time.*",
    "level": r"z|i?lev|levels?|plev|pressure.*|isobaric.*|height|depth|altitude|sigma|hybrid|lev_.*|bottom_top|model_level.*|"
    r"channels?|components?",
}
"""Usual names of axes without attributes."""
FIELDS = "parampi_field_axes"
"""Where the names of the axes of fields are kept that are no maps."""
ROLES = "parampi_roles"
"""Where the roles are kept that `roles_of` has worked out for a data set."""


@dataclass(frozen=True)
class FieldAxes:
    """The axes of a variable: y and x by name, `level` and `time` or "", and all but y and x, of samples, in their order.
    `fields`: those of fields that are no maps, of which y and x are what is in memory (`FieldDimensions`)."""

    y: str
    x: str
    level: str
    samples: tuple[str, ...]
    time: str = ""
    fields: tuple[str, ...] = ()

    @property
    def stored(self) -> tuple[str, ...]:
        """Axes of fields as the file has them."""
        return self.fields or (self.y, self.x)


def with_coordinates(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """Return a data set in which all is a coordinate that says where or when others are, whether or not they name it: of one
    axis, or of two and latitude or longitude."""
    for kept in (dataset.attrs, dataset.encoding):
        kept.pop("coordinates", None)  # of the whole file; cf_xarray would look at no others
    candidates = [name for name, one in dataset.data_vars.items() if one.ndim in (1, 2)]
    roles = roles_of(dataset.set_coords(candidates))
    names = [
        name
        for name in candidates
        if (dataset[name].ndim == 1 and (name in roles or is_named_coordinate(dataset, str(name))))
        or (dataset[name].ndim == 2 and roles.get(str(name)) in ("y", "x") and is_angle(dataset[name]))
    ]
    dataset = dataset.set_coords(names)
    dataset.encoding[ROLES] = roles_of(dataset)
    return dataset


def is_named_coordinate(dataset: "xarray.Dataset", name: str) -> bool:
    """Return whether a variable of one axis has the usual name of a coordinate; "t" is more often a temperature."""
    return len(name) > 1 and bool(role_by_name(name)) and dataset[name].dims[0] not in dataset.variables


def is_angle(variable: "xarray.DataArray") -> bool:
    return conversion(str(variable.attrs.get("units", "1")), "degree") is not None


def roles_of(dataset: "xarray.Dataset") -> dict[str, str]:
    """Return the role of every coordinate and axis that says what it is: y, x, time or level."""
    import cf_xarray  # noqa: F401

    if ROLES in dataset.encoding:
        return dict(dataset.encoding[ROLES])
    roles: dict[str, str] = {}
    accessor = dataset.cf
    for kinds in (accessor.axes, accessor.coordinates):
        for kind, names in kinds.items():
            for name in names:
                roles.setdefault(str(name), KINDS[kind])
    for name, one in dataset.coords.items():
        if str(name) not in roles and one.ndim == 1 and is_pressure_axis(one):
            roles[str(name)] = "level"
    return roles


def is_pressure_axis(variable: "xarray.DataArray") -> bool:
    """Return whether a coordinate is of pressures that rise or fall, as those of levels do."""
    units = str(variable.attrs.get("units", ""))
    if variable.dtype.kind not in "iuf" or not units or conversion(units, "Pa") is None:
        return False
    steps = np.diff(np.asarray(variable.values, np.float64))
    return bool((steps > 0).all() or (steps < 0).all())


def coordinate_of(dataset: "xarray.Dataset", axis: str, role: str, kinds: str = "biuf") -> str:
    """Return the coordinate along an axis, of a type of `kinds`: the one of its name unless that is of bare numbers of points
    and another says that it has the role; "" where there is none."""
    along = [str(name) for name, one in dataset.coords.items() if one.dims == (axis,) and one.dtype.kind in kinds]
    roles = roles_of(dataset)
    fitting = [name for name in along if roles.get(name) == role] or [name for name in along if role_by_name(name) == role]
    if axis in along and (axis in fitting or not fitting or dataset[axis].attrs.get("units")):
        return axis
    return next(iter(fitting), next(iter(along), ""))


def role_by_name(name: str) -> str:
    return next((role for role, pattern in NAMES.items() if re.fullmatch(pattern, name, re.IGNORECASE)), "")


def field_axes(dataset: "xarray.Dataset", variable: str, expected: tuple[str, str] | None = None) -> FieldAxes | None:
    """Return the axes of a variable; None where it has fewer than two.

    `expected` are names of y and x that others use: they come before any guess.
    """
    axes = [str(axis) for axis in dataset[variable].dims]
    roles, fields = roles_of(dataset), dataset.encoding.get(FIELDS, ())
    if fields:
        return named_axes(axes, roles, fields) if set(fields) <= set(axes) else None
    if len(axes) < 2:
        return None
    known = {axis: roles.get(axis) or roles_of_auxiliary(dataset, variable, axis, roles) for axis in axes}
    if expected and set(expected) <= set(axes) and not ({"y", "x"} & set(known.values())):
        known |= dict(zip(expected, ("y", "x"), strict=True))
    known = {axis: role or role_by_name(axis) for axis, role in known.items()}
    y, x = horizontal(axes, known)
    rest = [axis for axis in axes if axis not in (y, x)]
    levels = [axis for axis in rest if known[axis] == "level"]
    time = next((axis for axis in rest if known[axis] == "time"), "")
    return FieldAxes(y, x, levels[-1] if levels else "", tuple(rest), time)


def named_axes(axes: list[str], roles: dict[str, str], fields: tuple[str, ...]) -> FieldAxes:
    """Return the axes of a variable whose fields have those of these names."""
    rest = [axis for axis in axes if axis not in fields]
    level, time = ([axis for axis in rest if (roles.get(axis) or role_by_name(axis)) == role] for role in ("level", "time"))
    y, x = " ".join(fields[:-1]), fields[-1]
    return FieldAxes(y, x, level[-1] if level else "", tuple(rest), time[0] if time else "", fields)


def roles_of_auxiliary(dataset: "xarray.Dataset", variable: str, axis: str, roles: dict[str, str]) -> str:
    """Return the role of an axis by a coordinate of another name along it alone."""
    coordinates = (str(name) for name, one in dataset[variable].coords.items() if one.dims == (axis,) and name != axis)
    return next((roles[name] for name in coordinates if name in roles), "")


def horizontal(axes: list[str], known: dict[str, str]) -> tuple[str, str]:
    """Return y and x: those of that role, where there is one each; else the last two axes that have no other role."""
    ys, xs = ([axis for axis in axes if known[axis] == role] for role in ("y", "x"))
    free = [axis for axis in axes if known[axis] not in ("time", "level")]
    if len(ys) == len(xs) == 1:
        return ys[0], xs[0]
    if len(ys) == 1 and len(free) > 1:
        return ys[0], next(axis for axis in reversed(free) if axis != ys[0])
    if len(xs) == 1 and len(free) > 1:
        return next(axis for axis in reversed(free) if axis != xs[0]), xs[0]
    last = free[-2:] if len(free) > 1 else axes[-2:]
    return last[0], last[1]
