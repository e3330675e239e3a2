"""The Slurm jobs under a real Slurm of two nodes, faked on this machine."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from parampi.fields.stores.merge import merge
from parampi.run.machine import Machine
from tests.jobs.cluster import Cluster, missing
from tests.ranks.launch import ROOT, mpiexec
from tests.ranks.test_resume import assert_same, project, uninterrupted, variables
from tests.warm import warm_program

JOBS = ROOT / "jobs"
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(not missing() and mpiexec()[1], reason="srun --mpi=pmi2 starts MPICH, not Open MPI"),
]

EARLY = "User defined signal 1"
"""Said where Slurm's warning comes before Python has started. It may come a minute early, and here the limit is a minute."""


@pytest.fixture(scope="module")
def cluster():
    # paths of sockets are short
    folder = Path("/tmp") / f"parampi-slurm-{time.time_ns()}"
    folder.mkdir()
    try:
        with Cluster(folder) as up:
            yield up
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def submit(cluster: Cluster, folder: Path, *arguments: str, warm: bool = True) -> tuple[str, Path]:
    """The job's number and its log; `parampi` is this Python's. `warm`: forked from the warm parent, as a limit of a minute is
    not for imports, else started."""
    folder.mkdir(exist_ok=True)
    programs = warm_program(folder / "bin") if warm else str(Path(sys.executable).parent)
    path = f"{programs}:{cluster.environment['PATH']}"
    environment = {**cluster.environment, "PATH": path, "PYTHONPATH": str(ROOT)}
    log = folder / "log.txt"
    done = subprocess.run(["sbatch", "--parsable", f"--output={log}", *arguments], capture_output=True, text=True, cwd=ROOT,
                          env=environment, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), log


PASSING = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "SIGNALING")
"""States of a job that is not finished."""


def finished(cluster: Cluster, job: str, log: Path, timeout: float) -> dict[str, str]:
    until = time.monotonic() + timeout
    while (state := cluster.state(job))["JobState"] in PASSING:
        assert time.monotonic() < until, f"{state}\n{log.read_text() if log.exists() else ''}"
        time.sleep(0.5)
    return state


def test_one_job_on_two_nodes(cluster, tmp_path):
    expected = uninterrupted(tmp_path / "whole")
    config = project(tmp_path, 0.0)
    job, log = submit(cluster, tmp_path / "job", str(JOBS / "slurm.sh"), str(config))
    state = finished(cluster, job, log, 120)
    assert state["JobState"] == "COMPLETED" and state["NumNodes"] == "2", log.read_text()
    assert "4 ranks" in log.read_text()
    assert_same(tmp_path / "out" / "ensemble.nc", expected)


def test_the_time_limit_requeues_a_job_that_goes_on(cluster, tmp_path):
    """Slurm's smallest limit is a minute, and its signals come late: 80 seconds of drawing do not fit into it."""
    expected = uninterrupted(tmp_path / "whole")
    for attempt in range(3):
        home = tmp_path / str(attempt)
        home.mkdir()
        config, out = project(home, 2.0, model__probe=False), home / "out"
        job, log = submit(
            cluster, home / "job", "--time=1", "--signal=USR1@30", str(JOBS / "slurm-requeue.sh"), str(out), str(config)
        )
        state = finished(cluster, job, log, 400)
        told = log.read_text()
        if EARLY not in told:
            break
    assert state["JobState"] == "COMPLETED", told
    assert int(state["Restarts"]) >= 1 and "stopped in good order (SIGUSR1)" in told, told
    assert_same(out / "ensemble.nc", expected)


def test_an_array_draws_the_members_of_one_ensemble(cluster, tmp_path):
    expected = uninterrupted(tmp_path / "whole")
    config, out = project(tmp_path, 0.0), tmp_path / "parts"
    job, log = submit(
        cluster, tmp_path / "job", "--array=0-1", "--ntasks=2", str(JOBS / "slurm-array.sh"), str(out), str(config)
    )
    for task in (0, 1):
        assert finished(cluster, f"{job}_{task}", log, 120)["JobState"] == "COMPLETED", log.read_text()
    parts = [variables(out / f"part-{task}" / "ensemble.nc") for task in (0, 1)]
    found = np.concatenate([part["vorticity"] for part in parts])
    assert np.array_equal(found[:12], expected["vorticity"])
    merged = merge([out / f"part-{task}" / "ensemble.nc" for task in (0, 1)], tmp_path / "all.nc")
    assert merged.finished == merged.fields == len(found)


def test_the_smoke_test(cluster, tmp_path):
    config = project(tmp_path, 0.0)
    job, log = submit(cluster, tmp_path / "job", str(JOBS / "slurm-smoke.sh"), str(config), warm=False)
    try:
        assert finished(cluster, job, log, 120)["JobState"] == "COMPLETED", log.read_text()
    finally:
        shutil.rmtree(ROOT / f"smoke-{job}", ignore_errors=True)
    assert "2 ranks = 1 group of 2 along time; 2 members" in log.read_text()


def test_the_scaling_job(cluster, tmp_path):
    config = project(tmp_path, 0.0)
    job, log = submit(cluster, tmp_path / "job", "--ntasks=2", str(JOBS / "slurm-scaling.sh"), str(config))
    files = [ROOT / f"machine-{job}.json", ROOT / f"scaling-{job}.png"]
    try:
        assert finished(cluster, job, log, 200)["JobState"] == "COMPLETED", log.read_text()
        machine = Machine.read(files[0])
        assert {one.ranks_here for one in machine.networks} == {1, 2} and machine.messages, machine
        assert files[1].read_bytes().startswith(b"\x89PNG")
    finally:
        for file in files:
            file.unlink(missing_ok=True)
    assert "members alone" in log.read_text()
