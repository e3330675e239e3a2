"""Stores of Zarr and files of HDF5 with what is legal there: fill values, odd types, groups, axes without names."""

import h5py
import numpy as np
import pytest
import zarr

from parampi.errors import DataError
from tests.fields.inputs.test_meaning import T, read

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
