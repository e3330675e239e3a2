"""What is wrong with an ensemble file: found before it is plotted. Needs no MPI and holds one member in memory at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.fields.stores.reader import open_ensemble
from parampi.fields.stores.virtual import virtual_sources

SHOWN = 8
"""Members that are named one by one."""


@dataclass(frozen=True)
class Findings:
    """`facts`: what the file has; `problems`: what is wrong, none where all is well. One line each."""

    facts: list[str]
    problems: list[str]

    def table(self) -> str:
        return "\n".join([*self.facts, *(f"problem: {problem}" for problem in self.problems)])


def check(path: str | Path) -> Findings:
    """Missing, truncated and foreign files of parts; members that are missing; gaps and damage in those that are there.

    All values are read once, so that checksums are compared. Raises DataError for what is no ensemble file.
    """
    path = Path(path)
    with open_ensemble(path) as file:
        names, finished = channels(file), np.ma.filled(file["complete"][:], 0) == 1
        ensemble, total = str(getattr(file, "parampi_ensemble", "")), finished.size
        facts = [f"{path}: {', '.join(names) or 'no fields of members'}; {int(finished.sum())} of {total} fields finished"]
        problems = [] if finished.all() else [f"{total - int(finished.sum())} fields were never finished"]
        for part, wrong in examined(path, names, ensemble).items():
            facts.append(f"part {part}")
            problems += wrong
        for name in names:
            problems += gaps(file, name, finished)
    return Findings(facts, problems)


def channels(file: netCDF4.Dataset) -> list[str]:
    """Variables of members' fields."""
    axes = file["complete"].dimensions
    return [name for name, v in file.variables.items() if v.dimensions[: len(axes)] == axes and v.ndim > len(axes)]


def examined(path: Path, names: list[str], ensemble: str) -> dict[str, list[str]]:
    """What is wrong with each file of parts."""
    found: dict[str, list[str]] = {}
    for name in names:
        with virtual_sources(path, name) as parts:
            for part in parts:
                found.setdefault(part.file_name, [])
                if not found[part.file_name]:
                    found[part.file_name] = trouble(path.parent / part.file_name, part, ensemble)
    return found


def trouble(path: Path, part: Any, ensemble: str) -> list[str]:
    if not path.is_file():
        return [f"{path} is missing: its members read as NaN; copy the folder of parts along with the joint file"]
    try:
        with netCDF4.Dataset(path) as file:
            if str(getattr(file, "parampi_ensemble", "")) != ensemble:
                return [f"{path} is of another ensemble than the joint file; restore the file that was there"]
            if part.dset_name not in file.variables:
                return [f"{path} has no variable {part.dset_name}; restore the file that was there"]
            shape, extent = file[part.dset_name].shape, part.src_space.get_simple_extent_dims()
            if len(shape) != len(extent) or any(size < wanted for size, wanted in zip(shape, extent, strict=True)):
                return [f"{path}: {part.dset_name} has shape {shape}; the joint file reads {extent} of it"]
    except OSError as error:
        return [f"{path} is damaged or truncated ({error.strerror or error}): its members read as NaN; restore it"]
    return []


def gaps(file: netCDF4.Dataset, name: str, finished: NDArray[np.bool_]) -> list[str]:
    """Finished members that are empty, unreadable, or lack values where others have them."""
    empty, damaged, holes = [], [], []
    lacking: NDArray[np.bool_] | None = None
    for place, missing in read(file, name, finished):
        if missing is None:
            damaged.append(place)
        elif missing.all():
            empty.append(place)
        elif lacking is None:
            lacking = missing
        elif not np.array_equal(missing, lacking):
            holes.append(place)
    told = [
        (empty, "is NaN everywhere"), (damaged, "cannot be read: its data are damaged"),
        (holes, "lacks values where other members have them, or has values where they lack"),
    ]  # fmt: skip
    return [f"{name} of {described(file, places)} {what}" for places, what in told if places]


def read(
    file: netCDF4.Dataset, name: str, finished: NDArray[np.bool_]
) -> Iterator[tuple[tuple[int, ...], NDArray[np.bool_] | None]]:
    """Where each finished member's field lacks values; None where it cannot be read."""
    for place in zip(*(axis.tolist() for axis in np.nonzero(finished)), strict=True):
        try:
            yield place, ~np.isfinite(np.ma.filled(file[name][place], np.nan))
        except (RuntimeError, OSError):  # the NetCDF library raises RuntimeError
            yield place, None


def described(file: netCDF4.Dataset, places: list[tuple[int, ...]]) -> str:
    """Members by number, and by index along the other axes."""
    axes, numbers = file["complete"].dimensions[1:], file["realization"][:]
    told = [
        f"member {numbers[place[0]]}" + "".join(f", {axis} {index}" for axis, index in zip(axes, place[1:], strict=True))
        for place in places[:SHOWN]
    ]
    return "; ".join(told) + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")
