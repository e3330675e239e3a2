"""Reading of ensemble files, whichever store wrote them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError, OutputError
from parampi.fields.channels import split_channel
from parampi.fields.ensemble_folders import METADATA, attributes_of_folder
from parampi.fields.failures import intact
from parampi.fields.netcdf_files import reading, require, require_variable
from parampi.fields.stores.member_order import members_first
from parampi.fields.stores.sources import require_own_sources
from parampi.fields.stores.zarr_file import MISSING, ZarrFile, library


@contextmanager
def open_ensemble(path: str | Path, parts: bool = True) -> Iterator[Any]:
    """Open an ensemble file for reading, members first in whichever order it has its axes. Raise DataError for any other file,
    and for one that leads out of its own folder.

    `parts`: whether the parts of a joint file are looked into as well.
    """
    with opened_file(Path(path)) as file:
        require(file, path, ["realization", "complete"], "an ensemble of members")
        axes = file["complete"].dimensions
        if "member" not in (*axes[:1], *axes[-1:]):
            raise DataError(f"{path}: complete has the axes ({', '.join(axes)}); expected member as the first or the last")
        require_own_sources(path, parts=parts)
        yield members_first(file)


@contextmanager
def opened_file(path: Path) -> Iterator[Any]:
    """Open a NetCDF file, or the Zarr store in a folder. Raise DataError for all that the libraries raise meanwhile."""
    if not path.is_dir():
        with reading(path) as file:
            yield file
        return
    if not attributes_of_folder(path):
        raise DataError(f"{path} is a folder, without the {METADATA} of an ensemble in Zarr (format 3); name an ensemble")
    try:
        library()
    except OutputError:
        raise DataError(f"{path} is a Zarr store, and {MISSING}") from None
    with intact(path, "Zarr"):
        yield ZarrFile(path)


def read_members(path: str | Path, names: Sequence[str], most: int | None = None) -> tuple[NDArray[np.float32], list[int]]:
    """Read finished members (M, C, H, W) of an ensemble file, channels in the order of `names`, and their realizations. Of
    fields that are no maps, all axes but the last count as one.

    Where there are cases or lead times, those of all of them are read, member by member, but for the state that forecasts start
    from; no more than `most`. Raises DataError naming variables that are missing, and where no member is finished.
    """
    with open_ensemble(path) as file:
        require(file, path, [split_channel(name)[0] for name in names], "an ensemble of " + ", ".join(names))
        finished = np.nonzero(drawn(file))
        if len(finished[0]) == 0:
            raise DataError(f"{path} holds no finished member")
        indices = list(zip(*(axis.tolist() for axis in finished), strict=True))[:most]
        slots = [locate_channel(file, path, name) for name in names]
        fields = np.stack([[read_field(variable, index, level) for variable, level in slots] for index in indices])
        numbers = file["realization"][:]
        return fields, [int(numbers[index[0]]) for index in indices]


def first_drawn(file: Any) -> int:
    """Return where the lead times that were drawn begin: 1 where that which forecasts start from is before, as lead time 0."""
    if "lead_time" not in file["complete"].dimensions or "lead_time" not in file.variables:
        return 0
    leads = np.ravel(file["lead_time"][:])
    return int(leads.size > 1 and leads[0] == 0)


def drawn(file: Any) -> NDArray[np.bool_]:
    """Return which fields (member, [time], [lead_time]) were drawn and are finished."""
    finished = np.array(np.ma.filled(file["complete"][:], 0) == 1)
    if first_drawn(file):
        finished[..., 0] = False
    return finished


def read_field(variable: Any, index: tuple[int, ...], level: int | None) -> NDArray[np.float32]:
    """Read a member's field (H, W) at a level, NaN where values are missing."""
    field = np.asarray(np.ma.filled(variable[index if level is None else (*index, level)], np.nan))
    return field if field.ndim == 2 else field.reshape(-1, field.shape[-1])


def locate_channel(file: Any, path: str | Path, name: str) -> tuple[Any, int | None]:
    """Return the variable of a channel in an ensemble file, and the index of its level. Raise DataError where there is none."""
    if name in file.variables:
        return file[name], None
    variable_name, level = split_channel(name)
    variable = require_variable(file, path, variable_name)
    levels = np.ma.filled(np.ma.asarray(file[variable.dimensions[file["complete"].ndim]][:], np.float64), np.nan)
    matches = np.flatnonzero(np.isclose(levels, level if level is not None else np.nan))
    if len(matches) != 1:
        raise DataError(f"{path}: {variable_name} has no level {level:g}; it has {', '.join(f'{value:g}' for value in levels)}")
    return variable, int(matches[0])
