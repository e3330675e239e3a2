"""Coordinates, static fields and masks of a grid file, in the ensemble file."""

import netCDF4
import numpy as np
import pytest
import xarray

from parampi.__main__ import main
from parampi.errors import ConfigError, DataError
from parampi.fields.stores.check import check
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.rerun import rerun
from tests.fields.test_cf import findings
from tests.small import write_project

WANTED = ["lat", "lon", "orography", "crs"]


def write_grid(path, y="rlat", x="rlon", size=8, mask=None):
    with netCDF4.Dataset(path, "w") as file:
        for name, length in ((y, size), (x, 8), ("corner", 4)):
            file.createDimension(name, length)
        for name, word in ((y, "latitude"), (x, "longitude")):
            axis = file.createVariable(name, "f8", (name,))
            axis.setncatts({"standard_name": f"grid_{word}", "long_name": f"{word} in rotated pole grid", "units": "degrees"})
            axis[:] = 0.5 * np.arange(len(file.dimensions[name]))
        for name, units, long_name in (("lat", "degrees_north", "latitude"), ("lon", "degrees_east", "longitude")):
            variable = file.createVariable(name, "f8", (y, x))
            variable.setncatts({"units": units, "standard_name": long_name, "bounds": f"{name}_bnds"})
            variable[:] = np.add.outer(np.arange(size), np.arange(8.0))
            file.createVariable(f"{name}_bnds", "f8", (y, x, "corner"))[:] = variable[:][:, :, None] + [-0.5, 0.5, 0.5, -0.5]
        height = file.createVariable("orography", "i2", (y, x), fill_value=-999)
        height.setncatts({"units": "m", "standard_name": "surface_altitude", "scale_factor": 0.5})
        height[:] = np.ma.masked_equal(np.arange(size * 8).reshape(size, 8), 5)
        file.createVariable("crs", "i4", ()).setncatts(
            {
                "grid_mapping_name": "rotated_latitude_longitude",
                "grid_north_pole_latitude": 40.0,
                "grid_north_pole_longitude": 0.0,
            }
        )
        sea = file.createVariable("sea", "f4", (y, x), fill_value=-1.0)
        sea[:] = np.ma.masked_less(np.add.outer(np.arange(size), np.arange(8)) % 3 if mask is None else mask, 0)
    return path


@pytest.fixture
def project(tmp_path):
    write_grid(tmp_path / "grid.nc")
    path = write_project(
        tmp_path, parallel__mode="bitwise", output__grid="grid.nc", output__grid_variables=WANTED, output__mask="sea"
    )
    in_degrees(tmp_path / "statistics.nc")
    return path


def in_degrees(path):
    """The grid of the statistics in the units of the grid file."""
    with netCDF4.Dataset(path, "a") as file:
        for axis in ("y", "x"):
            file[axis].units = "degrees"


def test_what_is_taken_over(tmp_path, project):
    run(load(project))
    with xarray.open_dataset(tmp_path / "out" / "ensemble.nc") as file, xarray.open_dataset(tmp_path / "grid.nc") as grid:
        for name in ("lat", "lon", "orography", "lat_bnds", "lon_bnds"):
            np.testing.assert_array_equal(file[name].values, grid[name].values)
            assert file[name].dims[:2] == ("y", "x")
        assert file["y"].attrs["standard_name"] == "grid_latitude" and file["orography"].attrs["units"] == "m"
        assert {"lat", "lon"} <= set(file["vorticity"].coords) and file["vorticity"].attrs["grid_mapping"] == "crs"
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert file["vorticity"].coordinates == "realization lat lon"
    assert not findings(tmp_path / "out" / "ensemble.nc")["high"]


def test_the_mask(tmp_path, project):
    run(load(project, ["output.summary=[mean]"]))
    kept = np.add.outer(np.arange(8), np.arange(8)) % 3 != 0
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        fields = np.ma.filled(file["vorticity"][:], np.nan)
        mean = np.ma.filled(file["vorticity_mean"][:], np.nan)
    assert np.isfinite(fields[:, kept]).all() and np.isnan(fields[:, ~kept]).all() and np.array_equal(np.isfinite(mean), kept)
    assert check(tmp_path / "out" / "ensemble.nc").problems == []
    assert rerun(tmp_path / "out" / "ensemble.nc", 2).differences == {"vorticity": 0.0}


def test_a_mask_of_the_cells_that_a_field_lacks(tmp_path, project):
    with netCDF4.Dataset(tmp_path / "grid.nc", "a") as file:
        file.createDimension("time", 2)
        sst = file.createVariable("sst", "f4", ("time", "rlat", "rlon"), fill_value=-1e9)
        values = np.zeros((2, 8, 8))
        sst[:] = np.ma.array(values, mask=np.broadcast_to(np.eye(8, dtype=bool), values.shape))
    run(load(project, ["output.mask=sst", f"output.figure={'report.png'}"]))
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert np.array_equal(np.isnan(np.ma.filled(file["vorticity"][0], np.nan)), np.eye(8, dtype=bool))
    assert (tmp_path / "out" / "report.png").is_file()


@pytest.mark.parametrize(
    ("overrides", "kind", "words"),
    [
        (["output.grid=no.nc"], DataError, r"no\.nc does not exist"),
        (["output.grid_variables=[height]"], DataError, r"grid\.nc has no variable height; it has lat, lat_bnds, lon, "),
        (["output.mask=land"], DataError, r"grid\.nc has no variable land; it has"),
        (
            ["output.mask=rlat", "output.grid_variables=[lat]"],
            DataError,
            r"output\.mask = rlat has the axes \(rlat\)",
        ),
        (
            ["output.mask=crs", "output.grid_variables=[]"],
            DataError,
            r"has neither the axes y, x nor a variable \(y, x\)",
        ),
        (["output.grid=null"], ConfigError, r"grid_variables and mask name variables of a file; give it as output\.grid"),
    ],
    ids=str,
)
def test_what_is_refused(project, overrides, kind, words):
    with pytest.raises(kind, match=words):
        run(load(project, overrides))


def test_another_grid(tmp_path, project):
    write_grid(tmp_path / "grid.nc", size=9)
    with pytest.raises(
        DataError, match=r"has fields of 9 x 8 points along rlat and rlon, the statistics of 8 x 8; all must have the same grid"
    ):
        run(load(project))


def test_a_mask_that_leaves_nothing(tmp_path, project):
    write_grid(tmp_path / "grid.nc", mask=np.zeros((8, 8)))
    with pytest.raises(DataError, match=r"output\.mask = sea is 0 or missing everywhere, so that nothing would be written"):
        run(load(project))


def test_a_masked_ensemble_is_compared_with_masked_data(tmp_path, project, capsys):
    with netCDF4.Dataset(tmp_path / "data.nc", "w") as file:
        for name, size in (("time", 30), ("y", 8), ("x", 8)):
            file.createDimension(name, size)
        variable = file.createVariable("vorticity", "f8", ("time", "y", "x"))
        variable.units = "s-1"
        kept = np.add.outer(np.arange(8), np.arange(8)) % 3 != 0
        variable[:] = np.where(kept, np.random.default_rng(0).normal(1.0, 2.0, (30, 8, 8)), np.nan)
    arguments = [
        "stats",
        str(tmp_path / "data.nc"),
        "--output",
        str(tmp_path / "statistics.nc"),
        "--missing",
        "mean",
        "--overwrite",
    ]
    assert main(arguments) == 0
    run(load(project))
    capsys.readouterr()
    arguments = ["verify", str(tmp_path / "out" / "ensemble.nc"), "--statistics", str(tmp_path / "statistics.nc")]
    assert main(arguments) == 0
    assert "nan" not in capsys.readouterr().out


def test_a_file_as_xarray_writes_it_has_fill_values_on_its_coordinates(tmp_path):
    axis = np.arange(8.0) * 0.5
    grid = xarray.Dataset(
        {"height": (("y", "x"), np.ones((8, 8)), {"units": "m"})},
        {"y": ("y", axis, {"units": "m", "long_name": "northing"}), "x": ("x", axis, {"units": "m"})},
    )
    grid.to_netcdf(tmp_path / "grid.nc", encoding={"y": {"dtype": "i2", "scale_factor": 0.25, "_FillValue": -1}})
    run(load(write_project(tmp_path, output__grid="grid.nc", output__grid_variables=["height"])))
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert file["y"].long_name == "northing" and not {"_FillValue", "scale_factor"} & set(file["y"].ncattrs())
        np.testing.assert_array_equal(file["y"][:], axis)


def test_texts_are_not_static_fields(tmp_path):
    write_grid(tmp_path / "grid.nc")
    with netCDF4.Dataset(tmp_path / "grid.nc", "a") as file:
        file.createVariable("names", str, ("rlat",))
    path = write_project(tmp_path, output__grid="grid.nc", output__grid_variables=["lat", "names"])
    in_degrees(tmp_path / "statistics.nc")
    with pytest.raises(DataError, match="names does not hold numbers"):
        run(load(path))
