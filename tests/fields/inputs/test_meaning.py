"""What files say decides, not where it stands in them: directions, origins, orders, units, marks, formats."""

from pathlib import Path
from typing import Any

import cftime
import h5py
import netCDF4
import numpy as np
import pytest
import xarray

from parampi.errors import DataError
from parampi.fields import DatasetStatistics, FileSamples
from parampi.fields.inputs.grid_files import read_grid
from parampi.fields.inputs.horizontal import Axis, Grid, placement
from parampi.fields.inputs.units import conversion
from parampi.run.config import load
from parampi.run.job import run
from tests.campaign import data, inputs
from tests.small import write_project

LAT, LON = np.linspace(-75.0, 75.0, 6), np.arange(8) * 45.0
T = 280.0 + np.random.default_rng(1).normal(size=(4, 6, 8)).astype("f4")


def dataset(values: Any = T, dims: tuple[str, ...] = ("time", "lat", "lon"), **attributes: Any) -> xarray.Dataset:
    coordinates = {
        "time": ("time", np.arange(4.0), {"units": "days since 2001-01-01"}),
        "lat": ("lat", LAT, {"units": "degrees_north"}),
        "lon": ("lon", LON, {"units": "degrees_east"}),
    }
    return xarray.Dataset({"t": (dims, values, {"units": "K"} | attributes)}, coordinates)


def read(*paths: Path, names: tuple[str, ...] = ("t",), **options: Any) -> Any:
    with FileSamples(paths, names, **options) as samples:
        return samples[0 : samples.shape[0]][:, 0]


FORMS = {
    "from north": lambda one: one.isel(lat=slice(None, None, -1)),
    "from -180": lambda one: (
        one.roll(lon=4).assign_coords(lon=np.roll(LON, 4) - 360.0 * (np.roll(LON, 4) >= 180)).assign_attrs()
    ),
    "x before y": lambda one: one.transpose("lon", "time", "lat"),
    "times fall": lambda one: one.isel(time=slice(None, None, -1)),
    "in radians": lambda one: one.assign_coords(lat=("lat", np.deg2rad(LAT), {"units": "radian"})),
    "float32 coordinates": lambda one: one.assign_coords(lat=("lat", LAT.astype("f4"), {"units": "degrees_north"})),
}


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_of_the_same_fields(tmp_path, form):
    first, second = dataset().isel(time=[0, 1]), FORMS[form](dataset().isel(time=[2, 3]))
    for axis, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
        second[axis].attrs.setdefault("units", units)
    first.to_netcdf(tmp_path / "a.nc", encoding={"time": {"_FillValue": None}})
    second.to_netcdf(tmp_path / "b.nc")
    assert np.array_equal(read(tmp_path / "a.nc", tmp_path / "b.nc"), T)
    assert np.array_equal(read(tmp_path / "b.nc", tmp_path / "a.nc", grid=GRID), T)


GRID = Grid(Axis.of("lat", LAT, "degrees_north"), Axis.of("lon", LON, "degrees_east"), "the grid")


@pytest.mark.parametrize(
    ("lat", "lon", "message"),
    [
        (LAT + 1, LON, "point 0 of lat is at -74 degrees_north, that of the grid at -75 degrees_north, and no other direction"),
        (LAT, LON + 22.5, "point 0 of lon is at 22.5 degrees_east"),
        (LAT[:-1], LON, "has fields of 5 x 8 points along lat and lon, the grid of 6 x 8"),
    ],
)
def test_other_points_are_refused(lat, lon, message):
    with pytest.raises(DataError, match=message):
        placement(Grid(Axis.of("lat", lat, "degrees_north"), Axis.of("lon", lon, "degrees_east"), "a.nc"), GRID)


def test_what_has_no_coordinates_stays_as_it_is():
    bare = Grid(Axis.of("y", np.arange(6.0), "1"), Axis.of("x", np.arange(8.0), "1"), "a.nc")
    assert not placement(bare, GRID).changes and not placement(GRID, bare).changes


@pytest.mark.parametrize(
    ("source", "target", "value"),
    [
        ("m s**-1", "m s-1", 1.0),
        ("m/s", "m s-1", 1.0),
        ("degC", "K", 274.15),
        ("degrees Celsius", "K", 274.15),
        ("deg C", "K", 274.15),
        ("hPa", "Pa", 100.0),
        ("%", "1", 0.01),
        ("(0 - 1)", "1", 1.0),
        ("dimensionless", "", 1.0),
        ("kg m**-2 s**-1", "kg m-2 s-1", 1.0),
        ("gpm", "m", 1.0),
        ("K", "m", None),
        ("nonsense", "K", None),
        ("nonsense", "nonsense", 1.0),
        ("", "K", None),
    ],
)
def test_units(source, target, value):
    change = conversion(source, target)
    assert (change is None) if value is None else float(change(np.array(1.0))) == pytest.approx(value)


def test_equal_units_change_no_bit():
    values = np.random.default_rng(0).normal(size=100)
    assert conversion("m s**-1", "m/s")(values) is values


STORED = {
    "a mark that is not exact in floats": (np.array([1.0, -9999.9, 3.0], "f4"), {"missing_value": -9999.9}, [1, np.nan, 3]),
    "two marks": (np.array([1, -1, -2], "i2"), {"_FillValue": np.int16(-1), "missing_value": -2}, [1, np.nan, np.nan]),
    "a mark beyond the type": (np.array([1, 2, 3], "i2"), {"missing_value": 1e20}, [1, 2, 3]),
    "a mark as text": (np.array([1.0, -9.0, 3.0], "f4"), {"missing_value": "-9.0"}, [1, np.nan, 3]),
    "a range of stored values": (np.array([0, 11, 4], "i2"), {"valid_range": np.array([0, 10], "i2"), "scale_factor": 0.5},
                                 [0, np.nan, 2]),
    "a range of unpacked values": (np.array([0, 11, 4], "i2"), {"valid_max": 5.0, "scale_factor": 0.5}, [0, np.nan, 2]),
    "a range with a negative factor": (np.array([0, 11, 4], "i2"), {"valid_max": np.int16(10), "scale_factor": -0.5},
                                       [0, np.nan, -2]),
    "a least value": (np.array([0.1, -5.0, 4.0], "f4"), {"valid_min": 0.1}, [0.1, np.nan, 4]),
    "unsigned bytes": (np.array([0, -1, -2], "i1"), {"_Unsigned": "true"}, [0, 255, 254]),
    "packed": (np.array([0, 100, -100], "i2"), {"scale_factor": 0.01, "add_offset": 280.0}, [280, 281, 279]),
}  # fmt: skip


@pytest.mark.parametrize("case", STORED)
def test_how_values_are_stored(tmp_path, case):
    stored, attributes, values = STORED[case]
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in (("time", 1), ("y", 1), ("x", 3)):
            file.createDimension(name, size)
        fill = attributes.get("_FillValue")
        variable = file.createVariable("t", stored.dtype, ("time", "y", "x"), fill_value=fill)
        variable.set_auto_maskandscale(False)
        variable.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
        variable[:] = stored
    np.testing.assert_allclose(read(tmp_path / "a.nc")[0, 0], values, rtol=1e-6)


@pytest.mark.parametrize(
    "attributes", [{"scale_factor": 0.0}, {"scale_factor": np.nan}, {"add_offset": "x"}, {"valid_range": 1.0}]
)
def test_packing_that_makes_no_sense(tmp_path, attributes):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name in ("time", "y", "x"):
            file.createDimension(name, 2)
        for name in ("t", "other"):
            file.createVariable(name, "i2", ("time", "y", "x"))
        file["t"].setncatts(attributes)
    with pytest.raises(DataError, match=rf"a\.nc: t has {next(iter(attributes))} = "):
        read(tmp_path / "a.nc")
    assert read(tmp_path / "a.nc", names=("other",)).shape == (2, 2, 2)


def test_formats(tmp_path):
    dataset().to_netcdf(tmp_path / "4.nc")
    dataset().to_netcdf(tmp_path / "3.nc", format="NETCDF3_64BIT", engine="netcdf4")
    dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)
    dataset().to_netcdf(tmp_path / "g.nc", group="forecast/surface")
    with netCDF4.Dataset(tmp_path / "z.nc", "w") as file:
        for name, size in zip(("time", "lat", "lon"), T.shape, strict=True):
            file.createDimension(name, size)
        file.createVariable("t", "f4", ("time", "lat", "lon"), compression="zstd")[:] = T
        file["t"].units = "K"
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = T.astype("f2")
    for name in ("4.nc", "3.nc", "a.zarr", "g.nc", "z.nc"):
        assert np.array_equal(read(tmp_path / name), T), name
    assert np.array_equal(read(tmp_path / "a.h5"), T.astype("f2"))
    (tmp_path / "x.grib").write_bytes(b"GRIB" + bytes(100))
    for name, words in (("x.grib", "it is GRIB; make NetCDF of it"), (".", "is a folder and no Zarr group")):
        with pytest.raises(DataError, match=words):
            read(tmp_path / name)


def test_a_filter_that_is_not_installed_is_named(tmp_path, monkeypatch):
    dataset().to_netcdf(tmp_path / "a.nc", encoding={"t": {"zlib": True}})
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 1)
    with pytest.raises(
        DataError, match=r"a\.nc: t is compressed by filter 1 of HDF5 \(deflate\), which is not installed; install"
    ):
        read(tmp_path / "a.nc")


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("unlimited", [True, False])
def test_truncated_classic_files(tmp_path, form, unlimited):
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, size in (("time", None if unlimited else 4), ("lat", 6), ("lon", 8)):
            file.createDimension(name, size)
        file.createVariable("odd", "i1", ("time",))[:] = np.arange(4)
        file.createVariable("t", "f4", ("time", "lat", "lon"))[:] = T
    assert np.array_equal(read(path), T)
    whole = path.read_bytes()
    for kept in (len(whole) - 5, len(whole) // 2, 40, 3):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=r"a\.nc is (truncated: its header says|damaged: its header|no file of NetCDF)"):
            read(path)


def test_odd_times(tmp_path):
    dataset().assign_coords(time=("time", [0.0, 1.0, np.nan, 3.0], {"units": "days since 2001-01-01"})).to_netcdf(
        tmp_path / "a.nc"
    )
    with pytest.raises(DataError, match=r"a\.nc: time has no value at index 2"):
        read(tmp_path / "a.nc")
    dataset().assign_coords(time=("time", [0.0, 1.0, 2, 3], {"units": "fortnights since 2001-01-01"})).to_netcdf(
        tmp_path / "b.nc"
    )
    with pytest.raises(DataError, match=r"b\.nc: time is in 'fortnights since 2001-01-01', .*which cftime cannot read"):
        read(tmp_path / "b.nc")
    two = dataset().drop_vars("time").assign(time=(("time", "date"), np.zeros((4, 6)), {"units": "y m d h m s"}))
    two.to_netcdf(tmp_path / "c.nc")
    with pytest.raises(DataError, match=r"c\.nc: time has the axes \(time, date\); parampi takes times of one axis"):
        read(tmp_path / "c.nc")


def test_a_mask_and_static_fields_are_turned(tmp_path):
    mask = np.zeros((6, 8), "f4")
    mask[0] = 1.0
    turned = dataset().isel(time=0, drop=True).assign(sea=(("lat", "lon"), mask)).isel(lat=slice(None, None, -1)).transpose()
    turned.to_netcdf(tmp_path / "grid.nc")
    grid = read_grid(tmp_path / "grid.nc", grid=GRID, copy=["sea", "t"], mask="sea")
    assert np.array_equal(grid.mask, mask == 1)
    assert np.array_equal(grid.variables[0].values, mask) and grid.variables[0].axes == ("lat", "lon")
    assert np.array_equal(grid.variables[1].values, T[0])


def test_attributes_are_of_values_they_belong_to(tmp_path):
    one = dataset().isel(time=0, drop=True)
    one["lat"].attrs |= {"actual_range": [-75.0, 75.0], "long_name": "north"}
    encoding = {
        "t": {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -1},
        "lat": {"_FillValue": -999.0},
    }
    one.assign_coords(lat=("lat", np.deg2rad(LAT), one["lat"].attrs | {"units": "radian"})).to_netcdf(
        tmp_path / "grid.nc", encoding=encoding
    )
    grid = read_grid(tmp_path / "grid.nc", grid=GRID, copy=["t"], mask=None)
    assert grid.axes["lat"] == {"long_name": "north"} and set(grid.variables[0].attributes) == {"units"}
    bare = Grid(Axis.of("lat", np.arange(6.0), "1"), Axis.of("lon", np.arange(8.0), "1"), "the statistics")
    grid = read_grid(tmp_path / "grid.nc", grid=bare, copy=[], mask=None)
    assert grid.axes["lat"]["units"] == "radian" and np.allclose(grid.points["lat"], np.deg2rad(LAT))


@pytest.mark.slow
def test_one_content_in_many_forms(tmp_path):
    tally = data.campaign(tmp_path, count=100, seed=5)
    assert not tally.troubles, tally


@pytest.mark.slow
def test_damaged_files(tmp_path):
    tally = inputs.campaign(tmp_path, count=60, seed=6)
    assert not tally.troubles, tally


def curved(values, lat, lon):
    places = {"lat": (("nj", "ni"), lat, {"units": "degrees_north"}), "lon": (("nj", "ni"), lon, {"units": "degrees_east"})}
    time = {"time": ("time", np.arange(len(values)) + float(values[0, 0, 0]) * 1e-3, {"units": "days since 2001-01-01"})}
    return xarray.Dataset({"t": (("time", "nj", "ni"), values, {"units": "K"})}, places | time)


def test_curvilinear_grids(tmp_path):
    """Points are where two-dimensional coordinates say; files that name them in another direction are turned."""
    lat, lon = LAT[:, None] + 0.1 * LON[None] / 45, LON[None] + 0.2 * LAT[:, None] / 30
    curved(T[:2], lat, lon).to_netcdf(tmp_path / "a.nc")
    other = curved(T[2:] + 100, lat, (lon + 180) % 360 - 180)
    other.isel(nj=slice(None, None, -1)).transpose("ni", "time", "nj").to_netcdf(tmp_path / "b.nc")
    assert np.array_equal(np.sort(read(tmp_path / "a.nc", tmp_path / "b.nc"), 0), np.sort(np.r_[T[:2], T[2:] + 100], 0))
    curved(T[2:] + 100, lat + 1, lon).to_netcdf(tmp_path / "c.nc")
    with pytest.raises(DataError, match=r"c\.nc: the first point of \(nj, ni\) is at -74 N, .* and no other direction fits"):
        read(tmp_path / "a.nc", tmp_path / "c.nc")


def test_the_same_ensemble_whatever_the_form(tmp_path):
    """From the north, from -180, x before y, packed, times falling, in other units of time: the same bits."""
    values = np.round(T * 4) / 4
    plain, odd = dataset(values), dataset(values)
    odd = FORMS["from -180"](odd).isel(lat=slice(None, None, -1), time=slice(None, None, -1)).transpose("lon", "time", "lat")
    odd["lon"].attrs["units"] = "degrees_east"
    odd = odd.assign_coords(
        time=("time", odd.time.values * 24 + 24, {"units": "hours since 2000-12-31", "calendar": "gregorian"})
    )
    drawn = []
    for name, form, encoding in (
        ("plain", plain, {}),
        ("odd", odd, {"t": {"dtype": "i2", "scale_factor": 0.25, "add_offset": 280.0, "_FillValue": -32768}}),
    ):
        home = tmp_path / name
        home.mkdir()
        form.to_netcdf(home / "cond.nc", encoding=encoding)
        path = write_project(
            home, model__shape=[1, 6, 8], sampling__members=1, parallel__mode="bitwise", condition__files="cond.nc",
            condition__variables=["t"], condition__select=[0, 2],
        )  # fmt: skip
        statistics = DatasetStatistics.from_samples(
            values[:, None],
            ["t"],
            ["K"],
            ["t"],
            x=LON,
            y=LAT,
            x_units="degrees_east",
            y_units="degrees_north",
            axes=("lat", "lon"),
        )
        statistics.save(home / "statistics.nc")
        run(load(path))
        with netCDF4.Dataset(home / "out" / "ensemble.nc") as file:
            drawn.append((file["t"][:], cftime.num2date(file["time"][:], file["time"].units, "standard")))
    assert np.array_equal(drawn[0][0], drawn[1][0]) and np.array_equal(drawn[0][1], drawn[1][1])
