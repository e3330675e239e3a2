"""Folders that are written as files are: under another name until they are whole, and by one run at a time."""

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

from parampi.errors import OutputError
from parampi.fields.atomic_files import check_free, partial_name, synchronise, writing

REPLACED = ".parampi-replaced"
"""Ending of the name of what is replaced, between two renames."""
LOCKS: dict[Path, int] = {}
"""Descriptors of folders that this process is writing: their locks end with it, however it ends."""


def begin_folder(path: Path) -> Path:
    """Make an empty folder beside `path` for what is to come there, without what a killed run left; return its name. Raises
    OutputError where another process is writing it."""
    partial, aside = partial_name(path), replaced_name(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(aside) and not os.path.lexists(path):  # killed between the renames of `put_folder_in_place`
            os.rename(aside, path)
        remove(aside)
        if partial.is_dir() and not partial.is_symlink():
            lock(path, partial)
        remove(partial)
        release(path)
        partial.mkdir()
        lock(path, partial)
    return partial


def put_folder_in_place(path: Path, overwrite: bool) -> None:
    """Rename the partial folder to `path`, as a whole. Raises OutputError if `path` has come to exist meanwhile; the partial
    folder is then kept.

    A folder cannot take the place of another in one step. Between the two renames there is none; what was there is brought back
    by the next run, should this one be killed there.
    """
    partial, aside = partial_name(path), replaced_name(path)
    try:
        check_free(path, overwrite)
    except OutputError as error:
        raise OutputError(f"{path} was made by someone else meanwhile; the finished folder is {partial}, rename it") from error
    for folder in (partial, *(place for place in partial.iterdir() if place.is_dir())):
        with suppress(OSError):  # not every file system can bring a folder to disk
            synchronise(folder)
    if os.path.lexists(path):
        os.rename(path, aside)
    os.rename(partial, path)
    with suppress(OSError):
        synchronise(path.parent)
    remove(aside)
    release(path)


def abandon_folder(path: Path) -> None:
    """Remove the partial folder."""
    remove(partial_name(path))
    release(path)


def remove(path: Path) -> None:
    """Remove a folder and all in it, or a file or link, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replaced_name(path: Path) -> Path:
    return path.with_name(f".{path.name}{REPLACED}")


def lock(path: Path, folder: Path) -> None:
    """Keep other processes from writing this folder. Raise OutputError where one is at it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OutputError(f"{path} is being written by another job; wait until it has ended, or choose another name") from None
    except OSError:  # a file system without locks: the checkpoint's folder keeps others out there
        os.close(descriptor)
        return
    LOCKS[path] = descriptor


def release(path: Path) -> None:
    """Let other processes write."""
    if (descriptor := LOCKS.pop(path, None)) is not None:
        os.close(descriptor)
