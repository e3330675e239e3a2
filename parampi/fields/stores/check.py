"""Check of ensemble files, before anybody plots them. Needs no MPI and holds one member in memory at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.failures import of_library, reason_of
from parampi.fields.netcdf_files import reading
from parampi.fields.stores.reader import open_ensemble
from parampi.fields.stores.sources import require_own_sources
from parampi.fields.stores.virtual import virtual_sources

Index = tuple[int, ...]
SHOWN = 8
"""Members that are named one by one."""


@dataclass(frozen=True)
class Findings:
    """Facts about an ensemble file, and its problems, none where all is well. One line each."""

    facts: list[str]
    problems: list[str]

    def table(self) -> str:
        """Return all lines, problems first."""
        return "\n".join([*(f"problem: {problem}" for problem in self.problems), *self.facts])


def check(path: str | Path) -> Findings:
    """Find missing, truncated and foreign files of parts; members that are missing; gaps and damage in those that are there.

    All values are read once, so that checksums are compared. Raises DataError for what is no ensemble file.
    """
    path = Path(path)
    with open_ensemble(path, parts=False) as file:
        names, finished = channels(file), np.ma.filled(file["complete"][:], 0) == 1
        ensemble, total = str(getattr(file, "parampi_ensemble", "")), finished.size
        fields = f"{int(finished.sum())} of {total} field{'s' * (total != 1)} finished"
        facts = [f"{path}: {', '.join(names) or 'no fields of members'}; {fields}"]
        problems = []
        for part, part_problems in check_parts(path, names, ensemble).items():
            facts.append(f"part {part}")
            problems += part_problems
        problems += [] if finished.all() else [unfinished(total - int(finished.sum()))]
        for name in names:
            problems += check_values(file, name, finished)
    return Findings(facts, problems)


def unfinished(fields: int) -> str:
    """Return the problem of fields that were never finished."""
    return "1 field was never finished" if fields == 1 else f"{fields} fields were never finished"


def channels(file: netCDF4.Dataset) -> list[str]:
    """Return the variables of members' fields."""
    axes = file["complete"].dimensions
    return [name for name, v in file.variables.items() if v.dimensions[: len(axes)] == axes and v.ndim > len(axes)]


def check_parts(path: Path, names: list[str], ensemble: str) -> dict[str, list[str]]:
    """Return the problems of each file of parts, by its name."""
    problems: dict[str, list[str]] = {}
    for name in names:
        with virtual_sources(path, name) as sources:
            for source in sources:
                problems.setdefault(source.file_name, [])
                if not problems[source.file_name]:
                    problems[source.file_name] = check_part(path.parent / source.file_name, source, ensemble)
    return problems


def check_part(path: Path, source: Any, ensemble: str) -> list[str]:
    """Return the problem of a part's file, as the `source` of a virtual variable of this ensemble; none where it is whole."""
    if not path.is_file():
        return [f"{path} is missing: its members read as NaN; copy the folder of parts along with the joint file"]
    try:
        require_own_sources(path, joint=False)
        with reading(path) as file:
            if not ensemble or str(getattr(file, "parampi_ensemble", "")) != ensemble:
                return [f"{path} is of another ensemble than the joint file; restore the file that was there"]
            if source.dset_name not in file.variables:
                return [f"{path} has no variable {source.dset_name}; restore the file that was there"]
            shape, extent = file[source.dset_name].shape, source.src_space.get_simple_extent_dims()
            if len(shape) != len(extent) or any(size < needed for size, needed in zip(shape, extent, strict=True)):
                return [f"{path}: {source.dset_name} has shape {shape}; the joint file reads {extent} of it"]
    except DataError as error:
        if error.__cause__ is None:  # it is whole, and leads elsewhere
            raise
        return [f"{path} is damaged or truncated ({reason_of(error.__cause__)}): its members read as NaN; restore it"]
    return []


def check_values(file: netCDF4.Dataset, name: str, finished: NDArray[np.bool_]) -> list[str]:
    """Return problems of finished members that are empty, unreadable, or lack values where others have them."""
    empty, damaged, uneven = list[Index](), list[Index](), list[Index]()
    mask: NDArray[np.bool_] | None = None
    for index, missing in missing_values(file, name, finished):
        if missing is None:
            damaged.append(index)
        elif missing.all():
            empty.append(index)
        elif mask is None:
            mask = missing
        elif not np.array_equal(missing, mask):
            uneven.append(index)
    problems = {
        "is NaN everywhere": empty,
        "cannot be read: its data are damaged": damaged,
        "lacks values where other members have them, or has values where they lack": uneven,
    }
    return [f"{name} of {name_members(file, indices)} {problem}" for problem, indices in problems.items() if indices]


def missing_values(
    file: netCDF4.Dataset, name: str, finished: NDArray[np.bool_]
) -> Iterator[tuple[Index, NDArray[np.bool_] | None]]:
    """Yield each finished member's index, and where its field lacks values; None where it cannot be read."""
    for index in zip(*(axis.tolist() for axis in np.nonzero(finished)), strict=True):
        try:
            yield index, ~np.isfinite(np.ma.filled(file[name][index], np.nan))
        except Exception as error:
            if not of_library(error):
                raise
            yield index, None


def name_members(file: netCDF4.Dataset, indices: list[Index]) -> str:
    """Name members by number, and by index along the other axes."""
    axes, numbers = file["complete"].dimensions[1:], file["realization"][:]
    names = [
        f"member {numbers[index[0]]}" + "".join(f", {axis} {at}" for axis, at in zip(axes, index[1:], strict=True))
        for index in indices[:SHOWN]
    ]
    return "; ".join(names) + (f" and {len(indices) - SHOWN} more" if len(indices) > SHOWN else "")
