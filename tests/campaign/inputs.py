"""Damaged files of data, in all formats: never a traceback, never other numbers but where the format cannot show it."""

import random
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray

from parampi.errors import DataError
from parampi.fields import FileSamples
from tests.campaign.damage import limited, not_read
from tests.campaign.tally import Tally
from tests.run.test_records import damaged

FIELDS = np.random.default_rng(4).normal(280.0, 5.0, (12, 8, 10)).astype("f4")
FORMATS: dict[str, dict[str, Any]] = {
    "NETCDF3_CLASSIC": {},
    "NETCDF3_64BIT_DATA": {},
    "NETCDF4": {},
    "NETCDF4 with zlib": {"zlib": True},
    "NETCDF4 with checksums": {"zlib": True, "fletcher32": True, "chunksizes": (1, 8, 10)},
    "zarr": {},
}
CHECKED = ("NETCDF4 with checksums",)
"""Formats that notice any change of a value."""


def campaign(folder: Path, count: int, seed: int) -> Tally:
    """Damage and read `count` files, of all formats in turn."""
    chance, tally = random.Random(seed), Tally()
    whole = {kind: write(folder / kind.replace(" ", "-"), kind) for kind in FORMATS}
    for number in range(count):
        kind = list(FORMATS)[number % len(FORMATS)]
        path = whole[kind]
        victim = path if path.is_file() else chance.choice(sorted(file for file in path.rglob("*") if file.is_file()))
        content = victim.read_bytes()
        victim.write_bytes(damaged(content, chance))
        judge(kind, f"{kind} {number}", path, tally)
        victim.write_bytes(content)
    return tally


def write(path: Path, kind: str) -> Path:
    if kind == "zarr":
        coordinates = {"time": ("time", np.arange(12.0), {"units": "days since 2001-01-01"})}
        variables = {"t": (("time", "lat", "lon"), FIELDS, {"units": "K"})}
        xarray.Dataset(variables, coordinates).to_zarr(path, consolidated=False, encoding={"t": {"chunks": (4, 8, 10)}})
        return path
    with netCDF4.Dataset(path, "w", format=kind.split()[0]) as file:
        for name, size in (("time", 12), ("lat", 8), ("lon", 10)):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(12.0)
        file["time"].units = "days since 2001-01-01"
        variable = file.createVariable("t", "f4", ("time", "lat", "lon"), **FORMATS[kind])
        variable.units = "K"
        variable[:] = FIELDS
    return path


def read(path: Path) -> tuple[int | str, Any]:
    try:
        with FileSamples([path], ["t"]) as samples:
            return 0, (samples[0 : samples.shape[0]], samples.statistics(missing="mean").units)
    except DataError as error:
        return (2, None) if path.name in str(error) or "sample" in str(error) else (f"does not name the file: {error}", None)
    except Exception as error:
        return f"{type(error).__name__}: {error}", None


def judge(kind: str, place: str, path: Path, tally: Tally) -> None:
    code, found = limited(read, path)
    if not_read(code, place, tally):
        return
    if np.array_equal(found[0][:, 0], FIELDS) and found[1] == ("K",):
        tally.outcomes["same numbers"] += 1
    elif kind in CHECKED and found[0].shape == (12, 1, 8, 10) and found[1] == ("K",):
        tally.troubles.append(f"{place}: other numbers, though the format has checksums")
    else:
        tally.outcomes[f"changed, which {kind} cannot show"] += 1
