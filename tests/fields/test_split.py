"""Ensembles for other tools: files of a member, start or lead time, and one file with times first; CDO and NCO read them."""

import shutil
import subprocess

import netCDF4
import numpy as np
import pytest
import xarray

import parampi
from parampi.commands.main import commands
from parampi.errors import ConfigError, DataError, OutputError
from parampi.fields.ensembles.split import split
from parampi.fields.stores.merge import merge
from tests.verify.score_cases import draws, write_ensemble

needs_cdo = pytest.mark.skipif(not shutil.which("cdo"), reason="CDO is not installed (Debian package cdo)")
needs_nco = pytest.mark.skipif(not shutil.which("ncks"), reason="NCO is not installed (Debian package nco)")


@pytest.fixture
def ensemble(tmp_path):
    """Six members, three starts, two lead times; and their values (member, start, lead time, y, x)."""
    members, _ = draws()
    path = write_ensemble(tmp_path / "e.nc", members)
    with netCDF4.Dataset(path, "a") as file:
        file.history = "drawn"
    return path, members


def said(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=True)
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


def test_files_of_a_member_have_one_start_and_valid_times(ensemble, tmp_path):
    path, members = ensemble
    files = split(path, tmp_path / "out", "member")
    assert len(files) == 18 and files[4].name == "member_001_start_20010111T000000.nc"
    with xarray.open_dataset(files[4]) as one:
        assert one["t"].dims == ("time", "lat", "lon") and list(one.data_vars) == ["t"]
        np.testing.assert_array_equal(one["t"].values, members[1, 1])
        assert one["time"].values[0] == np.datetime64("2001-01-11T06") and one["time"].attrs["standard_name"] == "time"
        assert one.attrs["realization"] == 1 and one.attrs["forecast_reference_time"] == "2001-01-11T00:00:00"
        assert one["t"].attrs["units"] and "split by parampi" in one.attrs["history"]


def test_files_of_a_start_or_a_lead_time_have_all_members(ensemble, tmp_path):
    path, members = ensemble
    starts, leads = split(path, tmp_path / "a", "start"), split(path, tmp_path / "b", "lead_time")
    assert [len(starts), len(leads)] == [3, 2]
    with xarray.open_dataset(starts[2]) as one, xarray.open_dataset(leads[1]) as other:
        assert one["t"].dims == other["t"].dims == ("time", "member", "lat", "lon")
        np.testing.assert_array_equal(one["t"].values, members[:, 2].swapaxes(0, 1))
        np.testing.assert_array_equal(other["t"].values, members[:, :, 1].swapaxes(0, 1))
        assert one["member"].values.tolist() == list(range(6)) and "lead_time" in other.attrs


def test_what_there_is_not_and_what_exists_is_refused(ensemble, tmp_path):
    path, _ = ensemble
    split(path, tmp_path / "out", "start")
    with pytest.raises(OutputError, match=r"start_20010101T000000\.nc exists"):
        split(path, tmp_path / "out", "start")
    split(path, tmp_path / "out", "start", overwrite=True)
    with pytest.raises(DataError, match="is not an ensemble of members"):
        split(tmp_path / "out" / "start_20010101T000000.nc", tmp_path / "again", "member")
    with pytest.raises(ConfigError, match="has no start to split by; it has member"):
        split(plain(path, tmp_path / "plain.nc"), tmp_path / "no", "start")
    assert [file.name for file in split(tmp_path / "plain.nc", tmp_path / "plain", "member")][-1] == "member_005.nc"


def plain(path, target):
    """A file of members without times."""
    with xarray.open_dataset(path, decode_times=False) as dataset:
        times = [name for name in dataset["complete"].dims if name != "member"]
        dataset.isel(dict.fromkeys(times, 0), drop=True).to_netcdf(target)
    return target


def test_times_first_in_one_file(ensemble, tmp_path):
    path, members = ensemble
    merge([path], tmp_path / "first.nc", order="time_first")
    with xarray.open_dataset(tmp_path / "first.nc") as one:
        assert one["t"].dims[:3] == ("forecast_reference_time", "lead_time", "member")
        np.testing.assert_array_equal(one["t"].values, members.transpose(1, 2, 0, 3, 4))
        assert one["complete"].dims == ("forecast_reference_time", "lead_time", "member")
    assert parampi.open(tmp_path / "first.nc").axes == parampi.open(path).axes


def test_the_verb(ensemble, tmp_path, capsys):
    path, _ = ensemble
    arguments = ["merge", str(path), "--output", str(tmp_path / "out")]
    commands.main([*arguments, "--split", "start"], standalone_mode=False)
    assert capsys.readouterr().out.startswith("wrote 3 files: ")
    with pytest.raises(Exception, match="--split takes one ENSEMBLE"):
        commands.main([*arguments, "--split", "start", "--time-first"], standalone_mode=False)


@needs_cdo
def test_cdo_reads_the_files_and_takes_means(ensemble, tmp_path):
    path, members = ensemble
    files = [file for file in split(path, tmp_path / "out", "member") if "20010121" in file.name]
    lines = said("cdo", "-s", "infon", files[2]).splitlines()
    assert len(lines) == 3 and all(line.rstrip().endswith(": t") for line in lines[1:])
    said("cdo", "-s", "ensmean", *files, tmp_path / "mean.nc")
    with xarray.open_dataset(tmp_path / "mean.nc") as mean:
        np.testing.assert_allclose(mean["t"].values, members[:, 2].mean(0), rtol=1e-5)
    said("cdo", "-s", "infon", split(path, tmp_path / "leads", "lead_time")[0])


@needs_nco
def test_nco_reads_all_of_them(ensemble, tmp_path):
    path, members = ensemble
    merge([path], tmp_path / "first.nc", order="time_first")
    for file in (path, tmp_path / "first.nc", split(path, tmp_path / "out", "start")[1]):
        assert "t:" in said("ncks", "-m", "-v", "t", file) or "t(" in said("ncks", "-m", "-v", "t", file)
    said("ncra", "-O", "-d", "time,0,1", tmp_path / "out" / "start_20010111T000000.nc", tmp_path / "mean.nc")
    with xarray.open_dataset(tmp_path / "mean.nc") as mean:
        np.testing.assert_allclose(mean["t"].values.squeeze(), members[:, 1].mean(1), rtol=1e-5)
