"""Ensemble files as they are read, however they were written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.channels import split_channel
from parampi.fields.inputs.levels import locate_channel
from parampi.fields.netcdf_files import reading, require


@contextmanager
def open_ensemble(path: str | Path) -> Iterator[netCDF4.Dataset]:
    """An ensemble file open for reading. Raises DataError for any other."""
    with reading(path) as file:
        require(file, path, ["realization", "complete"], "an ensemble of members")
        yield file


def read_members(path: str | Path, names: Sequence[str], most: int | None = None) -> tuple[NDArray[np.float32], list[int]]:
    """Finished members (M, C, H, W) of an ensemble file, channels in the order of `names`, and their realizations; where there
    are cases or lead times, those of all of them, member by member. No more than `most`.

    Raises DataError naming variables that are missing, and where no member is finished.
    """
    with reading(path) as file:
        require(file, path, ["realization", "complete"], "an ensemble of members")
        require(file, path, [split_channel(name)[0] for name in names], "an ensemble of " + ", ".join(names))
        rows = np.nonzero(np.ma.filled(file["complete"][:], 0) == 1)
        if len(rows[0]) == 0:
            raise DataError(f"{path} holds no finished member")
        places = list(zip(*(axis.tolist() for axis in rows), strict=True))[:most]
        variable_slots = [locate_channel(file, path, name) for name in names]
        fields = np.stack([[field_at(variable, place, level) for variable, level in variable_slots] for place in places])
        numbers = file["realization"][:]
        return fields, [int(numbers[place[0]]) for place in places]


def field_at(variable: Any, place: tuple[int, ...], level: int | None) -> NDArray[np.float32]:
    at = place if level is None else (*place, level)
    return np.asarray(np.ma.filled(variable[at], np.nan))
