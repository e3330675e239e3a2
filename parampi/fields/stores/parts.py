"""Files of an ensemble's parts: their names, and the removal of those that no ensemble needs any more.

    ensemble.nc.parts/0123abcd-00002.nc          the part of rank 2, of the ensemble whose identifier begins so
    ensemble.nc.parts/parampi-claim-0123abcd...  a run writes parts of this ensemble, or replaces it

A claim is made before a part is opened, and goes when the run has ended. So a run that was killed leaves the identifiers of
its parts, and the next run into this file removes these and no others: a joint file that was renamed or copied keeps its own.
"""

import os
import re
import uuid
from collections.abc import Collection
from pathlib import Path

import netCDF4

from parampi.errors import DataError, OutputError
from parampi.fields.atomic_files import PARTIAL, writing
from parampi.fields.ensemble_folders import attributes_of_folder
from parampi.fields.netcdf_files import reading

PARTS = "parampi_parts"
"""Global attribute of a joint file, with the names of its parts."""
IDENTIFIER = "parampi_ensemble"
"""Global attribute of a joint file and of its parts: a name that no other ensemble has."""
PART = re.compile(r"(\w{8})-\d{5}\.nc")
UNFINISHED = re.compile(rf"\.{PART.pattern}{re.escape(PARTIAL)}")
CLAIM = re.compile(r"parampi-claim-(\w{8,64})")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file, as joint files are."""


def parts_folder(path: str | Path) -> Path:
    """Return the folder of an ensemble's parts, beside the joint file."""
    path = Path(path)
    return path.with_name(f"{path.name}.parts")


def part_name(path: str | Path, ensemble: str, rank: int) -> Path:
    """Return the file of one rank's part; `ensemble` tells the parts of one run from those of another."""
    return parts_folder(path) / f"{ensemble[:8]}-{rank:05d}.nc"


def new_identifier(path: str | Path) -> str:
    """Return an identifier for an ensemble at `path` whose parts have names of their own."""
    while True:
        identifier = uuid.uuid4().hex
        if not any(parts_folder(path).glob(f"*{identifier[:8]}*")):
            return identifier


def claim_parts(path: str | Path, ensemble: str) -> None:
    """Say that a run writes parts of this ensemble; make their folder. Raises OutputError, also for a link in its place."""
    folder = parts_folder(path)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder} is a link or a file, in the place of the folder of parts; remove it")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(folder / f"parampi-claim-{ensemble}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666))


def claim_replaced(path: str | Path) -> None:
    """Say that a run replaces the joint file at `path`, if there is one: its parts go when that has happened."""
    ensemble, folder = ensemble_in_parts(Path(path)), parts_folder(path)
    if CLAIM.fullmatch(f"parampi-claim-{ensemble}") and folder.is_dir() and not folder.is_symlink():
        claim_parts(path, ensemble)


def remove_claimed_parts(path: str | Path) -> None:
    """Remove parts that runs into this file have claimed, also unfinished ones, unless a joint file beside it has them.

    Whatever else lies in the folder stays: parts of other ensembles, and a part that cannot be read.
    """
    path = Path(path)
    folder = parts_folder(path)
    if folder.is_symlink() or not folder.is_dir():
        return
    places = [place for place in folder.iterdir() if place.is_file() and not place.is_symlink()]
    claims = {claim[1]: place for place in places if (claim := CLAIM.fullmatch(place.name))}
    owners = {place: owner for place in places if (owner := owner_of(place, claims))}
    needed = ensembles_in_parts(path, set(owners.values()))
    for place, owner in owners.items():
        if owner not in needed:
            place.unlink(missing_ok=True)
    for place in claims.values():
        place.unlink(missing_ok=True)
    remove_folder(path)


def remove_folder(path: str | Path) -> None:
    """Remove the folder of parts if nothing is in it."""
    try:
        parts_folder(path).rmdir()
    except OSError:  # something else is in it, or it is gone
        return


def owner_of(place: Path, ensembles: Collection[str]) -> str:
    """Return which of the ensembles a file is a part of, by its name and, where it is finished, by the identifier in it."""
    unfinished, finished = UNFINISHED.fullmatch(place.name), PART.fullmatch(place.name)
    if unfinished:
        return next((ensemble for ensemble in ensembles if ensemble[:8] == unfinished[1]), "")
    if finished and any(ensemble[:8] == finished[1] for ensemble in ensembles):
        ensemble = attribute_of(place, IDENTIFIER)
        return ensemble if ensemble in ensembles else ""
    return ""


def ensembles_in_parts(path: Path, candidates: set[str]) -> set[str]:
    """Return those of the candidates that a joint file in the folder of `path` needs. `path` itself is looked at first."""
    needed: set[str] = set()
    for place in (path, *path.parent.iterdir()):
        if candidates <= needed:
            break
        needed.add(ensemble_in_parts(place))
    return needed


def ensemble_in_parts(path: Path) -> str:
    """Return the identifier of the joint file at `path`; "" where there is no file, or one of another kind."""
    return attribute_of(path, IDENTIFIER) if attribute_of(path, PARTS) else ""


def attribute_of(path: Path, name: str) -> str:
    """Return a global attribute as text; "" where an ensemble has none, or there is no NetCDF-4 file and no Zarr store."""
    if path.is_dir():
        return str(attributes_of_folder(path).get(name, ""))
    try:
        with path.open("rb") as data:
            if not path.is_file() or data.read(len(SIGNATURE)) != SIGNATURE:
                return ""
        with reading(path) as file:
            return text(file, name)
    except (OSError, DataError):
        return ""


def text(file: netCDF4.Dataset, name: str) -> str:
    """Return a global attribute as text; "" where there is none."""
    return str(file.getncattr(name)) if name in file.ncattrs() else ""
