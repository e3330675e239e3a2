"""An ensemble cut into files for other tools: of a member, a start or a lead time each, with one axis of time, the first."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from parampi.errors import ConfigError, OutputError
from parampi.fields.atomic_files import check_target, replacing
from parampi.fields.ensembles.opened import FACTS, open_file

if TYPE_CHECKING:
    import xarray

By = Literal["member", "start", "lead_time"]
LEAD = "lead_time"
LEFT_OUT = ("parampi_complete", "parampi_parts", "comment")
"""Attributes that are not true of a file that was cut out."""
Selection = dict[str, int]


def split(path: Path, folder: Path, by: By, overwrite: bool = False) -> list[Path]:
    """Write an ensemble's fields into files of a folder, one for each member, start or lead time; return their names. Where
    members have several starts and lead times, each start has files of its own. The axis of time comes first: valid times, or
    lead times where no start has a date. What members cost is left out. One file's fields are in memory at a time.

    Raises DataError for what is no ensemble, ConfigError where it has no such axis, OutputError for what exists.
    """
    dataset = open_file(path).to_xarray()
    with dataset:
        times = [str(name) for name in dataset["complete"].dims if name != "member"]
        chosen = list(selections(dataset, path, times, by))
        names = [folder / f"{'_'.join(label(dataset, axis, index) for axis, index in one.items())}.nc" for one in chosen]
        if len(set(names)) < len(names):
            raise OutputError(f"two starts of {path} have the same date, and so the same file: {names[0]}")
        for name in names:
            check_target(name, overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        for name, selection in zip(names, chosen, strict=True):
            with replacing(name) as partial:
                one = one_file(dataset, selection, times)
                # tools that join files along an axis want one without a limit
                unlimited = [name for name in ("time", *times) if name in one.dims]
                one.to_netcdf(partial, engine="netcdf4", unlimited_dims=unlimited)
    return names


def selections(dataset: "xarray.Dataset", path: Path, times: list[str], by: By) -> Iterator[Selection]:
    """Yield what each file has of the axes that are cut."""
    starts = [name for name in times if name != LEAD]
    axes = {"member": ["member"], "start": starts, LEAD: [name for name in times if name == LEAD]}[by]
    if not axes:
        has = ", ".join(["member", *(["start"] if starts else []), *([LEAD] if LEAD in times else [])])
        raise ConfigError(f"{path} has no {by} to split by; it has {has}")
    if by == "member" and len(times) > 1:
        axes += starts
    for indices in product(*(range(dataset.sizes[axis]) for axis in axes)):
        yield dict(zip(axes, indices, strict=True))


def label(dataset: "xarray.Dataset", axis: str, index: int) -> str:
    """Return the part of a file's name that says what it has: numbers of members, dates of starts, else places from 1
    on; 0 is the state that forecasts start from."""
    if axis == "member":
        return f"member_{int(dataset['realization'][index]):03d}"
    name = LEAD if axis == LEAD else "start"
    values = dataset[axis].values
    if np.issubdtype(values.dtype, np.datetime64):
        return f"{name}_{np.datetime_as_string(values[index], 's').replace('-', '').replace(':', '')}"
    start = 0 if axis == LEAD and values[0] == np.zeros((), values.dtype) else 1
    return f"{name}_{index + start:04d}"


def one_file(dataset: "xarray.Dataset", selection: Selection, times: list[str]) -> "xarray.Dataset":
    """Return the fields of a file, time first. Of several times it keeps one, and what there is one of becomes an attribute:
    tools take a second axis of time, or coordinates of members, for an error."""
    dropped = [name for name in FACTS if name in dataset.variables]
    cut = dataset.drop_vars([*dropped, "member"]).isel(selection)
    left = next((name for name in times if name not in selection), None)
    if left is not None and left != "time" and "valid_time" in cut.variables:
        cut = cut.swap_dims({left: "valid_time"}).rename(valid_time="time")
        cut["time"].attrs.setdefault("standard_name", "time")
        left = "time"
    if "member" in cut.dims:
        cut = cut.assign_coords(member=("member", cut["realization"].values, cut["realization"].attrs))
    single = {str(name): as_attribute(cut[name].values) for name in cut.coords if not cut[name].dims}
    beside = [name for name in cut.coords if name not in cut.dims and set(cut[name].dims) <= {left, "member"}]
    history, cut = f"{cut.attrs.get('history', '')}; split by parampi", cut.drop_vars(beside)
    for variable in cut.variables.values():
        variable.encoding.pop("coordinates", None)
        variable.attrs.pop("ancillary_variables", None)
    cut.attrs = {name: value for name, value in cut.attrs.items() if name not in LEFT_OUT} | single | {"history": history}
    order: list[Any] = [name for name in (left, "member") if name in cut.dims]
    return cut.transpose(*order, ...)


def as_attribute(value: Any) -> Any:
    """Return a scalar as attributes hold it, dates as text."""
    return np.datetime_as_string(value, "s") if np.issubdtype(value.dtype, np.datetime64) else value.item()
