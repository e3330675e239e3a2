"""The folder of a checkpoint: recognised by a file of ours before anything in it is written or removed.

Only files whose names this package gives are removed, and folders once they are empty. Links are removed, not followed. Where
something else is left in the folder, so is the lock: the next run recognises it.
"""

import fcntl
import os
import re
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path

from parampi.errors import OutputError
from parampi.fields.atomic_files import PARTIAL, writing

FOLDER = ".parampi-"
"""Beginning of the name of a folder of checkpoints."""
LOCK = "parampi-lock"
"""Marks a folder as a checkpoint of ours, and keeps other jobs out. Only its owner may open it: nobody else can hold it."""
PATIENCE = 3.0
"""Seconds in which a job that was killed lets go of its lock."""
ROUND, MEMBER = r"\d{20}-\d+", r"\d+(-\d+)?\.safetensors"
RECORD = r"run\.json"
ROUND_FILE = r"rank-\d+\.safetensors|done\.json"


def folder_name(ensemble: str) -> str:
    """Return the name of the folder for an ensemble, by its name in the directory of the run, subfolders included."""
    return FOLDER + os.path.normpath(ensemble).replace("%", "%25").replace("/", "%2F")


def ensemble_name(folder: Path) -> str:
    """Return the name of the ensemble that a folder is for."""
    return folder.name.removeprefix(FOLDER).replace("%2F", "/").replace("%25", "%")


def recognised(path: Path) -> bool:
    """Return whether a folder is a checkpoint of ours."""
    return not path.is_symlink() and is_plain(path / LOCK)


def unfinished_in(directory: Path) -> list[Path]:
    """Return the ensembles that unfinished runs in a directory write."""
    there = [path for path in sorted(directory.glob(f"{FOLDER}*")) if recognised(path) and is_plain(path / "run.json")]
    return [directory / ensemble_name(path) for path in there]


def is_plain(path: Path) -> bool:
    """Return whether there is a file that is no link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def take_lock(path: Path) -> int | None:
    """Make the folder where there is none, and keep other jobs out of it; returns the lock's descriptor.

    Raises OutputError where another job is at work, and for a folder that is not ours. None on a file system without locks.
    """
    until = time.monotonic() + PATIENCE
    while True:
        descriptor = open_lock(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() < until:
                time.sleep(0.1)
                continue
            raise OutputError(f"another job is drawing into {path.parent}; wait for it, or choose another folder") from None
        except OSError:
            os.close(descriptor)
            return None
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), (path / LOCK).lstat()):
                sign(descriptor)
                return descriptor
        os.close(descriptor)  # another job has just removed its finished checkpoint


def sign(descriptor: int) -> None:
    """Say in the lock who holds it, for people."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"parampi: held by process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def open_lock(path: Path) -> int:
    """Return the open lock of a folder, both made where there are none."""
    with writing(path):
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OutputError(f"{path} is a link or a file, in the place of the folder of checkpoints; remove it")
        path.mkdir(parents=True, exist_ok=True)
        names = os.listdir(path)
        if names and LOCK not in names:
            raise OutputError(
                f"{path} is no checkpoint of parampi (it has no file {LOCK}), and nothing in it is touched; move it away"
            )
        for place in (path / LOCK, path / "members", path / "rounds", path / "run.json"):
            if place.is_symlink():
                raise OutputError(f"{place} is a link, which a checkpoint never has; see who made it, and remove it")
        return os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint of ours, the lock last; what else lies in the folder stays, and the lock with it."""
    if recognised(path):
        remove_files(path, RECORD)
        remove_contents(path)
        if os.listdir(path) == [LOCK]:
            remove_files(path, re.escape(LOCK))
        remove_empty(path)


def remove_contents(path: Path) -> None:
    """Remove the members and rounds that a checkpoint holds."""
    remove_links(path, "members|rounds")
    remove_files(path / "members", MEMBER)
    remove_empty(path / "members")
    remove_links(path / "rounds", ROUND)
    for place in subfolders(path / "rounds"):
        if re.fullmatch(ROUND, place.name):
            remove_round(place)
    remove_empty(path / "rounds")


def remove_round(path: Path) -> None:
    """Remove a round that is whole or was left unfinished."""
    remove_files(path, ROUND_FILE)
    remove_empty(path)


def subfolders(path: Path) -> list[Path]:
    """Return the folders in a folder that are no links; none where there is no such folder."""
    if path.is_symlink() or not path.is_dir():
        return []
    return [place for place in path.iterdir() if place.is_dir() and not place.is_symlink()]


def remove_files(path: Path, names: str) -> None:
    """Remove the files of a folder whose names fit, and those that were still being written; also links in their places."""
    if path.is_symlink() or not path.is_dir():
        return
    pattern = re.compile(rf"(?:{names})|\.(?:{names}){re.escape(PARTIAL)}")
    for place in path.iterdir():
        if pattern.fullmatch(place.name) and (is_plain(place) or place.is_symlink()):
            place.unlink(missing_ok=True)


def remove_links(path: Path, names: str) -> None:
    """Remove links of these names in a folder, not what they lead to."""
    for place in () if path.is_symlink() or not path.is_dir() else path.iterdir():
        if place.is_symlink() and re.fullmatch(names, place.name):
            place.unlink(missing_ok=True)


def remove_empty(path: Path) -> None:
    """Remove a folder in which nothing is left."""
    with suppress(OSError):
        path.rmdir()
