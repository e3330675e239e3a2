"""Ensembles that lie in a folder."""

from pathlib import Path

import netCDF4

from parampi.fields.ensemble_folders import COMPLETE, ENDING, METADATA, attributes_of_folder

ENDINGS = (".nc", ".nc4", ".netcdf", ENDING)


def ensembles_in(folder: Path) -> list[Path]:
    """Return the ensembles in a folder, by name, and with them files that cannot be opened: one of them may have been one.
    Hidden files and those in folders below are left out, such as the parts of joint files."""
    names = sorted(path for path in folder.iterdir() if path.suffix in ENDINGS and not path.name.startswith("."))
    return [path for path in names if may_be_ensemble(path)]


def may_be_ensemble(path: Path) -> bool:
    """Return whether a file or a store says that it is an ensemble, or cannot say anything."""
    if path.is_dir():
        return COMPLETE in attributes_of_folder(path) or not is_store(path)
    try:
        with netCDF4.Dataset(path) as file:
            return "complete" in file.variables or COMPLETE in file.ncattrs()
    except (OSError, RuntimeError):
        return True


def is_store(path: Path) -> bool:
    """Return whether a folder is itself an ensemble in Zarr, be it a damaged one."""
    return path.suffix == ENDING or (path / METADATA).exists()
