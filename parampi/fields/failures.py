"""Errors of the libraries of files, as one line that names the file, the reason and the remedy."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

from parampi.errors import DataError, UserError

LIBRARIES = ("netCDF4", "h5py", "h5netcdf", "xarray", "cf_xarray", "zarr", "numcodecs", "cftime", "cf_units")
"""The folders of their sources, by which what they raise is known."""
REMEDIES = (
    (r"too many open files", "the limit of open files is reached; raise it (ulimit -n), or name fewer files at once"),
    (r"unable to lock|resource temporarily unavailable", "another program has it open for writing; wait until it is closed, or "
     "set HDF5_USE_FILE_LOCKING=FALSE if you know that it is complete"),
    (r"can't open directory|can't find plugin|filter error|filter .* not (registered|available)|required filter",
     "it is compressed by a filter that is not installed; install it (pip install hdf5plugin), or write the file without"),
    (r"codec not available|unknown codec|no zarr data type",
     "one of its arrays has a codec or a type of Zarr that is not installed; install it, or take that array out of the store"),
    (r"permission denied", "you may not read it; ask its owner"),
    (r"no space left|input/output error|stale file handle", "the disk does not answer; try again"),
)  # fmt: skip
"""Patterns of what libraries say, and the remedy."""


@contextmanager
def intact(path: str | Path, kind: str = "NetCDF") -> Iterator[None]:
    """Turn what the libraries raise while a file is read into DataError: OSError, RuntimeError, and what damage leads to."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise not_there(path) from error
    except Exception as error:
        if not of_library(error):
            raise
        raise unreadable(path, kind, error) from error


def not_there(path: str | Path) -> DataError:
    return DataError(f"{path} does not exist; is the name right, and is the file on a disk that all ranks see?")


def unreadable(path: str | Path, kind: str, error: BaseException) -> DataError:
    return DataError(f"{path} cannot be read as {kind} ({reason_of(error)}); {remedy_of(error)}")


def of_library(error: BaseException) -> bool:
    """Return whether a library of files raised an error, or asked for the memory that there is not."""
    sources = (Path(frame.f_code.co_filename).parts[-6:] for frame, _ in walk_tb(error.__traceback__))
    return isinstance(error, MemoryError) or any(library in parts for parts in sources for library in LIBRARIES)


def reason_of(error: BaseException) -> str:
    """Return in one line what an error says; of HDF5's nested reasons the innermost, without numbers of bytes."""
    reason = " ".join(str(getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    nested = re.fullmatch(r"(?:Unable to|Can't) synchronously .*? \((.*)\)", reason)
    return re.sub(r": eof = .*", "", nested[1]) if nested else reason


def remedy_of(error: BaseException) -> str:
    """Return what to do about an error."""
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        return REMEDIES[0][1]
    reason = reason_of(error).lower()
    remedies = (remedy for pattern, remedy in REMEDIES if re.search(pattern, reason))
    return next(remedies, "it is truncated, damaged or of another format: copy or make it again")
