"""Which variables of a file are fields, where nobody names them."""

from pathlib import Path
from typing import TYPE_CHECKING

from parampi.errors import DataError
from parampi.fields.inputs.axes import FIELDS, field_axes

if TYPE_CHECKING:
    import xarray

BOUND = ("bounds", "climatology")
"""Attributes that name a variable of cell bounds."""


def field_names(dataset: "xarray.Dataset", path: Path) -> tuple[str, ...]:
    """Return the variables with the axes of the first one that has at least three; of an ensemble the fields of its members.
    Raise DataError where there is none."""
    bounds = {str(one.attrs.get(key)) for one in dataset.variables.values() for key in BOUND if key in one.attrs}
    bounds |= {str(one.encoding.get(key)) for one in dataset.variables.values() for key in BOUND if key in one.encoding}
    fields = dataset.encoding.get(FIELDS, ()) or ("y", "x")
    of_members = member_axes(dataset)
    candidates = {
        str(name): variable.dims
        for name, variable in dataset.data_vars.items()
        if variable.ndim > len(fields)
        and of_members < {*map(str, variable.dims)}
        and name not in bounds
        and variable.dtype.kind in "biuf"
        and field_axes(dataset, str(name))
    }
    if not candidates:
        present = ", ".join(map(str, dataset.variables)) or "no variables"
        raise DataError(
            f"{path} has no variable of samples (..., {', '.join(fields)}); it has {present}; "
            "--field-axes names the axes of fields that are no maps"
        )
    first = next(iter(candidates.values()))
    return tuple(name for name, axes in candidates.items() if axes == first)


def member_axes(dataset: "xarray.Dataset") -> set[str]:
    """Return the axes that fields of members have beside their own in an ensemble, along which it says what is complete; none
    in other data."""
    if not {"complete", "realization"} <= {*map(str, dataset.variables)}:
        return set()
    return {*map(str, dataset["complete"].dims)}
