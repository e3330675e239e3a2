"""Forecasts with axes of their starts and of steps, as ECMWF has them: a field is valid a step after its start."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.inputs.units import conversion

if TYPE_CHECKING:
    import xarray

START = "forecast_reference_time"
STEP = re.compile(
    r"step|lead|lead_?times?|lead_?hours?|forecast_(period|hour|step|lead).*|prediction_timedelta|fhour|fcst_?(hour|step)s?",
    re.IGNORECASE,
)
"""Usual names of steps."""


def is_step(dataset: "xarray.Dataset", axis: str) -> bool:
    """Return whether an axis is of steps of a forecast."""
    return bool(STEP.fullmatch(axis)) or any(
        one.attrs.get("standard_name") == "forecast_period" for one in dataset.coords.values() if one.dims == (axis,)
    )


def step_name(dataset: "xarray.Dataset", variable: str) -> str:
    """Return the coordinate of the steps of a variable: of an axis that it has, or of no axis; "" where there is none."""
    names = [
        str(name)
        for name, one in dataset[variable].coords.items()
        if one.dtype.kind in "iuf" and (STEP.fullmatch(str(name)) or one.attrs.get("standard_name") == "forecast_period")
    ]
    return next((name for name in names if dataset[name].ndim <= 1), "")


def steps_in(dataset: "xarray.Dataset", name: str, units: str, path: Path) -> NDArray[np.float64]:
    """Return the steps in the unit of times since a date. Raise DataError where they have none, or no step."""
    own, unit = str(dataset[name].attrs.get("units", "")), units.split(" since ")[0].strip()
    steps = np.asarray(dataset[name].values, np.float64).reshape(-1)
    change = conversion(own, unit)
    if change is None or not own or not np.isfinite(steps).all():
        has = f"is in {own!r}" if own else "has no units"
        raise DataError(
            f"{path}: {name} {has}, so that the times of its fields are not known (start and step are in {units!r} and "
            f"{own!r}); write its units, such as hours, or a coordinate valid_time"
        )
    return np.asarray(change(steps), np.float64)
