"""Grids: coordinates of cells and their bounds, static fields and a mask, taken over from a file into an ensemble file."""

from dataclasses import dataclass, field
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.channels import RESERVED

LOCATIONS = ("latitude", "longitude", "projection_x_coordinate", "projection_y_coordinate")
"""Standard names of variables that say where cells are."""


@dataclass(frozen=True)
class GridVariable:
    """A variable of a grid file: its axes as the ensemble names them, values and attributes."""

    name: str
    axes: tuple[str, ...]
    values: NDArray[Any]
    attributes: dict[str, Any]

    @property
    def locates(self) -> bool:
        """Whether it says where cells are."""
        units = str(self.attributes.get("units", ""))
        return self.attributes.get("standard_name") in LOCATIONS or units.startswith("degrees_")


@dataclass(frozen=True)
class GridMetadata:
    """Additions to an ensemble's grid.

    axes       attributes of the ensemble's y and x
    points     coordinates of y and x where the statistics have none
    variables  further variables
    mask       True where fields are kept; None to keep all
    sizes      of the axes of bounds
    """

    axes: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: tuple[GridVariable, ...] = ()
    mask: NDArray[np.bool_] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    points: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def coordinates(self) -> list[str]:
        """Names of variables that say where cells are, bounds apart."""
        return [variable.name for variable in self.variables if variable.locates and variable.name not in self.bounds]

    @property
    def bounds(self) -> set[str]:
        """Names of variables that are bounds of others."""
        attributes = [*self.axes.values(), *(variable.attributes for variable in self.variables)]
        return {str(one["bounds"]) for one in attributes if "bounds" in one}

    @property
    def mapping(self) -> str:
        """Name of the variable that describes a map projection; "" where there is none."""
        return next((variable.name for variable in self.variables if "grid_mapping_name" in variable.attributes), "")

    def write(self, file: netCDF4.Dataset) -> None:
        """Write all of it into an ensemble file that has y and x. Raise OutputError for a name that is taken."""
        for name, attributes in self.axes.items():
            file[name].setncatts(attributes)
            if name in self.points:
                file[name][:] = self.points[name]
        for name, size in self.sizes.items():
            if name not in file.dimensions:
                file.createDimension(name, size)
        for one in self.variables:
            if one.name in file.variables or one.name in RESERVED:
                raise OutputError(f"output.grid_variables: {one.name} is a name that ensemble files use; rename it in the file")
            gaps = one.values.dtype.kind == "f" and bool(np.isnan(one.values).any())
            variable = file.createVariable(one.name, one.values.dtype, one.axes, fill_value=np.nan if gaps else None)
            variable.setncatts(one.attributes | self.location_attributes(one))
            variable[...] = one.values

    def location_attributes(self, variable: GridVariable) -> dict[str, str]:
        """Return the attributes that tell where the cells of a static field are, as far as it has none itself."""
        if variable.locates or variable.name in self.bounds or len(variable.axes) < 2:
            return {}
        attributes = {"coordinates": " ".join(self.coordinates), "grid_mapping": self.mapping}
        return {key: value for key, value in attributes.items() if value and key not in variable.attributes}

    def masked(self, fields: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return fields (C, y, x), NaN outside the mask."""
        return fields if self.mask is None else np.where(self.mask, fields, np.nan)
