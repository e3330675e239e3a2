"""A disk that is full, a folder that cannot be written, a file that vanishes: nothing is lost that was finished."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from parampi.fields import STORES, open_ensemble
from tests.ranks.launch import ROOT, environment
from tests.small import parampi_command, small_disk, write_project

pytestmark = pytest.mark.slow


@pytest.fixture(name="small_disk")
def mounted(tmp_path):
    with small_disk(tmp_path / "disk", "160k") as folder:
        yield folder


def parampi(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        parampi_command(*arguments), capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment(100)
    )


def members_kept(folder: Path) -> int:
    return len(list(folder.glob(".parampi-ensemble.*/members/*.safetensors")))


@pytest.mark.parametrize("mode", ["gather", "zarr"])
def test_what_was_finished_survives_a_full_disk_and_the_rest_follows(small_disk, tmp_path, mode):
    config = write_project(
        tmp_path, sampling__members=60, parallel__batch=4, parallel__mode="bitwise", parallel__network_batch=8,
        output__mode=mode,
    )  # fmt: skip
    out = small_disk / "out"
    done = parampi("run", config, f"output.directory={out}")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "No space left on device" in done.stderr or "disk full" in done.stderr
    kept = members_kept(out)
    assert 0 < kept < 60
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    again = parampi("resume", out)
    assert again.returncode == 0, again.stderr
    with open_ensemble(out / f"ensemble{STORES[mode].ending}") as file:
        assert file.parampi_complete == 1 and file["complete"][:].all() and file["vorticity"].shape[0] == 60


def test_a_disk_that_is_full_before_anything(small_disk, tmp_path):
    (small_disk / "other").write_bytes(b"x" * 156_000)
    done = parampi("run", write_project(tmp_path), f"output.directory={small_disk / 'out'}")
    assert done.returncode == 2 and "Traceback" not in done.stderr and "cannot be written" in done.stderr, done.stderr


def test_a_disk_that_can_only_be_read(small_disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = parampi("run", write_project(tmp_path), f"output.directory={small_disk / 'out'}")
    assert done.returncode == 2 and "Read-only file system" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_statistics_file_that_is_removed_while_the_run_is_cut(tmp_path):
    config, out = write_project(tmp_path, model__arguments={"pause": 0.05}, checkpoint__every=0.0), tmp_path / "out"
    job = subprocess.Popen(parampi_command("run", config), cwd=ROOT, env=environment(100), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)  # fmt: skip
    while job.poll() is None and not list((out / ".parampi-ensemble.nc").glob("rounds/*/done.json")):
        time.sleep(0.05)
    job.terminate()
    assert job.communicate(timeout=60) and job.returncode == 75
    hidden = tmp_path / "hidden.nc"
    os.rename(tmp_path / "statistics.nc", hidden)
    done = parampi("resume", out)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "statistics" in done.stderr, done.stderr
    shutil.move(hidden, tmp_path / "statistics.nc")
    done = parampi("resume", out)
    assert done.returncode == 0, done.stderr


def test_folders_that_hold_an_unfinished_run(tmp_path):
    config, out = write_project(tmp_path, model__arguments={"pause": 0.05}, checkpoint__max_walltime=1e-3), tmp_path / "out"
    assert parampi("run", config).returncode == 75
    done = parampi("run", config)
    assert done.returncode == 2
    assert f"{out} holds an unfinished run; go on with it (parampi resume {out}), or begin anew (--overwrite)" in done.stderr
    done = parampi("resume", out, "sampling.seed=9")
    assert done.returncode == 2 and "is of another configuration: other values of sampling.seed" in done.stderr, done.stderr
    done = parampi("resume", out, "checkpoint.max_walltime=null")
    assert done.returncode == 0, done.stderr
    done = parampi("resume", out)
    assert done.returncode == 2 and "holds no unfinished run" in done.stderr
