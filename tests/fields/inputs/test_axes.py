"""Axes and their coordinates: by whatever name these say what they are."""

import numpy as np
import pytest
import xarray

from parampi.errors import DataError
from parampi.fields import FileSamples
from tests.fields.inputs.test_meaning import T, dataset, read

LEVELS = {
    "units of pressure": {"units": "hPa"},
    "positive": {"positive": "down"},
    "axis": {"axis": "Z"},
    "standard name": {"standard_name": "air_pressure"},
    "name": {},
}


@pytest.mark.parametrize("attributes", LEVELS)
@pytest.mark.parametrize("named", [True, False])
def test_levels_under_another_name_than_their_axis(tmp_path, attributes, named):
    one = xarray.Dataset({"t": (("time", "k", "lat", "lon"), np.stack([T, T + 1], 1), {"units": "K"})}, dataset().coords)
    one["plev"] = ("k", [500.0, 850.0], LEVELS[attributes])
    (one.set_coords("plev") if named else one).to_netcdf(tmp_path / "a.nc")
    assert np.array_equal(read(tmp_path / "a.nc", names=("t@850",)), T + 1)
    with FileSamples([tmp_path / "a.nc"], ["t@*"]) as samples:
        assert samples.names == ("t@500", "t@850")
        axis = samples.statistics().level_axes["t"]
    assert axis.name == "plev" and dict(axis.attributes).items() <= LEVELS[attributes].items()


def test_numbers_of_points_are_no_coordinates_where_others_are(tmp_path):
    one = dataset().rename_dims(lat="y", lon="x").reset_coords()
    one = one.assign_coords(y=np.arange(6), x=np.arange(8))
    one.isel(time=[0, 1]).to_netcdf(tmp_path / "a.nc")
    one.isel(time=[2, 3], y=slice(None, None, -1)).to_netcdf(tmp_path / "b.nc")
    one.assign(lat=one["lat"] + 1).isel(time=[2, 3]).to_netcdf(tmp_path / "c.nc")
    assert np.array_equal(read(tmp_path / "a.nc", tmp_path / "b.nc"), T)
    with pytest.raises(DataError, match=r"c\.nc: point 0 of y is at -74 degrees_north"):
        read(tmp_path / "a.nc", tmp_path / "c.nc")
