"""One plain file of an ensemble in parts, or of several ensembles that a job array drew. Needs no MPI."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from parampi.errors import DataError
from parampi.fields.atomic_files import check_target, partial_name, put_in_place, writing
from parampi.fields.stores.check import channels, examined
from parampi.fields.stores.reader import open_ensemble

OF_A_RUN = ("rank_layout", "ranks", "time_ranks", "mpi", "parampi_ensemble", "parampi_complete", "history", "parampi_config")
"""Global attributes in which the parts of a job array may differ."""


@dataclass(frozen=True)
class Merged:
    """How many members there are, their fields and those that are finished; variables that were left out."""

    members: int
    finished: int
    fields: int
    dropped: list[str]


def merge(paths: Sequence[Path], output: Path, compression: int = 0, overwrite: bool = False) -> Merged:
    """Write the members of ensemble files, one or several of the same kind, into one plain file, a field in memory at a time.

    Statistics over members are kept for one file and left out for several, of which they would not be true.

    Raises DataError where parts are missing or damaged, files do not fit together, or a member is in several of them;
    OutputError for the output.
    """
    check_target(output, overwrite)
    with ExitStack() as stack:
        files = [stack.enter_context(open_ensemble(path)) for path in paths]
        for file, path in zip(files, paths, strict=True):
            refuse_broken(file, path)
        refuse_strangers(files, paths)
        for file in files:
            file.set_auto_mask(False)
        with writing(output):
            try:
                with netCDF4.Dataset(partial_name(output), "w") as target:
                    found = copy(files, target, compression)
            except BaseException:
                partial_name(output).unlink(missing_ok=True)
                raise
            put_in_place(output, overwrite)
    return found


def refuse_broken(file: netCDF4.Dataset, path: Path) -> None:
    wrong = examined(Path(path), channels(file), str(getattr(file, "parampi_ensemble", "")))
    problems = [problem for found in wrong.values() for problem in found]
    if problems:
        raise DataError(f"{path} cannot be merged: " + "; ".join(problems))


def refuse_strangers(files: Sequence[netCDF4.Dataset], paths: Sequence[Path]) -> None:
    """Files with another grid, other variables or another seed than the first, and members that come twice."""
    seen: dict[int, Path] = {}
    for file, path in zip(files, paths, strict=True):
        for number in np.asarray(file["realization"][:]).tolist():
            if number in seen:
                raise DataError(f"member {number} is in {seen[number]} and in {path}; merge files of different members")
            seen[number] = path
        for name, variable in files[0].variables.items():
            if name not in file.variables:
                raise DataError(f"{path} has no {name}, which {paths[0]} has; merge ensembles of one kind")
            other = file[name]
            if other.dimensions != variable.dimensions or other.shape[1:] != variable.shape[1:]:
                raise DataError(
                    f"{name} is {described(other)} in {path} but {described(variable)} in {paths[0]}; merge ensembles of "
                    f"one kind"
                )
            same = "member" in variable.dimensions or summary(files[0], name) or np.array_equal(other[:], variable[:])
            if not same:
                raise DataError(f"{path} has other values of {name} than {paths[0]}; merge ensembles of one kind")
        for name in set(files[0].ncattrs()) - set(OF_A_RUN) - {"software", "title"}:
            if getattr(file, name, None) != getattr(files[0], name):
                raise DataError(f"{path} has another {name} than {paths[0]}; merge ensembles that one network drew alike")


def described(variable: Any) -> str:
    return ", ".join(f"{name} {size}" for name, size in zip(variable.dimensions, variable.shape, strict=True))


def summary(file: netCDF4.Dataset, name: str) -> bool:
    """Whether a variable is a statistic over members."""
    return "realization: " in str(getattr(file[name], "cell_methods", "")) or name.endswith("_quantiles")


def copy(files: Sequence[netCDF4.Dataset], target: netCDF4.Dataset, compression: int) -> Merged:
    first = files[0]
    dropped = [name for name in first.variables if len(files) > 1 and summary(first, name)]
    finished = sum(int((file["complete"][:] == 1).sum()) for file in files)
    total = sum(file["complete"].size for file in files)
    target.setncatts({name: first.getncattr(name) for name in first.ncattrs() if len(files) == 1 or name not in OF_A_RUN})
    if len(files) > 1 and hasattr(first, "parampi_config"):
        target.setncattr("parampi_config", of_all(files))
    target.setncattr("history", f"{first.history}; merged by parampi")
    target.setncattr("parampi_complete", np.int32(finished == total))
    for name, dimension in first.dimensions.items():
        size = sum(len(file.dimensions["member"]) for file in files) if name == "member" else len(dimension)
        target.createDimension(name, size)
    fields = channels(first)
    for name in first.variables:
        if name not in dropped:
            copy_variable(files, target, name, name in fields, compression)
    return Merged(len(target.dimensions["member"]), finished, total, dropped)


def of_all(files: Sequence[netCDF4.Dataset]) -> str:
    """The configuration that would draw the members of all files."""
    config = json.loads(files[0].parampi_config)
    config["sampling"]["members"] = [int(number) for file in files for number in file["realization"][:]]
    return json.dumps(config)


def copy_variable(files: Sequence[netCDF4.Dataset], target: netCDF4.Dataset, name: str, fields: bool, compression: int) -> None:
    source = files[0][name]
    told = {key: source.getncattr(key) for key in source.ncattrs()}
    packing: dict[str, Any] = {}
    if fields:
        packing = {"chunksizes": (*[1] * (source.ndim - 2), *source.shape[-2:]), "fletcher32": True}
    if source.ndim > 1 and compression:
        packing |= {"compression": "zlib", "complevel": compression, "shuffle": True}
    variable = target.createVariable(name, source.dtype, source.dimensions, fill_value=told.pop("_FillValue", None), **packing)
    variable.setncatts(told)
    if "member" not in source.dimensions:
        variable[:] = source[:]
        return
    row = 0
    for file in files:
        for member in range(len(file.dimensions["member"])):
            variable[row] = file[name][member]
            row += 1
