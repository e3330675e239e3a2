"""The same y and x are the same places only in the same projection; statistics remember it, and places."""

import numpy as np
import pytest

from parampi.errors import DataError
from parampi.fields import Conditions, DatasetStatistics, FileSamples
from parampi.fields.inputs.grid_files import read_grid
from parampi.fields.inputs.horizontal import grid_of_statistics
from tests.fields.inputs.test_forms import CURVED
from tests.fields.inputs.test_meaning import LAT, LON, T, curved, dataset, read

ROTATED = {"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 39.25,
           "grid_north_pole_longitude": -162.0}  # fmt: skip
CONE = {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": [33.0, 45.0],
        "latitude_of_projection_origin": 39.0, "longitude_of_central_meridian": -96.0, "earth_radius": 6371229.0}  # fmt: skip
WGS, UTM = ({"crs_wkt": f'PROJCS["x",UNIT["metre",1],AUTHORITY["EPSG","{number}"]]'} for number in (32632, 32633))


def projected(times, attributes, named=True):
    one = dataset().isel(time=times).rename(lat="rlat", lon="rlon")
    for name in ("rlat", "rlon"):
        one[name].attrs = {"units": "degrees"}
    one["t"].attrs |= {"grid_mapping": "crs"} if named else {}
    return one.assign(crs=((), 0, attributes)) if attributes else one


SAME = {
    "equal": (ROTATED, ROTATED),
    "a longitude a turn later": (ROTATED, ROTATED | {"grid_north_pole_longitude": 198.0}),
    "float32": (ROTATED, ROTATED | {"grid_north_pole_latitude": np.float32(39.25001)}),
    "a default": (ROTATED, ROTATED | {"north_pole_grid_longitude": 0.0}),
    "another sphere": (CONE, CONE | {"earth_radius": 6370000.0}),
    "the radius under its other name": (CONE, CONE | {"semi_major_axis": 6371229.0}),
    "parallels the other way": (CONE, CONE | {"standard_parallel": [45.0, 33.0]}),
    "one parallel twice": (CONE | {"standard_parallel": 33.0}, CONE | {"standard_parallel": [33.0, 33.0]}),
    "not said": (ROTATED, {}),
    "words": (ROTATED | {"long_name": "a"}, ROTATED | {"long_name": "b"}),
    "text": (UTM, UTM),
}
OTHER = {
    "another pole": (
        ROTATED,
        ROTATED | {"grid_north_pole_latitude": 43.0},
        "grid_north_pole_latitude = 43.0, that of .* 39.25",
    ),
    "turned about its pole": (ROTATED, ROTATED | {"north_pole_grid_longitude": 5.0}, "north_pole_grid_longitude = 5.0"),
    "another projection": (ROTATED, CONE, "grid_mapping_name = lambert_conformal_conic, that of .* rotated_latitude_longitude"),
    "another parallel": (CONE, CONE | {"standard_parallel": [30.0, 45.0]}, r"standard_parallel = \[30.0, 45.0\]"),
    "another meridian": (CONE, CONE | {"longitude_of_central_meridian": -90.0}, "longitude_of_central_meridian = -90.0"),
    "another Earth": (CONE, CONE | {"earth_radius": 3389500.0}, "earth_radius"),
    "another code": (UTM, WGS, "crs_wkt"),
}


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("named", [True, False])
def test_the_same_projection(tmp_path, case, named):
    for name, times, attributes in (("a", [0, 1], SAME[case][0]), ("b", [2, 3], SAME[case][1])):
        projected(times, attributes, named).to_netcdf(tmp_path / f"{name}.nc")
    assert np.array_equal(read(tmp_path / "a.nc", tmp_path / "b.nc"), T)


@pytest.mark.parametrize("case", OTHER)
@pytest.mark.parametrize("named", [True, False])
def test_another_projection(tmp_path, case, named):
    for name, times, attributes in (("a", [0, 1], OTHER[case][0]), ("b", [2, 3], OTHER[case][1])):
        projected(times, attributes, named).to_netcdf(tmp_path / f"{name}.nc")
    with pytest.raises(DataError, match=rf"b\.nc: its grid has {OTHER[case][2]}.* are other places; bring both onto one grid"):
        read(tmp_path / "a.nc", tmp_path / "b.nc")
    with FileSamples([tmp_path / "a.nc"], ["t"]) as samples:
        samples.statistics().save(tmp_path / "statistics.nc")
    known = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    with pytest.raises(DataError, match=rf"b\.nc: its grid has {OTHER[case][2]}"):
        Conditions([tmp_path / "b.nc"], ["t"], known)
    with pytest.raises(DataError, match=rf"b\.nc: its grid has {OTHER[case][2]}"):
        read_grid(tmp_path / "b.nc", grid=grid_of_statistics(known), copy=["t"], mask=None)


def test_what_y_implies(tmp_path):
    """The numbers of a grid that is turned, and of one that is not, without a word on projections."""
    for name, times in (("latitude", [0, 1]), ("grid_latitude", [2, 3])):
        one = projected(times, {})
        one["rlat"].attrs["standard_name"] = name
        one.to_netcdf(tmp_path / f"{name}.nc")
    with pytest.raises(DataError, match=r"grid_mapping_name = rotated_latitude_longitude, that of .* latitude_longitude"):
        read(tmp_path / "latitude.nc", tmp_path / "grid_latitude.nc")


def located(times, shift=0.0):
    """Return fields with coordinates y and x, and with latitudes and longitudes that are `shift` farther north."""
    lat, lon = CURVED
    one = projected(times, {})
    places = {"lat": (("rlat", "rlon"), lat + shift, {"units": "degrees_north"}),
              "lon": (("rlat", "rlon"), lon, {"units": "degrees_east"})}  # fmt: skip
    return one.assign_coords(places)


def test_places_of_the_same_coordinates(tmp_path):
    located([0, 1]).to_netcdf(tmp_path / "a.nc")
    located([2, 3]).isel(rlat=slice(None, None, -1)).to_netcdf(tmp_path / "b.nc")
    located([2, 3], 2.0).to_netcdf(tmp_path / "c.nc")
    assert np.array_equal(read(tmp_path / "a.nc", tmp_path / "b.nc"), T)
    with pytest.raises(DataError, match=r"c\.nc: a point is at .* N, .* E, that of .*a\.nc at the same rlat and rlon at"):
        read(tmp_path / "a.nc", tmp_path / "c.nc")


def test_statistics_remember_places(tmp_path):
    lat, lon = CURVED
    for name, shift in (("a", 0.0), ("b", 3.0)):
        curved(T, lat + shift, lon).to_netcdf(tmp_path / f"{name}.nc")
    curved(T, lat, lon).isel(ni=slice(None, None, -1)).to_netcdf(tmp_path / "c.nc")
    with FileSamples([tmp_path / "a.nc"], ["t"]) as samples:
        samples.statistics().save(tmp_path / "statistics.nc")
    known = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    assert np.array_equal(known.places, CURVED)
    for use in (
        lambda: Conditions([tmp_path / "b.nc"], ["t"], known),
        lambda: read_grid(tmp_path / "b.nc", grid=grid_of_statistics(known), copy=["t"], mask=None),
        lambda: Conditions([tmp_path / "a.nc"], ["t"], known, select=[0], static=(tmp_path / "b.nc", ["t"])),
    ):
        with pytest.raises(DataError, match=r"b\.nc: the first point of \(nj, ni\) is at -72 N"):
            use()
    turned = Conditions([tmp_path / "c.nc"], ["t"], known)
    assert np.allclose(turned([0])[:, 0] * known.standard_deviation + known.mean, T[:1])


def test_files_are_compared_where_statistics_say_nothing(tmp_path):
    known = DatasetStatistics.from_samples(T[:, None], ["t"], ["K"], ["t"], x=LON, y=LAT, axes=("rlat", "rlon"))
    located([0, 1]).to_netcdf(tmp_path / "a.nc")
    located([2, 3], 2.0).to_netcdf(tmp_path / "c.nc")
    with pytest.raises(DataError, match=r"c\.nc: a point is at"):
        Conditions([tmp_path / "a.nc", tmp_path / "c.nc"], ["t"], known)
