"""Files in the places of a run's outputs: whose they are, so that a resumed run replaces its own and no others."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from parampi.errors import OutputError
from parampi.fields.stores.parts import IDENTIFIER, attribute_of
from parampi.run.stored_records import RunRecord

RUN = "parampi_run"
"""Attribute of an ensemble file, and key of a report: a name that the run has through all its attempts, and no other run."""
PICTURES = ("figure", "page")
"""Outputs that do not say which run wrote them."""
LONGEST_REPORT = 1 << 28
"""Bytes of a report that is looked into."""


def identities(files: Mapping[str, Path]) -> dict[str, str]:
    """Return what tells the files that there are from others, by the keys of the outputs."""
    return {key: identity(path) for key, path in files.items() if os.path.lexists(path)}


def identity(path: Path) -> str:
    """Return what tells a file from others: the run that wrote it or, where it does not say, its size and time."""
    status = path.lstat()
    return run_of(path) or f"{status.st_size} bytes of {status.st_mtime_ns}"


def run_of(path: Path) -> str:
    """Return the run that wrote an ensemble or a report; "" where a file does not say, or is a link."""
    if path.is_symlink() or not path.exists():
        return ""
    return attribute_of(path, RUN) or run_of_report(path)


def run_of_report(path: Path) -> str:
    try:
        with path.open("rb") as file:  # a folder is an OSError
            if path.stat().st_size > LONGEST_REPORT or file.read(1) != b"{":
                return ""
            report = json.loads(b"{" + file.read())
    except (OSError, ValueError, RecursionError):
        return ""
    return str(report.get(RUN, "")) if isinstance(report, dict) else ""


def require_own_files(files: Mapping[str, Path], record: RunRecord) -> None:
    """Raise OutputError, with what it is, for a file that a run would replace when it goes on, but which is neither its own nor
    was there when it began. A figure or a page is its own where the ensemble is."""
    present = identities(files)
    for key, identity in present.items():
        own = {record.run, record.files.get(key)}
        if identity not in own and not (key in PICTURES and present.get("ensemble") == record.run):
            raise OutputError(
                f"{files[key]} is {described(files[key])}: it was not there when this run began, and is none of its files; "
                f"move it away, or allow to replace it (parampi resume --overwrite)"
            )


def described(path: Path) -> str:
    """Return in words what a file is."""
    if path.is_symlink():
        return f"a link to {os.readlink(path)}"
    if ensemble := attribute_of(path, IDENTIFIER):
        return f"an ensemble of another run (parampi_ensemble {ensemble[:8]})"
    return "the report of another run" if run_of_report(path) else "no file of parampi's"
