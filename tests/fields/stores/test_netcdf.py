"""The NetCDF file of an ensemble: conventions, whole or absent, and read back."""

import resource
import warnings
from datetime import datetime

import netCDF4
import numpy as np
import pytest
import xarray

from parampi.errors import DataError, OutputError
from parampi.fields import DatasetStatistics, MemberFacts, NetCDFStore, read_members
from tests.fields.schemas import schema_of

FACTS = MemberFacts(seed=3, rounds=5, evaluations=90, residual=1e-3)


@pytest.fixture
def write(statistics, samples, tmp_path):
    """Write members into a file in the test's folder and return its path."""

    def write(members=(2, 5), finished=None, name="e.nc", **options):
        path = tmp_path / name
        with NetCDFStore(path, schema_of(statistics, members, **{"seed": 3} | options)) as store:
            for k, member in enumerate(members if finished is None else finished):
                store.write(member, samples[k], FACTS)
        return path

    return write


def test_xarray_opens_it_with_nothing_else_and_without_a_warning(write, samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xarray.open_dataset(write()) as file:
            file.load()
    assert file["u"].dims == file["T"].dims == ("member", "y", "x") and file["u"].dtype == np.float32
    np.testing.assert_array_equal(file["T"].values, samples[:2, 1])
    assert file["u"].attrs["units"] == "m s-1" and file["u"].attrs["long_name"] == "eastward wind"
    assert "realization" in file.coords and file["realization"].values.tolist() == [2, 5]
    assert file["realization"].dtype == np.int32 and file["realization"].attrs["standard_name"] == "realization"
    assert {name: file[name].dtype for name in ("seed", "rounds", "evaluations")} == dict.fromkeys(
        ("seed", "rounds", "evaluations"), np.int64
    )
    assert file["residual"].attrs["long_name"] == "relative residual of the last sweep"
    assert file["complete"].values.tolist() == [1, 1] and file["complete"].dtype == np.int8


def test_conventions_grid_and_units(write):
    with netCDF4.Dataset(write()) as file:
        assert file.Conventions == "CF-1.11" and file.data_model == "NETCDF4" and file.parampi_complete == 1
        assert datetime.strptime(file.history.split(": ")[0], "%Y-%m-%dT%H:%M:%SZ")
        assert file["y"].axis == "Y" and file["x"].axis == "X" and file["y"].units == "degrees_north"
        assert file["u"].chunking() == [1, 6, 8] and np.isnan(file["u"]._FillValue)
        assert file["complete"].flag_meanings.split() == ["missing", "finished"]
        assert file["complete"].flag_values.tolist() == [0, 1]
        assert all("units" in variable.ncattrs() for name, variable in file.variables.items() if name != "complete")


def test_attributes_of_every_kind(write):
    attributes = {
        "parampi_config": "seed: 3\nnäme: é",
        "ranks": 4,
        "tolerance": 1e-3,
        "exact": True,
        "huge": 2**80,
        "title": "Mine",
    }
    with netCDF4.Dataset(write(attributes=attributes)) as file:
        assert file.parampi_config == attributes["parampi_config"] and file.title == "Mine"
        assert (file.ranks, file.tolerance, file.exact, file.huge) == (4, 1e-3, 1, str(2**80))


def test_members_that_are_missing_are_filled_and_marked(write):
    with xarray.open_dataset(write((0, 1, 9), finished=(1,))) as file:
        assert file["complete"].values.tolist() == [0, 1, 0] and file.attrs["parampi_complete"] == 0
        assert np.isnan(file["u"].values).all((1, 2)).tolist() == [True, False, True]
        assert np.isnan(file["residual"].values).tolist() == [True, False, True]
        assert file["rounds"].values.tolist() == [0, 5, 0] and file["seed"].values.tolist() == [3, 3, 3]


def test_the_largest_seeds_and_numbers_fit(statistics, samples, tmp_path):
    seed = 2**64 - 1
    with NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [2**32 - 1], seed)) as store:
        store.write(2**32 - 1, samples[0], MemberFacts(seed, 1, 1, 0.0))
    with xarray.open_dataset(tmp_path / "e.nc") as file:
        assert int(file["seed"][0]) == seed and int(file["realization"][0]) == 2**32 - 1


def test_the_file_appears_only_when_it_is_whole(statistics, samples, tmp_path):
    store = NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0], 3))
    store.write(0, samples[0], FACTS)
    assert [path.name for path in tmp_path.iterdir()] == [".e.nc.parampi-partial"]
    store.close(complete=True)
    assert [path.name for path in tmp_path.iterdir()] == ["e.nc"]


def test_an_existing_file_is_kept_unless_overwriting_and_replaced_at_the_end(write, statistics, samples):
    path = write((1,))
    with pytest.raises(OutputError, match="--overwrite"):
        write((2,))
    store = NetCDFStore(path, schema_of(statistics, [2], 3), overwrite=True)
    store.write(2, samples[2], FACTS)
    assert read_members(path, ["u"])[1] == [1]
    store.close(complete=True)
    assert read_members(path, ["u"])[1] == [2]


def test_a_file_made_by_another_meanwhile_is_not_lost(statistics, samples, tmp_path):
    store = NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0], 3))
    store.write(0, samples[0], FACTS)
    (tmp_path / "e.nc").write_text("precious")
    with pytest.raises(OutputError, match=r"finished file is .*\.e\.nc\.parampi-partial"):
        store.close(complete=True)
    assert (tmp_path / "e.nc").read_text() == "precious"
    assert read_members(tmp_path / ".e.nc.parampi-partial", ["u"])[1] == [0]


def test_two_jobs_with_one_output(statistics, tmp_path):
    with NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0], 3)), pytest.raises(OutputError, match="another job"):
        NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0], 3))


def test_what_a_killed_job_left_is_in_nobodys_way(write, tmp_path):
    (tmp_path / ".e.nc.parampi-partial").write_bytes(b"half a file")
    assert read_members(write((1,)), ["u"])[1] == [1]


def test_a_full_disk_is_one_clear_error(statistics, tmp_path):
    field = np.zeros((1, 256, 256), np.float32)
    big = DatasetStatistics.from_samples(
        np.random.default_rng(0).standard_normal((2, *field.shape)), ["u"], ["1"], ["u"], x=range(256), y=range(256)
    )
    store = NetCDFStore(tmp_path / "e.nc", schema_of(big, range(4), 3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=r"e\.nc cannot be written .* disk full"), store:
            for member in range(4):
                store.write(member, field, FACTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "e.nc").exists()


def test_channels_cannot_take_the_files_own_names(samples, tmp_path):
    taken = DatasetStatistics.from_samples(samples, ["u", "x"], ["1", "1"], ["u", "s"], x=range(8), y=range(6))
    with pytest.raises(OutputError, match="'x'"):
        NetCDFStore(tmp_path / "e.nc", schema_of(taken, [0], 3))
    assert list(tmp_path.iterdir()) == []


def test_reading_leaves_out_what_was_not_finished(write, samples):
    fields, members = read_members(write((0, 1, 9), finished=(1, 9)), ["T", "u"])
    assert members == [1, 9] and fields.dtype == np.float32
    np.testing.assert_array_equal(fields, samples[:2, ::-1])


def test_reading_says_what_is_missing(write, statistics, tmp_path):
    with pytest.raises(DataError, match=r"is not an ensemble of u, v: it has no v; it has .*T"):
        read_members(write(), ["u", "v"])
    NetCDFStore(tmp_path / "none.nc", schema_of(statistics, [0], 3)).close(complete=False)
    with pytest.raises(DataError, match="no finished member"):
        read_members(tmp_path / "none.nc", ["u"])
