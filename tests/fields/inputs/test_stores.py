"""Stores of Zarr and files of HDF5 with what is legal there: fill values, odd types, groups, axes without names."""

import h5py
import numpy as np
import pytest
import xarray
import zarr

from parampi.errors import DataError
from parampi.fields import Conditions, FileSamples
from tests.fields.inputs.test_meaning import T, dataset, read

NAN = np.nan
MARKS = {
    "0 is there by default": ((2, 3), "f4", 0, None, [0, -9, 1]),
    "0 is there by default, of integers": ((2, 3), "i2", 0, None, [0, -9, 1]),
    "of Zarr 2 the only mark": ((2,), "f4", -9, None, [0, NAN, 1]),
    "of Zarr 3 none": ((3,), "f4", -9, None, [0, -9, 1]),
    "NaN": ((2, 3), "f4", NAN, None, [0, -9, 1]),
    "an attribute": ((2, 3), "f4", 0, -9.0, [0, NAN, 1]),
    "an attribute of integers": ((2, 3), "i2", 0, -9, [0, NAN, 1]),
    "0 as an attribute": ((2, 3), "f4", 1, 0.0, [NAN, -9, 1]),
    "an attribute as text": ((2, 3), "f4", 0, "NaN", [0, -9, 1]),
    "an attribute as xarray writes it": ((2, 3), "f4", 0, "AAAAAAAAIsA=", [0, NAN, 1]),
}


def write_array(path, form, kind, fill, attributes):
    group = zarr.open_group(path, mode="w", zarr_format=form)
    named = {"dimension_names": ("time", "y", "x")} if form == 3 else {}
    array = group.create_array("t", shape=(1, 1, 3), dtype=kind, fill_value=fill, **named)
    array.attrs.update(attributes | ({"_ARRAY_DIMENSIONS": ["time", "y", "x"]} if form == 2 else {}))
    array[0, 0] = np.array([0, -9, 1])
    return group


@pytest.mark.parametrize("case", MARKS)
def test_marks_in_zarr(tmp_path, case):
    forms, kind, fill, mark, values = MARKS[case]
    for form in forms:
        path = tmp_path / f"{form}.zarr"
        write_array(path, form, kind, fill, {} if mark is None else {"_FillValue": mark})
        np.testing.assert_array_equal(read(path)[0, 0], values)


def test_a_packed_array_of_zarr_whose_0_may_be_a_mark(tmp_path):
    write_array(tmp_path / "a.zarr", 2, "i2", 0, {"scale_factor": 0.5})
    with pytest.raises(DataError, match=r"a\.zarr: t is packed, and its fill_value 0 may mark missing values or be a value; w"):
        read(tmp_path / "a.zarr")
    write_array(tmp_path / "a.zarr", 2, "i2", 0, {"scale_factor": 0.5, "_FillValue": 0})
    np.testing.assert_array_equal(read(tmp_path / "a.zarr")[0, 0], [NAN, -4.5, 0.5])


ODD = {
    "rows of several lengths": h5py.vlen_dtype(np.float64),
    "references": h5py.ref_dtype,
    "records": np.dtype([("a", "f8"), ("b", "i4")]),
    "opaque bytes": h5py.opaque_dtype(np.dtype("V5")),
    "opaque dates": h5py.opaque_dtype(np.dtype("M8[s]")),
    "arrays": np.dtype(("f8", (3,))),
}


def test_variables_of_other_types_do_not_matter(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = T
        file.create_dataset("flags", T.shape, dtype=h5py.enum_dtype({"clear": 0, "cloud": 1}))
        for name, kind in ODD.items():
            file.create_dataset(name, (2,), dtype=kind)
        clock = h5py.h5t.UNIX_D32LE
        h5py.h5d.create(file.id, b"a type", clock, h5py.h5s.create_simple((2,)))
    assert np.array_equal(read(tmp_path / "a.h5"), T) and not read(tmp_path / "a.h5", names=("flags",)).any()
    for name in (*ODD, "a type"):
        with pytest.raises(DataError, match=rf"a\.h5: {name} holds {name}.*, which is no field; write its numbers"):
            read(tmp_path / "a.h5", names=(name,))


def test_arrays_of_other_types_do_not_matter(tmp_path):
    group = write_array(tmp_path / "a.zarr", 2, "f4", 0, {})
    group.create_array("odd", shape=(2,), dtype=np.dtype([("a", "f8")])).attrs["_ARRAY_DIMENSIONS"] = ["n"]
    assert read(tmp_path / "a.zarr").shape == (1, 1, 3)
    with pytest.raises(DataError, match=r"a\.zarr: odd holds .*, which is no field"):
        read(tmp_path / "a.zarr", names=("odd",))


VELOCITY = np.stack([T, T + 1], -1)  # (time, y, x, component)


def write_well(path):
    """Write fields (sample, time, x, y[, component]) in groups by the rank of their tensors, as many collections do."""
    with h5py.File(path, "w") as file:
        file["t0_fields/density"] = T[None].swapaxes(2, 3)
        file["t1_fields/velocity"] = VELOCITY[None].swapaxes(2, 3)
        file["dimensions/time"] = np.arange(4.0)
        file["statics/mask"] = np.ones((8, 6))
    return path


AXES = ("sample", "time", "x", "y", "channel")


def test_variables_in_several_groups_with_axes_that_the_user_names(tmp_path):
    path = write_well(tmp_path / "a.h5")
    with FileSamples([path], ["t0_fields/density", "t1_fields/velocity@*"], axes=AXES) as samples:
        assert samples.names == ("density", "velocity@0", "velocity@1")
        fields, known = samples[0:4], samples.statistics()
    assert np.array_equal(fields, np.stack([T, T, T + 1], 1)) and known.level_axes["velocity"].name == "channel"
    conditions = Conditions([path], ["t1_fields/velocity@1", "density"], known, axes=AXES)
    assert conditions.names == ("velocity@1", "density")
    drawn = conditions([2])[0] * known.standard_deviation[[2, 0], None, None] + known.mean[[2, 0], None, None]
    assert np.allclose(drawn, [T[2] + 1, T[2]])


@pytest.mark.parametrize(
    ("names", "axes", "message"),
    [
        (["t0_fields/velocity"], AXES, r"a\.h5 has no variable t0_fields/velocity; it has .*t1_fields/velocity"),
        (["density", "other/density"], (), r"a\.h5: several variables are named density, in different groups"),
        (["density"], ("x", "y"), r"a\.h5: density has shape \(1, 4, 8, 6\), 4 axes; named are x, y"),
        (["density"], ("time", "x", "x", "y"), "axes = time, x, x, y: name y and x once"),
        (["density"], ("a", "b", "c", "d"), "axes = a, b, c, d: name y and x once"),
        ([], AXES, "name the variables that have these axes"),
        (["density", "statics/mask"], ("sample", "time", "y", "x"), r"a\.h5: mask has shape .* along \(y, x\)"),
    ],
)
def test_names_of_axes_and_groups_that_do_not_fit(tmp_path, names, axes, message):
    with pytest.raises(DataError, match=message), FileSamples([write_well(tmp_path / "a.h5")], names, axes=axes, least=2):
        pass


def test_groups_with_axes_of_one_name(tmp_path):
    """The same name of an axis in two groups is one axis only where its coordinates are the same."""
    one = dataset().isel(time=[0, 1])
    for name, other in (("a", one), ("b", one.assign_coords(lat=one["lat"] + 1))):
        path = tmp_path / f"{name}.nc"
        one.to_netcdf(path, group="high")
        other.rename(t="u").to_netcdf(path, group="low", mode="a")
    assert np.array_equal(read(tmp_path / "a.nc", names=("high/t", "low/u")), T[:2])
    assert np.array_equal(read(tmp_path / "a.nc", names=("t", "u")), T[:2])
    with pytest.raises(DataError, match=r"b\.nc: u: point 0 of low/lat is at -74 degrees_north, that of .*b\.nc at -75"):
        read(tmp_path / "b.nc", names=("high/t", "low/u"))


def test_variables_of_one_file_on_other_points(tmp_path):
    one = dataset()
    two = one.isel(lat=slice(None, None, -1)).rename(t="u", lat="lat_u")
    xarray.merge([one, two]).to_netcdf(tmp_path / "a.nc")
    with FileSamples([tmp_path / "a.nc"], ["t", "u"]) as samples:
        assert np.array_equal(samples[0:4], np.stack([T, T], 1))


def test_a_name_that_several_groups_have(tmp_path):
    for group in ("high", "low"):
        dataset().to_netcdf(tmp_path / "a.nc", group=group, mode="w" if group == "high" else "a")
    with pytest.raises(DataError, match=r"the groups high, low all have t; name it with its group, such as high/t"):
        read(tmp_path / "a.nc")
    assert np.array_equal(read(tmp_path / "a.nc", names=("low/t",)), T)


def test_one_array_with_channels_at_the_end(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["tensor"] = VELOCITY.swapaxes(1, 2)
        file["x-coordinate"], file["y-coordinate"] = np.arange(8) * 45.0, np.linspace(-75, 75, 6)
    with FileSamples([tmp_path / "a.h5"], ["tensor@*"], axes=("time", "x", "y", "channel")) as samples:
        assert np.array_equal(samples[0:4], np.stack([T, T + 1], 1)) and samples.grid.x.values[1] == 45
