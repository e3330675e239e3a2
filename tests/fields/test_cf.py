"""Our files by the CF test of the IOOS compliance checker: no error, with and without an axis of times, lengths or degrees."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from parampi.fields import PER_CASE, Cases, DatasetStatistics, NetCDFStore
from parampi.fields.stores.base import MemberFacts
from tests.fields.schemas import schema_of

pytestmark = pytest.mark.slow

CHECKER = Path(sys.executable).with_name("compliance-checker")
TIME = {"units": "hours since 2001-01-01", "calendar": "standard", "standard_name": "time", "axis": "T"}
CASES = Cases("time", np.array([0.0, 6.0]), TIME, [0, 3])


def findings(path: Path) -> dict[str, list[str]]:
    report = path.with_suffix(".json")
    command = [str(CHECKER), "--test=cf:1.11", "-f", "json", "-o", str(report), str(path)]
    subprocess.run(command, capture_output=True, text=True, timeout=120)
    results = json.loads(report.read_text())["cf:1.11"]
    return {level: [m for finding in results[f"{level}_priorities"] for m in finding["msgs"]] for level in ("high", "medium")}


def statistics(units: tuple[str, str]) -> DatasetStatistics:
    fields = np.random.default_rng(0).normal(size=(20, 2, 8, 10))
    return DatasetStatistics.from_samples(
        fields, ["u", "t"], ["m s-1", "K"], ["eastward wind", "temperature"], x=np.arange(10.0), y=np.arange(8.0),
        x_units=units[1], y_units=units[0],
    )  # fmt: skip


@pytest.mark.parametrize("units", [("m", "m"), ("degrees_north", "degrees_east")], ids=["lengths", "degrees"])
@pytest.mark.parametrize("cases", [None, CASES], ids=["members", "members and times"])
def test_ensembles(tmp_path, units, cases):
    made, path = statistics(units), tmp_path / "e.nc"
    numbers = [0, 1] if cases is None else [case * PER_CASE + member for case in cases.indices for member in (0, 1)]
    with NetCDFStore(path, schema_of(made, numbers, 3, cases=cases)) as store:
        for number in numbers:
            store.write(number, np.zeros(made.shape, np.float32), MemberFacts(3, 2, 2, 0.5))
    messages = findings(path)
    assert not messages["high"], messages
    # lengths along x and y are taken for degrees that lack their units, and leap seconds are the input's affair
    assert all("should define valid units for" in m or "leap_seconds" in m for m in messages["medium"]), messages
    if units[0] == "degrees_north":
        assert all("leap_seconds" in m for m in messages["medium"])


def test_statistics(tmp_path):
    statistics(("degrees_north", "degrees_east")).save(tmp_path / "s.nc")
    assert not findings(tmp_path / "s.nc")["high"]
