"""Times in letters, and those of forecasts from starts and steps."""

import netCDF4
import numpy as np
import pytest
import xarray

from parampi.errors import DataError
from parampi.fields import FileSamples
from tests.fields.inputs.test_meaning import T, dataset

STARTS = {"units": "hours since 2001-01-01", "standard_name": "forecast_reference_time"}
PLAIN = {"units": "hours since 2001-01-01"}
STEPS = ("step", np.arange(4) * 6.0, {"units": "hours"})


def hours(*paths):
    """Return the times of fields in hours since 2001."""
    with FileSamples(paths, ["t"], least=2) as samples:
        assert samples.times.dated, samples.times
        seconds = samples.times.attributes["units"].startswith("seconds since 1970")
        return (samples.times.values - 978307200) / 3600 if seconds else samples.times.values


def with_times(values, name="time", **attributes):
    return dataset().drop_vars("time").assign({name: ("time", values, attributes)})


DAYS = [f"2001-01-0{day}" for day in (1, 2, 3, 4)]
WRITTEN = {
    "days": (DAYS, {}),
    "ISO": ([f"{day}T06:00:00Z" for day in DAYS], {}),
    "as WRF": ([f"{day}_06:00:00" for day in DAYS], {}),
    "an offset": ([f"{day} 08:00+02:00" for day in DAYS], {}),
    "compact": ([day.replace("-", "") + "06" for day in DAYS], {}),
    "bytes": (np.array([f"{day}T06:00" for day in DAYS], "S16"), {}),
    "digits": (np.array([20010101.25, 20010102.25, 20010103.25, 20010104.25]), {"units": "day as %Y%m%d.%f"}),
}


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("name", ["time", "Times"])
def test_written_times(tmp_path, form, name):
    values, attributes = WRITTEN[form]
    one = with_times(values, name, **attributes).isel(time=[2, 0, 1, 3])
    one.to_netcdf(tmp_path / "a.nc")
    one.to_netcdf(tmp_path / "b.nc", format="NETCDF3_CLASSIC", engine="netcdf4")
    for path in (tmp_path / "a.nc", tmp_path / "b.nc"):
        assert hours(path).tolist() == [(0 if form == "days" else 6) + 24 * day for day in range(4)]
        with FileSamples([path], ["t"]) as samples:
            assert np.array_equal(samples[0:4][:, 0], T)


def test_letters_of_wrf(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in (("Time", None), ("DateStrLen", 19), ("south_north", 6), ("west_east", 8)):
            file.createDimension(name, size)
        file.createVariable("Times", "S1", ("Time", "DateStrLen"))[:] = netCDF4.stringtochar(
            np.array([f"2001-01-01_{hour:02d}:00:00" for hour in (0, 6, 12, 18)], "S19")
        )
        file.createVariable("t", "f4", ("Time", "south_north", "west_east"))[:] = T
    assert hours(tmp_path / "a.nc").tolist() == [0, 6, 12, 18]


def test_letters_outside_of_the_group_of_the_fields(tmp_path):
    days = netCDF4.stringtochar(np.array([f"2001-01-0{day}" for day in (3, 1, 2, 4)], "S10"))
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in (("time", 4), ("letters", 10), ("lat", 6), ("lon", 8)):
            file.createDimension(name, size)
        file.createVariable("time", "S1", ("time", "letters"))[:] = days
        for group in ("forecast", "other"):
            file.createGroup(group).createVariable(group[0], "f4", ("time", "lat", "lon"))[:] = T[[2, 0, 1, 3]]
    for names in (["f"], ["forecast/f", "other/o"]):
        with FileSamples([tmp_path / "a.nc"], names) as samples:
            assert samples.times.dated and np.array_equal(samples[0:4][:, -1], T)


@pytest.mark.parametrize(
    ("values", "attributes", "message"),
    [
        ([*DAYS[:3], "2001-02-30"], {}, r"a\.nc: time is '2001-02-30' at index 3, which is no date of the calendar"),
        (
            ["one", "two", "three", "four"],
            {},
            r"a\.nc: time is 'one' at index 0, which is no date .*; write such as 2000-01-31T",
        ),
        ([200101.0, 200102, 200103, 200104], {"units": "month as %Y%m.%f"}, r"a\.nc: time is in 'month as %Y%m\.%f'; write"),
    ],
)
def test_written_times_that_are_none(tmp_path, values, attributes, message):
    with_times(values, **attributes).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(DataError, match=message):
        hours(tmp_path / "a.nc")


def forecast(start, dims=("time", "step", "lat", "lon"), **coordinates):
    """Return a forecast of four steps from one start."""
    fields = xarray.DataArray(T[None], dims=("time", "step", "lat", "lon")).transpose(*dims)
    one = xarray.Dataset({"t": (dims, fields.values, {"units": "K"})}, dataset().drop_vars("time").coords)
    return one.assign_coords({"time": ("time", [start], STARTS), "step": STEPS} | coordinates)


FORECASTS = {
    "starts that say so": lambda: forecast(24.0),
    "starts that do not": lambda: forecast(24.0, time=("time", [24.0], PLAIN)),
    "a valid time": lambda: forecast(24.0, valid_time=(("time", "step"), [24 + STEPS[1]], PLAIN)),
    "a valid time that counts": lambda: forecast(0.0, valid_time=("step", 24 + STEPS[1], PLAIN)),
    "in days": lambda: forecast(24.0, step=("step", STEPS[1] / 24, {"units": "days"})),
    "a lead time": lambda: forecast(24.0).rename(step="lead_time"),
    "under its standard name": lambda: forecast(
        24.0, k=("step", STEPS[1], {"units": "hours", "standard_name": "forecast_period"})
    ).drop_vars("step"),
    "with a height and a member": lambda: forecast(24.0).expand_dims(height=[2.0], number=[0]),
    "steps first": lambda: forecast(24.0, ("step", "lat", "time", "lon")),
    "no axis of starts": lambda: forecast(24.0).squeeze("time"),
}


@pytest.mark.parametrize("form", FORECASTS)
def test_fields_of_a_forecast_are_at_their_valid_times(tmp_path, form):
    FORECASTS[form]().to_netcdf(tmp_path / "a.nc")
    assert hours(tmp_path / "a.nc").tolist() == [24, 30, 36, 42]
    with FileSamples([tmp_path / "a.nc"], ["t"], least=2) as samples:
        assert np.array_equal(samples[0:4][:, 0], T)


def test_one_step_of_several_starts(tmp_path):
    one = dataset().assign_coords(time=("time", np.arange(4) * 24.0, STARTS))
    for name, form in (
        ("axis", one.expand_dims(step=[6.0], axis=1)),
        ("scalar", one.assign_coords(step=6.0)),
        ("both", one.expand_dims(step=[6.0], axis=1).isel(time=[0])),
    ):
        form["step"].attrs["units"] = "hours"
        form.to_netcdf(tmp_path / f"{name}.nc")
        assert hours(tmp_path / f"{name}.nc").tolist() == [6, 30, 54, 78][: form.sizes["time"]]


def test_times_that_are_valid_already(tmp_path):
    """As iris has them: times, periods and starts along one axis."""
    one = dataset().assign_coords(
        time=("time", np.arange(4) * 6.0, PLAIN | {"standard_name": "time"}),
        forecast_period=("time", np.arange(4) * 6.0, {"units": "hours", "standard_name": "forecast_period"}),
        forecast_reference_time=((), 0.0, STARTS),
    )
    one.to_netcdf(tmp_path / "a.nc")
    assert hours(tmp_path / "a.nc").tolist() == [0, 6, 12, 18]


def test_steps_without_units(tmp_path):
    forecast(0.0, step=("step", STEPS[1])).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(DataError, match=r"a\.nc: step has no units, so that the times of its fields are not known"):
        hours(tmp_path / "a.nc")


@pytest.mark.parametrize(
    "units", ["days since 2%01-01-01", "days since -", "days since 2001-13-01", "days since 2001-01-01 25:00"]
)
def test_units_of_times_that_make_no_sense(tmp_path, units):
    dataset().assign_coords(time=("time", np.arange(4.0), {"units": units})).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(DataError, match=rf"a\.nc: time is in '{units}', calendar 'standard', which cftime cannot read"):
        hours(tmp_path / "a.nc")
