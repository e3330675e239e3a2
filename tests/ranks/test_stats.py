"""`parampi stats` on ranks: the same bits as on one, and one rank's bad sample is everybody's."""

import subprocess

import netCDF4
import numpy as np
import pytest

from tests.ranks.launch import ROOT, environment, on_ranks

pytestmark = pytest.mark.mpi


def write(path, bad=None):
    fields = np.random.default_rng(0).normal(3.0, 2.0, (150, 6, 5))
    if bad is not None:
        fields[bad] = np.nan
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 150), ("y", 6), ("x", 5)):
            file.createDimension(name, size)
        file.createVariable("u", "f8", ("time", "y", "x"))[:] = fields


def stats(ranks, data, output):
    command = on_ranks(ranks, "-m", "parampi", "stats", data, "--output", output)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment(100))


def test_the_same_bits_on_any_number_of_ranks(tmp_path):
    write(tmp_path / "a.nc")
    found = []
    for ranks in (1, 3):
        done = stats(ranks, tmp_path / "a.nc", tmp_path / f"{ranks}.nc")
        assert done.returncode == 0 and done.stdout.count("150 samples") == 1, done.stderr
        with netCDF4.Dataset(tmp_path / f"{ranks}.nc") as file:
            found.append({name: file[name][:].tobytes() for name in ("mean", "standard_deviation", "kurtosis", "spectrum")})
    assert found[0] == found[1]


def test_a_bad_sample_in_the_last_ranks_share(tmp_path):
    write(tmp_path / "a.nc", bad=149)
    done = stats(3, tmp_path / "a.nc", tmp_path / "s.nc")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "sample 149 of the fields holds NaN, Inf or missing values" in done.stderr
    assert not (tmp_path / "s.nc").exists()
