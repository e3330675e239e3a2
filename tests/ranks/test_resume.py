"""Runs that are cut: killed at random moments, told to stop, or out of time; what comes out in the end is what would have."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from parampi.fields import open_ensemble
from parampi.fields.stores.check import check
from tests.ranks.launch import ROOT, environment, mpiexec, parampi_on
from tests.small import parampi_command, write_project

pytestmark = pytest.mark.mpi

KILLS = 20
NAMES = ("vorticity", "rounds", "evaluations", "residual", "complete", "realization", "seed")


def project(folder: Path, pause: float, **changes) -> Path:
    usual = {
        "model__arguments": {"pause": pause}, "parallel__mode": "bitwise", "parallel__network_batch": 8, "parallel__batch": 2,
        "checkpoint__every": 0.0, "sampling__members": 12, "sampling__window": 8,
        "sampling__sigmas": {"schedule": "karras", "steps": 24, "sigma_min": 0.05, "sigma_max": 20.0},
    }  # fmt: skip
    return write_project(folder, **{**usual, **changes})


def start(ranks: int, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        parampi_on(ranks, *arguments), cwd=ROOT,
        env=environment(100), text=True, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def ranks_of(job: "subprocess.Popen[str]") -> list[int]:
    """The processes that a launcher started, its proxies too, wherever they have put themselves."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, ahead = [], [job.pid]
    while ahead:
        ahead = [child for parent in ahead for child in children.get(parent, [])]
        found += ahead
    return found


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def ended(job: "subprocess.Popen[str]", timeout: float = 60) -> str:
    try:
        return job.communicate(timeout=timeout)[0]
    except subprocess.TimeoutExpired:
        kill([*ranks_of(job), job.pid])
        pytest.fail(f"the job did not end: {job.communicate()[0]}")


def variables(path: Path) -> dict[str, np.ndarray]:
    with open_ensemble(path) as file:
        assert file.parampi_complete == 1
        return {name: np.ma.filled(file[name][:]) for name in NAMES}


def assert_same(path: Path, expected: dict[str, np.ndarray]) -> None:
    assert not list(path.parent.rglob(".*.parampi-partial")) and not check(path).problems
    found = variables(path)
    for name, values in expected.items():
        assert np.array_equal(found[name], values), name


def uninterrupted(folder: Path, **changes) -> dict[str, np.ndarray]:
    folder.mkdir()
    config = project(folder, 0.0, **changes)
    subprocess.run(
        parampi_command("run", config, "checkpoint.every=null"), check=True, timeout=120, cwd=ROOT, capture_output=True
    )
    return variables(folder / "out" / "ensemble.nc")


def holder(lock: Path) -> str:
    return lock.read_text() if lock.is_file() else ""


def next_command(config: Path, out: Path) -> list[object]:
    """What goes on with a run, or begins it where it was killed before it kept anything."""
    going_on = (out / ".parampi-ensemble.nc" / "run.json").is_file()
    return ["resume", out] if going_on else ["run", config, "--overwrite"]


@pytest.mark.parametrize("solver", ["picard", "spectral"])
def test_killed_at_random_moments_and_taken_up_by_other_ranks(tmp_path, solver):
    """Half of the kills of this file each, fewer with the second MPI: all processes at once, or one rank, on 1 to 3 ranks."""
    expected = uninterrupted(tmp_path / "whole", sampling__solver={"name": solver})
    config, out = project(tmp_path, 0.15, sampling__solver={"name": solver}), tmp_path / "out"
    chance, kills, most = random.Random(solver), 0, KILLS // (6 if mpiexec()[1] else 2)
    while kills < most:
        ranks = chance.choice([1, 2, 3])
        lock = out / ".parampi-ensemble.nc" / "parampi-lock"
        before = holder(lock)
        job = start(ranks, *next_command(config, out))
        until = time.monotonic() + 60
        while job.poll() is None and holder(lock) == before and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, 1.25))
        if job.poll() is not None:
            told = ended(job)
            assert job.returncode == 0, told
            break
        pids = ranks_of(job)
        kill([*pids, job.pid] if chance.random() < 0.5 else [chance.choice(pids)])
        kills += 1
        try:
            job.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            kill([*ranks_of(job), job.pid])
            job.communicate()
        kill(pids)  # ranks outlive a launcher that was killed, and hold the lock
    assert kills >= most // 2, "the run ended before it could be killed"
    if not (out / "ensemble.nc").is_file() or (out / ".parampi-ensemble.nc").is_dir():
        last = start(2, *next_command(config, out))
        told = ended(last)
        assert last.returncode == 0, told
    assert_same(out / "ensemble.nc", expected)
    assert not (out / ".parampi-ensemble.nc").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=["term", "usr1"])
def test_a_signal_ends_the_round_and_the_run_goes_on_later(tmp_path, number):
    expected = uninterrupted(tmp_path / "whole")
    config, out = project(tmp_path, 0.04), tmp_path / "out"
    job = subprocess.Popen(parampi_command("run", config), cwd=ROOT, env=environment(100), text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    while job.poll() is None and not list((out / ".parampi-ensemble.nc").glob("rounds/*/done.json")):
        time.sleep(0.05)
    job.send_signal(number)
    told = ended(job)
    assert job.returncode == 75, told
    assert f"stopped in good order ({number.name}); " in told and f"go on with parampi resume {out}" in told
    again = subprocess.run(parampi_command("resume", out), cwd=ROOT, env=environment(100), text=True, capture_output=True,
                           timeout=120)  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert_same(out / "ensemble.nc", expected)


def test_a_killed_run_of_parareal_goes_on_from_its_rounds(tmp_path):
    """On other ranks; what was kept are rounds of members that are not finished."""
    changes = {
        "sampling__solver": {"name": "parareal", "blocks": 4}, "sampling__window": None, "sampling__members": 3,
        "parallel__batch": 3,
    }  # fmt: skip
    expected = uninterrupted(tmp_path / "whole", **changes)
    config, out = project(tmp_path, 0.1, **changes), tmp_path / "out"
    job = start(2, "run", config)
    while job.poll() is None and len(list((out / ".parampi-ensemble.nc").glob("rounds/*/done.json"))) < 2:
        time.sleep(0.05)
    kill([*ranks_of(job), job.pid])
    ended(job)
    assert not list((out / ".parampi-ensemble.nc" / "members").iterdir())
    again = start(3, "resume", out)
    told = ended(again)
    assert again.returncode == 0, told
    assert_same(out / "ensemble.nc", expected)


def test_out_of_time_on_ranks(tmp_path):
    """Every rank leaves with the code that says so; each time some more is done."""
    expected = uninterrupted(tmp_path / "whole")
    config, out = project(tmp_path, 0.1, checkpoint__max_walltime=4.0), tmp_path / "out"
    job = start(2, "run", config)
    told, attempts = ended(job), 1
    while job.returncode == 75 and attempts < 20:
        assert "checkpoint.max_walltime = 4 s" in told
        job = start(1 + attempts % 3, "resume", out)
        told, attempts = ended(job), attempts + 1
    assert job.returncode == 0 and attempts > 1, told
    assert_same(out / "ensemble.nc", expected)
    shutil.rmtree(out)
