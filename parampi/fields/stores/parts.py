"""Files of an ensemble's parts: their names, and the removal of those of earlier runs."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from parampi.errors import DataError
from parampi.fields.atomic_files import PARTIAL
from parampi.fields.netcdf_files import reading

PART = re.compile(r"(\w{8})-\d{5}\.nc")
UNFINISHED = re.compile(rf"\.{PART.pattern}{re.escape(PARTIAL)}")


def parts_folder(path: str | Path) -> Path:
    """Return the folder of an ensemble's parts, beside the joint file."""
    path = Path(path)
    return path.with_name(f"{path.stem}.parts")


def part_name(path: str | Path, ensemble: str, rank: int) -> Path:
    """Return the file of one rank's part; `ensemble` tells the parts of one run from those of another."""
    return parts_folder(path) / f"{ensemble[:8]}-{rank:05d}.nc"


def remove_stale_parts(path: str | Path, parts: Sequence[Path] = ()) -> None:
    """Remove all parts beside an ensemble file but `parts`, also those that a killed job left unfinished.

    Whatever else lies in the folder stays, and so does a part that cannot be read.
    """
    folder = parts_folder(path)
    if folder.is_symlink() or not folder.is_dir():
        return
    for place in folder.iterdir():
        if place not in parts and not place.is_symlink() and (UNFINISHED.fullmatch(place.name) or is_part(place)):
            place.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        folder.rmdir()


def is_part(path: Path) -> bool:
    """Return whether a file is a part of an ensemble, by its name and by the ensemble's identifier in it."""
    name = PART.fullmatch(path.name)
    if name is None:
        return False
    try:
        with reading(path) as file:
            return str(getattr(file, "parampi_ensemble", "")).startswith(name[1])
    except DataError:
        return False
