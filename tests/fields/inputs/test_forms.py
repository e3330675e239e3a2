"""Ordinary files of the field in their many forms: read as what they say, or refused, never taken for something else."""

import h5py
import netCDF4
import numpy as np
import pytest
import xarray

from parampi.errors import DataError
from parampi.fields import Conditions, DatasetStatistics, FileSamples, Rollout
from parampi.fields.inputs.grid_files import read_grid
from parampi.fields.moments import moments
from tests.fields.inputs.test_meaning import FORMS, GRID, LAT, LON, T, curved, dataset, read

TIME = {"units": "hours since 2001-01-01", "standard_name": "time"}
CURVED = LAT[:, None] + 0.1 * LON[None] / 45, LON[None] + 0.2 * LAT[:, None] / 30


def statistics(y=LAT, x=LON, units=("degrees_north", "degrees_east"), axes=("lat", "lon")):
    return DatasetStatistics.from_samples(
        T[:, None], ["t"], ["K"], ["t"], x=x, y=y, x_units=units[1], y_units=units[0], axes=axes
    )


def drawn(conditions):
    known = conditions.statistics
    return conditions(conditions.cases.indices)[:, 0] * known.standard_deviation[0] + known.mean[0]


def without_units(one):
    one["lat"].attrs, one["lon"].attrs = {}, {}
    return one


def steps_of_a_forecast(one):
    one = one.rename(time="step").assign_coords(step=("step", np.arange(4) * 6.0, {"units": "hours"}))
    return one.assign_coords(time=((), 0.0, TIME), valid_time=("step", np.arange(4) * 6.0, TIME))


ORDINARY = {
    "no units of axes": without_units,
    "no units of axes, from -180": lambda one: without_units(FORMS["from -180"](one)),
    "a height of one": lambda one: one.expand_dims(height=[2.0], axis=1),
    "one member before the times": lambda one: one.expand_dims(number=[0]),
    "one member after all": lambda one: one.expand_dims(number=[0], axis=3),
    "steps of a forecast": steps_of_a_forecast,
}


@pytest.mark.parametrize("form", ORDINARY)
def test_ordinary_forms(tmp_path, form):
    ORDINARY[form](dataset()).to_netcdf(tmp_path / "a.nc")
    conditions = Conditions([tmp_path / "a.nc"], ("t",), statistics())
    assert np.allclose(drawn(conditions), T) and conditions.times.dated
    bare = statistics(units=("1", "1"))
    assert np.allclose(drawn(Conditions([tmp_path / "a.nc"], ("t",), bare)), T)


@pytest.mark.parametrize("coordinate", [True, False])
def test_files_of_one_time_are_put_in_order(tmp_path, coordinate):
    for hour in (0, 1):
        one = dataset().isel(time=hour, drop=True).expand_dims(height=[2.0])
        one = one.assign_coords(time=((), hour, TIME)) if coordinate else one.assign(time=((), hour, TIME))
        one.to_netcdf(tmp_path / f"{hour}.nc")
    conditions = Conditions([tmp_path / "1.nc", tmp_path / "0.nc"], ("t",), statistics())
    assert conditions.cases.name == "time" and np.allclose(drawn(conditions), T[:2])


def test_calendars_that_differ_before_1582(tmp_path):
    """The same number of days since the year 1 is two days earlier in the proleptic calendar."""
    for name, days, calendar in (("a", [730489, 730490], "standard"), ("b", [730489, 730490], "proleptic_gregorian")):
        one = dataset().isel(time=[0, 1] if name == "a" else [2, 3])
        one["time"] = ("time", days, {"units": "days since 0001-01-01", "calendar": calendar})
        one.to_netcdf(tmp_path / f"{name}.nc")
    with FileSamples([tmp_path / "a.nc", tmp_path / "b.nc"], ["t"]) as samples:
        assert samples.times.values.tolist() == [730489, 730490, 730491, 730492] and np.array_equal(samples[0:4][:, 0], T)
    with FileSamples([tmp_path / "b.nc", tmp_path / "a.nc"], ["t"]) as samples:
        assert samples.times.values.tolist() == [730487, 730488, 730489, 730490] and np.array_equal(samples[0:4][:, 0], T)


def test_levels_are_in_their_units(tmp_path):
    """1000 is a level of both files, at 10 hPa in the one: units decide."""
    one = dataset().expand_dims(plev=[100000.0, 1000.0], axis=1).copy(deep=True)
    one["t"][:, 0] += 1
    for name, factor, units in (("a", 0.01, "hPa"), ("b", 1.0, "Pa"), ("c", 1.0, "m")):
        made = one.assign_coords(plev=("plev", one["plev"].values * factor, {"units": units, "axis": "Z"}))
        made["t"].attrs["units"] = "K"
        made.to_netcdf(tmp_path / f"{name}.nc")
    with FileSamples([tmp_path / "a.nc"], ["t@1000"]) as samples:
        known = samples.statistics()
    assert np.allclose(drawn(Conditions([tmp_path / "b.nc"], ["t@1000"], known)), T + 1)
    assert Conditions([tmp_path / "b.nc"], ["t@10", "t@1000"], statistics_of_levels(tmp_path)).names == ("t@10", "t@1000")
    with pytest.raises(DataError, match=r"c\.nc: the levels plev are in 'm', but those of its statistics, .* in 'hPa'"):
        Conditions([tmp_path / "c.nc"], ["t@1000"], known)


def statistics_of_levels(folder):
    with FileSamples([folder / "a.nc"], ["t@*"]) as samples:
        return samples.statistics()


def test_units_of_times_in_capitals(tmp_path):
    one = dataset().assign_coords(time=("time", np.arange(4) * 24.0, {"units": "Hours since 2001-01-01"}))
    one.to_netcdf(tmp_path / "a.nc")
    rollout = Rollout(2, "1 days", {"t": "t"})
    conditions = Conditions([tmp_path / "a.nc"], ["t"], statistics(), select=[0], rollout=rollout, channels=("t",))
    assert conditions.leads.values == (24.0, 48.0) and conditions.leads.units == "hours"


def test_months_are_no_steps(tmp_path):
    months = {"units": "months since 2001-01-01", "calendar": "360_day"}
    dataset().assign_coords(time=("time", np.arange(4.0), months)).to_netcdf(tmp_path / "a.nc")
    rollout = Rollout(2, "30 days", {"t": "t"})
    with pytest.raises(DataError, match="times of the files are in 'months since 2001-01-01', in which no step can be counted"):
        Conditions([tmp_path / "a.nc"], ["t"], statistics(), select=[0], rollout=rollout, channels=("t",))


def test_falling_indices(tmp_path):
    indices = {"y": np.arange(6.0), "x": np.arange(8.0)}
    one = xarray.Dataset({"t": (("time", "y", "x"), T, {"units": "K"})}, indices).isel(y=slice(None, None, -1))
    one.to_netcdf(tmp_path / "a.nc")
    known = statistics(indices["y"], indices["x"], ("1", "1"), ("y", "x"))
    assert np.allclose(drawn(Conditions([tmp_path / "a.nc"], ["t"], known)), T)


def numbered(one):
    return one.assign_coords(ni=np.arange(1, 9), nj=np.arange(1, 7))


def of_each_time(one):
    places = {name: (("time", "nj", "ni"), np.stack([one[name].values] * 2), one[name].attrs) for name in ("lat", "lon")}
    return one.drop_vars(["lat", "lon"]).assign_coords(places)


@pytest.mark.parametrize("form", [numbered, of_each_time])
def test_places_decide_and_not_numbers_of_points(tmp_path, form):
    lat, lon = CURVED
    form(curved(T[:2], lat, lon)).to_netcdf(tmp_path / "a.nc")
    form(curved(T[2:] + 100, lat, lon).isel(ni=slice(None, None, -1))).to_netcdf(tmp_path / "b.nc")
    form(curved(T[2:] + 100, lat + 3, lon)).to_netcdf(tmp_path / "c.nc")
    with FileSamples([tmp_path / "a.nc", tmp_path / "b.nc"], ["t"]) as samples:
        turned = samples[0:4][:, 0]
    assert all(any(np.array_equal(field, other) for field in turned) for other in (*T[:2], *(T[2:] + 100)))
    with pytest.raises(DataError, match=r"c\.nc: the first point of \(nj, ni\) is at -72 N"):
        read(tmp_path / "a.nc", tmp_path / "c.nc")


def test_a_fold_does_not_widen_the_tolerance(tmp_path):
    """A step of 180 degrees at the fold of a tripolar grid; the other file is one point farther east."""
    lat, lon = np.repeat(LAT[:, None], 8, 1), np.repeat(np.arange(8.0)[None], 6, 0)
    lon[-1, 4:] += 180
    curved(T[:2], lat, lon).to_netcdf(tmp_path / "a.nc")
    curved(T[2:], lat, lon + 1).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(DataError, match="no other direction fits"):
        read(tmp_path / "a.nc", tmp_path / "b.nc")


def test_a_mask_of_one_time(tmp_path):
    mask = np.zeros((1, 6, 8), "f4")
    mask[0, 0] = 1.0
    one = (
        dataset()
        .isel(time=[0])
        .assign(lsm=(("time", "lat", "lon"), mask), sst=(("time", "lat", "lon"), np.where(mask, 0.0, np.nan)))
    )
    one.to_netcdf(tmp_path / "a.nc")
    for name in ("lsm", "sst"):
        assert np.array_equal(read_grid(tmp_path / "a.nc", grid=GRID, copy=[], mask=name).mask, mask[0] == 1)


def test_groups_with_axes_of_other_lengths(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("y", 3)
        file.createVariable("y", "f8", ("y",))[:] = [1, 2, 3]
        group = file.createGroup("fields")
        for name, size in zip(("time", "y", "x"), T.shape, strict=True):
            group.createDimension(name, size)
        group.createVariable("y", "f8", ("y",))[:] = LAT
        group.createVariable("t", "f4", ("time", "y", "x"))[:] = T
    assert np.array_equal(read(tmp_path / "a.nc"), T)


def test_attributes_that_name_nothing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = T
        file["t"].attrs.update({"units": "K", "coordinates": 7, "bounds": [1, 2], "standard_name": 5, "axis": [1, 2]})
    assert np.array_equal(read(tmp_path / "a.h5"), T)


def test_values_that_nobody_wrote(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in zip(("time", "y", "x"), T.shape, strict=True):
            file.createDimension(name, size)
        file.createVariable("t", "f4", ("time", "y", "x"))[:3] = T[:3]
    assert np.isnan(read(tmp_path / "a.nc")[3]).all()


def test_no_times_at_all(tmp_path):
    dataset().isel(time=[]).to_netcdf(tmp_path / "a.nc", unlimited_dims=["time"])
    with pytest.raises(DataError, match=r"a\.nc: no field is in it, as the axis time is empty"):
        Conditions([tmp_path / "a.nc"], ("t",), statistics())


def test_every_value_counts_alike():
    fields = np.random.default_rng(0).normal(3.0, 2.0, (9, 2, 6, 8))
    fields[0, 0, 1:], fields[3, 1, :5], fields[0, 0, 0, 0] = np.nan, np.nan, 20.0
    measured = moments(fields, missing="mean")
    assert np.allclose(measured.mean, np.nanmean(fields, (0, 2, 3)))
    assert np.allclose(measured.standard_deviation, np.nanstd(fields, (0, 2, 3)))
    centred = fields - measured.mean[:, None, None]
    expected = np.nanmean(centred**4, (0, 2, 3)) / np.nanmean(centred**2, (0, 2, 3)) ** 2
    assert np.allclose(measured.kurtosis, expected)
