"""Damaged bytes of files that are taken up or read: never a traceback, never other numbers without a word."""

import contextlib
import io
import os
import pickle
import random
import select
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from parampi.__main__ import main
from tests.campaign.tally import Tally
from tests.run.test_records import damaged
from tests.small import signalled_after, write_conditions, write_project

ENDLESS = "read without end"
PATIENCE = 20.0
"""Seconds in which a damaged file must be refused."""


def campaign(folder: Path, count: int, seed: int) -> Tally:
    """Damage one file at a time, `count` times each kind of file."""
    chance, tally = random.Random(seed), Tally()
    home, whole = folder / "home", folder / "whole"
    home.mkdir()
    expected = prepare(home)
    shutil.copytree(home, whole)
    for kind, (pattern, use) in KINDS.items():
        for number in range(count):
            shutil.rmtree(home)
            shutil.copytree(whole, home)
            path = chance.choice(sorted(home.glob(pattern)))
            path.write_bytes(damaged(path.read_bytes(), chance))
            judge(f"{kind} {number}, {path.name}", use, home, expected, tally)
    return tally


def prepare(folder: Path) -> Any:
    """Make an unfinished run, an ensemble in parts, and a finished one to compare with; returns its fields."""
    write_conditions(folder / "cond.nc")
    config = write_project(
        folder, checkpoint__every=0.0, parallel__batch=1, parallel__mode="bitwise", sampling__members=4,
        condition__files="cond.nc", condition__variables=["vorticity"], condition__select=[1],
    )  # fmt: skip
    for mode in ("virtual", "zarr"):
        directory = folder / ("parts" if mode == "virtual" else "store")
        assert quietly("run", config, f"output.directory={directory}", f"output.mode={mode}")[0] == 0
    with signalled_after(10):
        assert quietly("run", config)[0] == 75
    return fields(folder / "parts" / "ensemble.nc")


def quietly(*arguments: object) -> tuple[int | str, str]:
    """Exit code of the command, or the name of what it raised; and what it said."""
    with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()):
        try:
            return main([str(argument) for argument in arguments]), errors.getvalue()
        except Exception as error:
            return f"{type(error).__name__}: {error}", errors.getvalue()


def fields(path: Path) -> Any:
    with netCDF4.Dataset(path) as file:
        return np.ma.filled(file["vorticity"][:], np.nan)


def resumed(home: Path) -> tuple[int | str, Any]:
    code, _ = quietly("resume", home / "out")
    return code, fields(home / "out" / "ensemble.nc") if code == 0 else None


def read_back(home: Path, ensemble: str = "parts/ensemble.nc") -> tuple[int | str, Any]:
    """Check, then merge."""
    code, _ = quietly("check", home / ensemble)
    if code:
        return code, None
    code, _ = quietly("merge", home / ensemble, "--output", home / "merged.nc")
    return code, fields(home / "merged.nc") if code == 0 else None


KINDS: dict[str, tuple[str, Callable[[Path], tuple[int | str, Any]]]] = {
    "members": ("out/.parampi-*/members/*.safetensors", resumed),
    "rounds": ("out/.parampi-*/rounds/*/*", resumed),
    "run.json": ("out/.parampi-*/run.json", resumed),
    "statistics": ("statistics.nc", resumed),
    "conditions": ("cond.nc", resumed),
    "weights": ("weights.safetensors", resumed),
    "parts": ("parts/ensemble.nc.parts/*.nc", read_back),
    "joint file": ("parts/ensemble.nc", read_back),
    "chunks": ("store/ensemble.zarr/*/c*", partial(read_back, ensemble="store/ensemble.zarr")),
    "metadata": ("store/ensemble.zarr/*/zarr.json", partial(read_back, ensemble="store/ensemble.zarr")),
    "group": ("store/ensemble.zarr/zarr.json", partial(read_back, ensemble="store/ensemble.zarr")),
}


def limited(use: Callable[[Path], tuple[int | str, Any]], home: Path) -> tuple[int | str, Any]:
    """Return what `use` returns, in a process of its own: HDF5 follows some damage in a circle and never returns."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(use(home), pipe)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        ready = select.select([pipe], [], [], PATIENCE)[0]
        content = pipe.read() if ready else b""
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not ready:
        return ENDLESS, None
    return pickle.loads(content) if content else ("the process ended without a word", None)


def not_read(code: int | str, place: str, tally: Tally) -> bool:
    """Count a use that did not read its file to the end; return whether it was one."""
    if code == ENDLESS:
        tally.outcomes[f"{ENDLESS} (HDF5), ended after {PATIENCE:.0f} s"] += 1
    elif isinstance(code, str):
        tally.troubles.append(f"{place}: {code}")
    elif code:
        tally.outcomes["refused or reported"] += 1
    return code != 0


def judge(place: str, use: Callable[[Path], tuple[int | str, Any]], home: Path, expected: Any, tally: Tally) -> None:
    code, found = limited(use, home)
    if not_read(code, place, tally):
        return
    if np.array_equal(found, expected, equal_nan=True):
        tally.outcomes["same bits"] += 1
    else:
        tally.troubles.append(f"{place}: other numbers, and exit code 0")
