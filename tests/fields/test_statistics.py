"""Statistics of a data set: what they are, there and back through a file, and damaged files."""

import subprocess
import sys

import netCDF4
import numpy as np
import pytest
import torch
import xarray
from hypothesis import given
from hypothesis import strategies as st

from parampi.errors import DataError, OutputError
from parampi.fields import DatasetStatistics, moments

ARRAYS = ("mean", "standard_deviation", "kurtosis", "spectrum", "wavenumber", "reference", "y", "x")


def test_they_are_the_moments_of_the_samples(statistics, samples):
    measured = moments(samples, geometry=statistics.geometry)
    np.testing.assert_array_equal(statistics.mean, measured.mean)
    np.testing.assert_array_equal(statistics.standard_deviation, measured.standard_deviation)
    np.testing.assert_array_equal(statistics.kurtosis, measured.kurtosis)
    np.testing.assert_array_equal(statistics.spectrum, statistics.geometry.spectrum(samples).mean(0))
    assert statistics.samples == 20 and statistics.shape == (2, 6, 8) and statistics.grid == (6, 8)


def test_references_are_spread_evenly_over_the_samples(statistics, samples):
    np.testing.assert_array_equal(statistics.reference, samples[[0, 5, 10, 14, 19]])
    few = DatasetStatistics.from_samples(samples[:3], ["a", "b"], ["1", "1"], ["a", "b"], x=range(8), y=range(6))
    np.testing.assert_array_equal(few.reference, samples[:3])
    assert few.x_units == few.y_units == "1"


def test_normalised_fields_have_mean_0_and_deviation_1(statistics, samples):
    normal = statistics.normalise(samples.astype(np.float64))
    mean = statistics.geometry.mean
    np.testing.assert_allclose(mean(normal).mean(0), 0, atol=1e-14)
    np.testing.assert_allclose(mean(normal**2).mean(0), 1, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=st.integers(0, 100), lead=st.sampled_from([(), (1,), (3, 2)]))
def test_restore_undoes_normalise_in_the_same_dtype(dtype, seed, lead):
    data = np.random.default_rng(0).standard_normal((4, 2, 6, 8)) * 3 + 1
    statistics = DatasetStatistics.from_samples(data, ["a", "b"], ["1", "1"], ["a", "b"], x=range(8), y=range(6))
    fields = np.random.default_rng(seed).standard_normal((*lead, 2, 6, 8)).astype(dtype)
    back = statistics.restore(statistics.normalise(fields))
    assert back.dtype == dtype
    np.testing.assert_allclose(back, fields, atol=20 * np.finfo(dtype).eps)


def test_fields_of_another_shape_are_refused(statistics):
    with pytest.raises(DataError, match=r"\(2, 8, 6\).*\(2, 6, 8\)"):
        statistics.normalise(np.zeros((2, 8, 6)))


@pytest.mark.parametrize(
    "fields", [torch.zeros(2, 6, 8), [[1.0]], None, np.zeros((2, 6, 8), int)], ids=lambda one: type(one).__name__
)
def test_what_are_no_floating_numbers_of_numpy_is_refused(statistics, fields):
    for change in (statistics.normalise, statistics.restore):
        with pytest.raises(DataError, match=r"give a NumPy array, such as tensor.numpy\(\)|give floating numbers"):
            change(fields)


def test_statistics_may_keep_no_samples(samples):
    described = [["a", "b"], ["1", "1"], ["a", "b"]]
    assert DatasetStatistics.from_samples(samples, *described, x=range(8), y=range(6), references=0).reference.shape == (
        0,
        2,
        6,
        8,
    )


def test_there_and_back_through_a_file(statistics, tmp_path):
    statistics.save(tmp_path / "s.nc")
    loaded = DatasetStatistics.from_file(tmp_path / "s.nc")
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(statistics, name))
        assert not np.ma.isMaskedArray(getattr(loaded, name))
    for name in ("names", "units", "long_names", "x_units", "y_units", "samples"):
        assert getattr(loaded, name) == getattr(statistics, name)
    assert [path.name for path in tmp_path.iterdir()] == ["s.nc"]


def test_the_file_explains_itself(statistics, tmp_path):
    statistics.save(tmp_path / "s.nc")
    with xarray.open_dataset(tmp_path / "s.nc") as file:
        assert file["channel"].values.tolist() == ["u", "T"] and file["channel_units"].values.tolist() == ["m s-1", "K"]
        assert file.y.attrs["standard_name"] == "latitude" and file.y.attrs["axis"] == "Y"
        assert "channel_units" in file["mean"].attrs["comment"]
        assert all("units" in file[name].attrs or "comment" in file[name].attrs for name in ARRAYS)


def test_one_unit_for_all_channels_is_an_attribute(samples, tmp_path):
    one = DatasetStatistics.from_samples(samples[:, :1], ["u"], ["m s-1"], ["wind"], x=range(8), y=range(6))
    one.save(tmp_path / "s.nc")
    with netCDF4.Dataset(tmp_path / "s.nc") as file:
        assert (file["mean"].units, file["spectrum"].units, file["kurtosis"].units) == ("m s-1", "(m s-1)2", "1")


def make(samples, **changes):
    arguments = {"names": ["u", "T"], "units": ["m", "K"], "long_names": ["u", "T"], "x": range(8), "y": range(6)}
    return DatasetStatistics.from_samples(samples, **(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["u"]}, r"reference has shape \(16, 2, 6, 8\); expected \(16, 1, 6, 8\)"),
        ({"units": ["m"]}, r"units has shape \(1,\)"),
        ({"names": ["u", "u"]}, "own name"),
        ({"x": range(7)}, r"reference has shape \(16, 2, 6, 8\); expected \(16, 2, 6, 7\) for axes \(sample, channel, y, x\)"),
    ],
)
def test_parts_that_do_not_fit_are_named(samples, changes, message):
    with pytest.raises(DataError, match=message):
        make(samples, **changes)


def test_a_channel_that_does_not_vary_is_refused(samples):
    samples[:, 1] = 4
    with pytest.raises(DataError, match="T has standard deviation 0"):
        make(samples)


def test_what_is_missing_in_a_file_is_named(statistics, tmp_path):
    statistics.save(tmp_path / "s.nc")
    with netCDF4.Dataset(tmp_path / "s.nc", "a") as file:
        file.renameVariable("spectrum", "spectral")
    with pytest.raises(DataError, match=r"s\.nc is not a file of statistics: it has no spectrum; it has .*spectral"):
        DatasetStatistics.from_file(tmp_path / "s.nc")


def test_numbers_that_make_no_sense_are_named_with_the_file(statistics, tmp_path):
    statistics.save(tmp_path / "s.nc")
    with netCDF4.Dataset(tmp_path / "s.nc", "a") as file:
        file["standard_deviation"][1] = np.nan
    with pytest.raises(DataError, match=r"s\.nc: T has standard deviation nan"):
        DatasetStatistics.from_file(tmp_path / "s.nc")


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"none\.nc does not exist"):
        DatasetStatistics.from_file(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("no NetCDF")
    with pytest.raises(DataError, match=r"text\.nc cannot be read as NetCDF"):
        DatasetStatistics.from_file(tmp_path / "text.nc")


def test_a_folder_that_is_missing(statistics, tmp_path):
    with pytest.raises(OutputError, match="is there such a folder"):
        statistics.save(tmp_path / "none" / "s.nc")


def test_start_up_is_light():
    code = (
        "import sys, parampi; light = {'netCDF4', 'xarray', 'h5py', 'matplotlib', 'mpi4py', 'pydantic'};"
        "assert not light & set(sys.modules), light & set(sys.modules);"
        "import parampi.fields, parampi.verify; assert not {'matplotlib', 'xarray', 'h5py', 'mpi4py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_means_and_deviations_alone(statistics, tmp_path):
    """What a framework keeps: it normalises, has no spectrum, and is kept when the rest is measured."""
    known = DatasetStatistics.of_moments(
        statistics.names, statistics.mean + 1, 2 * statistics.standard_deviation, statistics.grid
    )
    known.save(tmp_path / "known.nc")
    read = DatasetStatistics.from_file(tmp_path / "known.nc")
    assert not read.has_spectrum and len(read.reference) == 0 and read.select(read.names[:1]).names == read.names[:1]
    np.testing.assert_array_equal(read.mean, statistics.mean + 1)
    with pytest.raises(
        DataError, match=r"known\.nc has means and standard deviations alone, and a spectrum is needed; measure"
    ):
        read.require_spectrum(tmp_path / "known.nc")
    full = statistics.normalised_by(read, "known.nc")
    assert full.has_spectrum
    np.testing.assert_array_equal(full.standard_deviation, 2 * statistics.standard_deviation)
    np.testing.assert_array_equal(full.spectrum, statistics.spectrum)
    others = DatasetStatistics.of_moments(["q"], [0.0], [1.0], statistics.grid)
    with pytest.raises(DataError, match=r"known\.nc has no .*; it has q; name them with --variable"):
        statistics.normalised_by(others, "known.nc")
