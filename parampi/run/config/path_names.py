"""Names of files in a configuration: those that no file can have are refused before anybody asks for the file."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

LONGEST_NAME, LONGEST_OUTPUT, LONGEST_PATH = 255, 200, 4096
"""Bytes of a name, of a name to which we add, and of a path that file systems take."""


def usable(path: str) -> str:
    """Return a path as it is. Raise ValueError for one that no file can have."""
    data = path.encode(errors="surrogateescape")
    if not path or b"\0" in data:
        raise ValueError("no file has such a name")
    if len(data) >= LONGEST_PATH or max(map(len, data.split(b"/"))) > LONGEST_NAME:
        raise ValueError(f"a name has at most {LONGEST_NAME} bytes, a path {LONGEST_PATH}")
    return path


def usable_output(path: str) -> str:
    """Return the name of a file to be written, to which those of unfinished files add."""
    if len(usable(path).rpartition("/")[2].encode(errors="surrogateescape")) > LONGEST_OUTPUT:
        raise ValueError(f"the name of a file that is written has at most {LONGEST_OUTPUT} bytes")
    return path


PathName = Annotated[str, AfterValidator(usable)]
OutputName = Annotated[str, AfterValidator(usable_output)]


def normal_path(folder: str, name: str) -> Path:
    return Path(os.path.normpath(Path(folder) / name))


def same_place(one: Path, other: Path) -> bool:
    """Return whether two names are of one file, also by links, or on a file system to which upper and lower case are equal."""
    return os.path.realpath(one) == os.path.realpath(other) or (one.exists() and other.exists() and one.samefile(other))
