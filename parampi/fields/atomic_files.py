"""Atomic files: refused before the work where they cannot be written, and in place only once they are whole."""

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from parampi.errors import OutputError
from parampi.fields.ensemble_folders import is_ensemble_folder

PARTIAL = ".parampi-partial"
"""Ending of the names of files that are being written."""
PATIENCE = 60.0
"""Seconds to wait for another rank's file."""


def check_target(path: str | Path, overwrite: bool = False) -> None:
    """Make sure, before any work, that `path` can be written; make its folder. Raise OutputError with the remedy."""
    path = Path(path)
    if path.is_dir() and not is_ensemble_folder(path):
        if path.suffix == ".zarr":
            raise OutputError(f"{path} is a folder, but no ensemble in Zarr; move it away, or choose another name")
        raise OutputError(f"{path} is a folder; give the name of a file in it")
    check_free(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # permission bits say nothing to root or on a read-only file system: try it
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".parampi-") as trial:
            trial.write(b"parampi")
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(
            f"{path} cannot be written ({error.filename} is no folder); remove it, or choose another folder"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path} cannot be written ({reason}); choose a folder that you may write to") from error


def check_free(path: Path, overwrite: bool) -> None:
    """Raise OutputError if there is something that must not be overwritten."""
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} exists; allow overwriting (--overwrite on the command line), or choose another name")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn what is raised while a file is written, by a full disk for example, into OutputError."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # the NetCDF library raises RuntimeError
        reason = getattr(error, "strerror", None) or error
        remedy = "is there such a folder, is the disk full, or does another job write this file?"
        raise OutputError(f"{path} cannot be written ({reason}); {remedy}") from error


def partial_name(path: str | Path) -> Path:
    """Return the temporary name, beside the target and so on the same file system, under which a file grows."""
    path = Path(path)
    return path.with_name(f".{path.name}{PARTIAL}")


def new_partial(path: str | Path) -> Path:
    """Make sure that there is a file of the temporary name which is no link to another one, and return the name.

    A file that a killed run left stays, for whoever opens it next: the library's lock on it tells whether a job is still at it.
    """
    partial = partial_name(path)
    with writing(path):
        with suppress(FileNotFoundError):
            status = partial.lstat()
            if stat.S_ISLNK(status.st_mode) or status.st_nlink > 1:
                partial.unlink()
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666))
    return partial


def put_in_place(path: str | Path, overwrite: bool = False) -> None:
    """Bring the file at `partial_name(path)` to disk and rename it to `path`, at once and whole, even if the machine goes down.

    Raises OutputError if `path` has come to exist meanwhile; the partial file is then kept.
    """
    path, partial = Path(path), partial_name(path)
    try:
        check_free(path, overwrite)
    except OutputError as error:
        raise OutputError(f"{path} was made by someone else meanwhile; the finished file is {partial}, rename it") from error
    synchronise(partial)
    os.replace(partial, path)
    with suppress(OSError):  # not every file system can bring a folder to disk
        synchronise(path.parent)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield the name under which a file is to be written, and put it in place of `path` at the end. Raise OutputError."""
    with writing(path):
        yield new_partial(path)
        put_in_place(path, overwrite=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there as a whole or not at all. Raises OutputError."""
    with writing(path):
        new_partial(path).write_bytes(data)
        put_in_place(path, overwrite=True)


def synchronise(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def await_file(path: Path, seconds: float = PATIENCE) -> None:
    """Wait until a file that another node wrote is visible. Raise OutputError after `seconds`.

    Network file systems remember for a while that a file was not there.
    """
    until = time.monotonic() + seconds
    while not path.is_file():
        if time.monotonic() > until:
            raise OutputError(
                f"{path} was written by another rank but cannot be seen by this one; all ranks must share a file system"
            )
        with suppress(OSError):
            os.listdir(path.parent)  # makes some file systems look again
        time.sleep(0.1)
