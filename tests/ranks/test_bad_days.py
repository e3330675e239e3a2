"""Bad days of several ranks: a disk that fills up, a file that vanishes while they draw, a damaged checkpoint."""

import os
import subprocess
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from tests.ranks.launch import ROOT, environment, parampi_on
from tests.ranks.test_resume import ended, start
from tests.small import small_disk, write_conditions, write_project

pytestmark = pytest.mark.mpi


def parampi(ranks, *arguments):
    command = parampi_on(ranks, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment(100))


def kept(out: Path) -> int:
    return len(list((out / ".parampi-ensemble.nc" / "members").glob("*.safetensors")))


def fields(path):
    with netCDF4.Dataset(path) as file:
        assert file.parampi_complete == 1
        return np.ma.filled(file["vorticity"][:], np.nan)


@pytest.fixture(name="small_disk")
def mounted(tmp_path):
    with small_disk(tmp_path / "disk", "300k") as folder:
        yield folder


def test_a_disk_that_fills_up_while_all_groups_write(tmp_path, small_disk):
    out = small_disk / "out"
    config = write_project(
        tmp_path, sampling__members=60, parallel__batch=4, parallel__mode="bitwise", parallel__network_batch=8
    )
    done = parampi(3, "run", config, f"output.directory={out}")
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    assert "No space left on device" in done.stderr or "is the disk full" in done.stderr, done.stderr
    assert 0 < kept(out) < 60
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    again = parampi(2, "resume", out)
    assert again.returncode == 0, again.stderr
    done = parampi(1, "run", config, f"output.directory={tmp_path / 'whole'}")
    assert np.array_equal(fields(out / "ensemble.nc"), fields(tmp_path / "whole" / "ensemble.nc"))


def test_conditions_that_vanish_while_ranks_draw(tmp_path):
    """They were read before, and are small enough to be kept."""
    write_conditions(tmp_path / "cond.nc")
    config, out = write_project(
        tmp_path, model__arguments={"pause": 0.1}, sampling__members=4, parallel__batch=1, parallel__mode="bitwise",
        parallel__network_batch=12, condition__files="cond.nc", condition__variables=["vorticity"], checkpoint__every=0.0,
    ), tmp_path / "out"  # fmt: skip
    job = start(2, "run", config)
    while job.poll() is None and not kept(out):
        time.sleep(0.02)
    os.rename(tmp_path / "cond.nc", tmp_path / "hidden.nc")
    told = ended(job, timeout=60)
    assert job.returncode == 0, told
    os.rename(tmp_path / "hidden.nc", tmp_path / "cond.nc")
    done = parampi(1, "run", config, f"output.directory={tmp_path / 'whole'}", "model.arguments.pause=0.0")
    assert done.returncode == 0
    assert np.array_equal(fields(out / "ensemble.nc"), fields(tmp_path / "whole" / "ensemble.nc"))


def test_damaged_members_of_a_checkpoint_are_drawn_again(tmp_path):
    config, out = write_project(
        tmp_path, sampling__members=6, parallel__batch=1, parallel__mode="bitwise", model__arguments={"pause": 0.1},
        parallel__network_batch=12, checkpoint__every=0.0,
    ), tmp_path / "out"  # fmt: skip
    job = start(2, "run", config)
    while job.poll() is None and kept(out) < 3:
        time.sleep(0.02)
    job.terminate()
    ended(job)
    members = sorted((out / ".parampi-ensemble.nc" / "members").glob("*.safetensors"))
    members[0].write_bytes(members[0].read_bytes()[:100])
    members[1].write_bytes(b"")
    again = parampi(3, "resume", out)
    assert again.returncode == 0, again.stderr
    parampi(1, "run", config, f"output.directory={tmp_path / 'whole'}", "model.arguments.pause=0.0")
    assert np.array_equal(fields(out / "ensemble.nc"), fields(tmp_path / "whole" / "ensemble.nc"))
