"""Merging into one plain file: an ensemble in parts, or several ensembles that a job array drew. Needs no MPI."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from parampi.errors import DataError
from parampi.fields.atomic_files import check_target, new_partial, put_in_place, writing
from parampi.fields.atomic_folders import abandon_folder, begin_folder, put_folder_in_place
from parampi.fields.ensemble_axes import Order
from parampi.fields.ensemble_folders import ENDING
from parampi.fields.failures import intact
from parampi.fields.field_dimensions import rank_of
from parampi.fields.json_text import to_json
from parampi.fields.netcdf_files import read_mapping
from parampi.fields.stores.check import channels, check_parts
from parampi.fields.stores.member_order import order_of
from parampi.fields.stores.parts import PARTS
from parampi.fields.stores.reader import open_ensemble
from parampi.fields.stores.zarr_file import ZarrFile

RUN_ATTRIBUTES = (
    "rank_layout",
    "ranks",
    "time_ranks",
    "mpi",
    "parampi_ensemble",
    "parampi_run",
    "parampi_complete",
    "history",
    "parampi_config",
)
"""Global attributes in which the parts of a job array may differ."""
JOINT_ATTRIBUTES = (PARTS, "comment")
"""Global attributes of a joint file alone."""


@dataclass(frozen=True)
class Merged:
    """Numbers of members, of finished fields and of all fields; and variables that were left out."""

    members: int
    finished: int
    fields: int
    dropped: list[str]


def merge(
    paths: Sequence[Path], output: Path, compression: int = 0, overwrite: bool = False, order: Order | None = None
) -> Merged:
    """Write the members of ensemble files, one or several of the same kind, into one plain file, a member in memory at a time.

    Statistics over members are kept for one file and left out for several, of which they would not be true. `order`: whether
    members or times are the first axes; by default as in the first file.

    Raises DataError where parts are missing or damaged, files do not fit, or a member is in several of them; OutputError for
    the output.
    """
    check_target(output, overwrite)
    with ExitStack() as stack:
        files = [stack.enter_context(open_ensemble(path, parts=False)) for path in paths]
        for file, path in zip(files, paths, strict=True):
            require_whole(file, path)
        require_different_members(files, paths)
        for file, path in zip(files, paths, strict=True):
            require_same_kind(file, path, files[0], paths[0])
        for file in files:
            file.set_auto_mask(False)
        with new_file(output, overwrite) as target:
            merged = copy_all(files, target, compression, order or order_of(files[0]))
    return merged


@contextmanager
def new_file(path: Path, overwrite: bool) -> Iterator[Any]:
    """Open a file, or a Zarr store where its name is one's, for writing. It gets the name when it is whole, and is
    removed after an error."""
    folder = path.suffix == ENDING
    with writing(path):
        partial = begin_folder(path) if folder else new_partial(path)
        try:
            with ZarrFile(partial, "w-") if folder else netCDF4.Dataset(partial, "w") as file:
                yield file
        except BaseException:
            abandon_folder(path)
            raise
        (put_folder_in_place if folder else put_in_place)(path, overwrite)


def require_whole(file: netCDF4.Dataset, path: Path) -> None:
    """Raise DataError where parts of an ensemble are missing or damaged."""
    by_part = check_parts(Path(path), channels(file), str(getattr(file, "parampi_ensemble", "")))
    problems = [problem for part_problems in by_part.values() for problem in part_problems]
    if problems:
        raise DataError(f"{path} cannot be merged: " + "; ".join(problems))


def require_different_members(files: Sequence[netCDF4.Dataset], paths: Sequence[Path]) -> None:
    """Raise DataError for a member that comes twice."""
    path_of: dict[int, Path] = {}
    for file, path in zip(files, paths, strict=True):
        for number in np.asarray(file["realization"][:]).tolist():
            if number in path_of:
                raise DataError(f"member {number} is in {path_of[number]} and in {path}; merge files of different members")
            path_of[number] = path


def require_same_kind(file: netCDF4.Dataset, path: Path, first: netCDF4.Dataset, first_path: Path) -> None:
    """Raise DataError for a file with another grid, other variables or another seed than the first."""
    for name in file.variables:
        if name not in first.variables:
            raise DataError(f"{first_path} has no {name}, which {path} has; merge ensembles of one kind")
    for name, variable in first.variables.items():
        if name not in file.variables:
            raise DataError(f"{path} has no {name}, which {first_path} has; merge ensembles of one kind")
        other = file[name]
        if other.dimensions != variable.dimensions or other.shape[1:] != variable.shape[1:]:
            raise DataError(
                f"{name} is {axes_of(other)} in {path} but {axes_of(variable)} in {first_path}; merge ensembles of one kind"
            )
        shared = "member" not in variable.dimensions and not is_summary(first, name)
        if shared and not np.array_equal(other[:], variable[:]):
            raise DataError(f"{path} has other values of {name} than {first_path}; merge ensembles of one kind")
    for name in set(first.ncattrs()) - set(RUN_ATTRIBUTES) - set(JOINT_ATTRIBUTES) - {"software", "title"}:
        if getattr(file, name, None) != getattr(first, name):
            raise DataError(f"{path} has another {name} than {first_path}; merge ensembles that one network drew alike")


def axes_of(variable: Any) -> str:
    """Return names and lengths of a variable's axes, as text."""
    return ", ".join(f"{name} {size}" for name, size in zip(variable.dimensions, variable.shape, strict=True))


def is_summary(file: netCDF4.Dataset, name: str) -> bool:
    """Tell whether a variable is a statistic over members."""
    return "realization: " in str(getattr(file[name], "cell_methods", "")) or name.endswith("_quantiles")


def copy_all(files: Sequence[netCDF4.Dataset], target: netCDF4.Dataset, compression: int, order: Order) -> Merged:
    """Copy attributes, axes and variables of all files."""
    first = files[0]
    dropped = [name for name in first.variables if len(files) > 1 and is_summary(first, name)]
    finished = sum(int((file["complete"][:] == 1).sum()) for file in files)
    total = sum(file["complete"].size for file in files)
    copy_attributes(files, target)
    target.setncattr("parampi_complete", np.int32(finished == total))
    for name, dimension in first.dimensions.items():
        size = sum(len(file.dimensions["member"]) for file in files) if name == "member" else len(dimension)
        target.createDimension(name, size)
    fields, times = channels(first), first["complete"].ndim - 1 if order == "time_first" else 0
    for name in first.variables:
        if name not in dropped:
            copy_variable(files, target, name, packing_of(first[name], name in fields, compression), times)
    return Merged(len(target.dimensions["member"]), finished, total, dropped)


def copy_attributes(files: Sequence[netCDF4.Dataset], target: netCDF4.Dataset) -> None:
    """Copy the global attributes that are true of all files."""
    first = files[0]
    kept = [name for name in first.ncattrs() if name not in JOINT_ATTRIBUTES]
    kept = [name for name in kept if len(files) == 1 or name not in RUN_ATTRIBUTES]
    target.setncatts({name: first.getncattr(name) for name in kept})
    if len(files) > 1 and hasattr(first, "parampi_config"):
        target.setncattr("parampi_config", merged_config(files))
    target.setncattr("history", f"{first.history}; merged by parampi")


def merged_config(files: Sequence[netCDF4.Dataset]) -> str:
    """Return the configuration that would draw the members of all files."""
    config = read_mapping(files[0], files[0].filepath(), "parampi_config")
    sampling = config.get("sampling")
    config["sampling"] = (sampling if isinstance(sampling, dict) else {}) | {"members": members_of(files)}
    return to_json(config)


def members_of(files: Sequence[netCDF4.Dataset]) -> list[int]:
    """Return the numbers of the members of all files."""
    return [int(number) for file in files for number in file["realization"][:]]


def packing_of(source: Any, is_field: bool, compression: int) -> dict[str, Any]:
    """Return the NetCDF library's options for a copy of a variable: chunks and checksums of fields, compression."""
    packing: dict[str, Any] = {}
    if is_field:
        rank = rank_of(source.group())
        packing = {"chunksizes": (*[1] * (source.ndim - rank), *source.shape[-rank:]), "fletcher32": True}
    if source.ndim > 1 and compression:
        packing |= {"compression": "zlib", "complevel": compression, "shuffle": True}
    return packing


def copy_variable(
    files: Sequence[netCDF4.Dataset], target: netCDF4.Dataset, name: str, packing: dict[str, Any], times: int
) -> None:
    """Copy a variable, members of all files one after another, behind so many axes of `times`."""
    source = files[0][name]
    times = min(times, source.ndim - 1)
    attributes = {key: source.getncattr(key) for key in source.ncattrs()}
    fill_value = attributes.pop("_FillValue", None)
    dimensions = source.dimensions
    if "member" in dimensions:
        dimensions = (*dimensions[1 : 1 + times], "member", *dimensions[1 + times :])
    variable = target.createVariable(name, source.dtype, dimensions, fill_value=fill_value, **packing)
    variable.setncatts(attributes)
    if "member" not in source.dimensions:
        variable[:] = read_values(files[0], name)
        return
    row = 0
    for file in files:
        for member in range(len(file.dimensions["member"])):
            variable[(*[slice(None)] * times, row)] = read_values(file, name, member)
            row += 1


def read_values(file: netCDF4.Dataset, name: str, index: Any = ...) -> Any:
    """Read values of a variable. Raise DataError with the name of the file they are in, not of the one they are written to."""
    with intact(file.filepath()):
        return file[name][index]
