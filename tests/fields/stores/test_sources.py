"""Ensemble files lead nowhere but into their own folder."""

import h5py
import netCDF4
import numpy as np
import pytest

from parampi.errors import DataError
from parampi.fields.stores.check import check
from parampi.fields.stores.merge import merge
from parampi.fields.stores.parts import part_name, parts_folder
from parampi.fields.stores.reader import open_ensemble, read_members
from tests.fields.stores.test_virtual import written


@pytest.fixture
def joint(tmp_path, statistics):
    folder = tmp_path / "ours"
    folder.mkdir()
    path, _ = written(folder, statistics, "members", 2)
    with netCDF4.Dataset(tmp_path / "secret.nc", "w") as file:
        for name, size in zip("abc", (5, *statistics.grid), strict=True):
            file.createDimension(name, size)
        file.createVariable("u", "f4", ("a", "b", "c"))[:] = 42.0
    return path


def virtual(path, source):
    with h5py.File(path, "r+") as file:
        shape = file["u"].shape
        del file["u"]
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[0] = h5py.VirtualSource(source, "u", shape, np.float32)[0]
        file.create_virtual_dataset("u", layout)


def in_a_part(change):
    return lambda path: change(part_name(path, "abcdefgh", 0))


def external_link(path):
    with h5py.File(path, "r+") as file:
        del file["u"]
        file["u"] = h5py.ExternalLink("../secret.nc", "u")


def soft_link(path):
    with h5py.File(path, "r+") as file:
        del file["u"]
        file["u"] = h5py.SoftLink("/T")


def raw_data(path):
    with h5py.File(path, "r+") as file:
        shape = file["u"].shape
        del file["u"]
        file.create_dataset("u", shape, "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def linked_part(path):
    part = part_name(path, "abcdefgh", 0)
    part.unlink()
    part.symlink_to(path.parents[1] / "secret.nc")


WAYS = {
    "a virtual dataset, absolute": lambda path: virtual(path, str(path.parents[1] / "secret.nc")),
    "a virtual dataset, relative": lambda path: virtual(path, "../secret.nc"),
    "a virtual dataset in a part": in_a_part(lambda part: virtual(part, "../../secret.nc")),
    "an external link": external_link,
    "an external link in a part": in_a_part(external_link),
    "a soft link": soft_link,
    "raw data elsewhere": raw_data,
    "raw data of a part elsewhere": in_a_part(raw_data),
    "a part that is a link": linked_part,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_what_lies_outside_is_not_read(joint, tmp_path, way):
    way(joint)
    for read in (check, lambda path: merge([path], tmp_path / "m.nc"), lambda path: read_members(path, ["u"])):
        with pytest.raises(DataError, match=r"leads out of its own folder: u in .* Nothing of that was read"):
            read(joint)
    assert not (tmp_path / "m.nc").exists()


@pytest.mark.parametrize("name", ["a%b", "a%%b", "100%"])
def test_parts_in_folders_with_signs_are_looked_into(tmp_path, statistics, name):
    """In the names of virtual sources HDF5 writes a sign of per cent twice."""
    path, _ = written(tmp_path, statistics, "members", 2, name=f"{name}.nc")
    raw_data(part_name(path, "abcdefgh", 0))
    with pytest.raises(DataError, match=r"u in .* has its values in /etc/hostname. Nothing of that was read"):
        read_members(path, ["u"])


def test_a_folder_that_was_moved_is_read(joint, tmp_path):
    joint.parent.rename(tmp_path / "moved")
    with open_ensemble(tmp_path / "moved" / joint.name) as file:
        assert np.isfinite(file["u"][:].filled(np.nan)).all()


def test_parts_without_an_identifier_are_not_taken_for_those_of_the_file(joint):
    for path in [joint, *parts_folder(joint).iterdir()]:
        with netCDF4.Dataset(path, "a") as file:
            file.delncattr("parampi_ensemble")
    problems = check(joint).problems
    assert len(problems) == 2 and all("is of another ensemble than the joint file" in problem for problem in problems)
