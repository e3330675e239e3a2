"""Every store by real MPI jobs: the same variables, bit for bit."""

import subprocess

import h5py
import netCDF4
import numpy as np
import pytest

from parampi.fields import STORES, open_ensemble
from tests.ranks.launch import ROOT, environment, parampi_on
from tests.small import write_conditions, write_project

pytestmark = pytest.mark.mpi

SUMMARY = ["mean", "standard_deviation", "minimum", "maximum", "quantiles"]
PARALLEL = h5py.get_config().mpi


def draw(ranks, *arguments, code=0):
    command = parampi_on(ranks, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=ROOT, env=environment(140))
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def values(path):
    with open_ensemble(path) as file:
        file.set_auto_mask(False)
        assert file.parampi_complete == 1
        return {name: (v.dimensions, np.asarray(v[...]).tobytes()) for name, v in file.variables.items()}


def shared_stores():
    """Names of the stores that several ranks write, as far as the installed h5py can."""
    return [name for name, store in STORES.items() if store.writers == "groups" and (PARALLEL or not store.collective)]


def test_members(tmp_path):
    config = write_project(tmp_path, sampling__members=7, parallel__mode="bitwise", output__summary=SUMMARY)
    draw(1, "run", config, f"output.directory={tmp_path / 'one'}")
    expected = values(tmp_path / "one" / "ensemble.nc")
    for mode, ranks, time_ranks in [
        ("gather", 4, 2),
        *((mode, 4, time_ranks) for mode in shared_stores() for time_ranks in (1, 2, 4)),
    ]:
        out = tmp_path / f"{mode}-{time_ranks}"
        output = draw(
            ranks, "run", config, f"output.directory={out}", f"output.mode={mode}", f"parallel.time_ranks={time_ranks}"
        )
        assert values(out / f"ensemble{STORES[mode].ending}") == expected, (mode, time_ranks)
        assert ("beside it" in output) is (mode == "virtual")
        assert len(list(out.glob("ensemble.nc.parts/*.nc"))) == (4 // time_ranks if mode == "virtual" else 0)


def test_members_of_cases(tmp_path):
    write_conditions(tmp_path / "cond.nc")
    config = write_project(
        tmp_path, sampling__members=3, parallel__mode="bitwise", output__summary=SUMMARY,
        condition__files="cond.nc", condition__variables=["vorticity"], condition__select=[2, 0],
    )  # fmt: skip
    draw(1, "run", config, f"output.directory={tmp_path / 'one'}")
    expected = values(tmp_path / "one" / "ensemble.nc")
    for mode in shared_stores():
        out = tmp_path / mode
        draw(4, "run", config, f"output.directory={out}", f"output.mode={mode}")
        assert values(out / f"ensemble{STORES[mode].ending}") == expected, mode


def test_roll_outs(tmp_path):
    write_conditions(tmp_path / "cond.nc")
    config = write_project(
        tmp_path, sampling__members=3, parallel__mode="bitwise", parallel__network_batch=4, output__summary=["mean"],
        condition__files="cond.nc", condition__variables=["vorticity"], condition__select=[1], condition__lead_times=2,
    )  # fmt: skip
    draw(1, "run", config, f"output.directory={tmp_path / 'one'}")
    expected = values(tmp_path / "one" / "ensemble.nc")
    for mode, time_ranks, every in [("virtual", 2, "30"), ("gather", 2, "30"), ("virtual", 4, "null"), ("auto", 1, "null")]:
        out = tmp_path / f"{mode}-{time_ranks}"
        ranks = 3 if time_ranks == 1 else 4
        draw(ranks, "run", config, f"output.directory={out}", f"output.mode={mode}", f"parallel.time_ranks={time_ranks}",
             f"checkpoint.every={every}")  # fmt: skip
        assert values(out / "ensemble.nc") == expected, (mode, time_ranks)


def test_one_plain_file_by_default_and_parts_of_earlier_runs_are_removed(tmp_path):
    config, parts = write_project(tmp_path), tmp_path / "out" / "ensemble.nc.parts"
    draw(2, "run", config, "output.mode=virtual")
    assert len(list(parts.iterdir())) == 2
    for ranks in (2, 1):
        output = draw(ranks, "run", config, "--overwrite")
        assert ("merged at the end from the parts of 2 ranks" in output) is (ranks == 2)
        with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
            assert file.parampi_complete == 1 and not hasattr(file, "parampi_parts") and not hasattr(file, "comment")
        assert not parts.exists()


@pytest.mark.skipif(PARALLEL, reason="this h5py can write in parallel")
def test_a_library_that_cannot_write_in_parallel_is_refused_before_sampling(tmp_path):
    output = draw(2, "run", write_project(tmp_path), "output.mode=mpio", code=2)
    assert "needs h5py with parallel HDF5, which the installed one lacks" in output and "HDF5_MPI=ON" in output
    assert "round 1" not in output and "Traceback" not in output


@pytest.mark.skipif(not PARALLEL, reason="needs h5py with parallel HDF5")
def test_compressing_in_parallel_is_refused(tmp_path):
    output = draw(2, "run", write_project(tmp_path), "output.mode=mpio", "output.compression=4", code=2)
    assert "parallel HDF5 cannot compress" in output
