"""The workflows among the examples: from nothing to the table of scores, by Snakemake and by Parsl."""

import csv
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from parampi.run.projects.shipped import LEFT_OUT
from tests.warm import warm_program

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "07_workflows"
ROOT = FOLDER.parents[1]


@pytest.fixture
def folder(tmp_path):
    """A copy of the example."""
    return shutil.copytree(FOLDER, tmp_path / "flow", ignore=shutil.ignore_patterns(*LEFT_OUT))


def run(folder, *command, path=None):
    """What a command prints; `python` and `parampi` are this environment's, and this tree's."""
    paths = [*([str(path)] if path else []), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(paths), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needs(package):
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs {package}, of the extra workflows")


def assert_good(folder, days):
    """The table has a row for each lead time, with scores over these days, whose errors grow."""
    with open(folder / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["lead_time"] for row in rows] == ["6", "12", "18", "24"] and {row["days"] for row in rows} == {str(days)}
    assert 0 < float(rows[0]["crps"]) < float(rows[3]["crps"]) and 0.6 < float(rows[0]["spread_skill"]) < 1.6


@pytest.mark.slow
@pytest.mark.mpi
@needs("snakemake")
def test_snakemake(folder, tmp_path):
    chosen, warm = ("members=3", "ranks=2", 'days=["2001-03-01","2001-03-11"]'), warm_program(tmp_path / "bin")
    run(folder, "snakemake", "--cores", "2", "--config", *chosen, path=warm)
    assert_good(folder, 2)
    assert "Nothing to be done" in run(
        folder, "sh", "-c", f"snakemake --cores 2 --config {' '.join(chosen[:2])} '{chosen[2]}' 2>&1"
    )


@pytest.mark.slow
@needs("parsl")
def test_parsl(folder, tmp_path):
    command = (sys.executable, "-W", "ignore", "parsl_flow.py", "--members", "3", "2001-03-11")
    assert "scores.csv" in run(folder, *command, path=warm_program(tmp_path / "bin"))
    assert_good(folder, 1)


@pytest.mark.parametrize(
    ("cut", "ranks", "called"),
    [
        (False, 1, "parampi run run.yaml condition.select=[2001-03-01] output.directory=output/2001-03-01 sampling.members=5 "),
        (False, 4, "mpiexec -n 4 parampi run run.yaml condition.select=[2001-03-01] "),
        (True, 2, "mpiexec -n 2 parampi resume output/2001-03-01"),
    ],
)
def test_a_forecast_that_was_cut_is_taken_up(folder, tmp_path, cut, ranks, called):
    for name in ("parampi", "mpiexec"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    if cut:
        (folder / "output" / "2001-03-01" / ".parampi-ensemble.nc").mkdir(parents=True)
    assert run(folder, "bash", "forecast.sh", "2001-03-01", "5", str(ranks), path=tmp_path).startswith(called)
