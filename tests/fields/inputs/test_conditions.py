"""Conditions from files: by name, by case, in order; and what is refused, with its message."""

import h5py
import netCDF4
import numpy as np
import pytest

from parampi.errors import DataError
from parampi.fields import PER_CASE, Conditions, DatasetStatistics, FileSamples, NetCDFStore, Rollout, read_members
from parampi.fields.stores.base import MemberFacts
from tests.fields.schemas import schema_of

RNG = np.random.default_rng(0)
FIELDS = {name: RNG.normal(3.0, 2.0, (6, 4, 5)) for name in ("u", "v", "w")}


@pytest.fixture(scope="module")
def statistics():
    fields = RNG.normal([[[[1.0]], [[5.0]]]], 2.0, (30, 2, 8, 10))
    return DatasetStatistics.from_samples(fields, ["u", "v"], ["m s-1", "K"], ["u", "v"], x=np.arange(10.0), y=np.arange(8.0))


def write(path, names=("u", "v", "w"), times=range(6), units=None, time=None, **changes):
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", len(times)), ("y", 4), ("x", 5)):
            file.createDimension(name, size)
        if time is not False:
            variable = file.createVariable("time", "f8", ("time",))
            variable.setncatts({"units": "days since 2001-01-01", "calendar": "noleap", "standard_name": "time"} | (time or {}))
            variable[:] = np.array(list(times)) * 2.0
        for name in names:
            variable = file.createVariable(name, "f8", ("time", "y", "x"), fill_value=-999.0)
            variable.units = (units or {}).get(name, {"u": "m s-1", "v": "K"}.get(name, "1"))
            variable[:] = changes.get(name, FIELDS[name])[list(times)]
    return path


def expected(statistics, names, cases):
    rows = [statistics.names.index(name) for name in names]
    raw = np.stack([FIELDS[name][list(cases)] for name in names], 1)
    return (raw - statistics.mean[rows][:, None, None]) / statistics.standard_deviation[rows][:, None, None]


@pytest.mark.parametrize("names", [("u", "v"), ("v", "u"), ("v",)])
def test_variables_come_by_name_in_the_networks_order(tmp_path, statistics, names):
    conditions = Conditions([write(tmp_path / "a.nc")], names, statistics)
    assert conditions.shape == (len(names), 4, 5) and conditions.cases.indices == list(range(6))
    assert np.allclose(conditions([4, 0, 4]), expected(statistics, names, [4, 0, 4]))


def test_several_files_follow_one_another(tmp_path, statistics):
    paths = [write(tmp_path / "a.nc", times=range(4)), write(tmp_path / "b.nc", times=range(4, 6))]
    conditions = Conditions(paths, ("u",), statistics, select=[5, 1])
    assert conditions.cases.indices == [5, 1] and conditions.cases.values.tolist() == [10.0, 2.0]
    assert conditions.cases.attributes["calendar"] == "noleap" and conditions.cases.name == "time"
    assert np.allclose(conditions(conditions.cases.indices), expected(statistics, ("u",), [5, 1]))


def test_a_file_of_plain_hdf5(tmp_path, statistics):
    with h5py.File(tmp_path / "a.h5", "w", track_order=True) as file:
        file["u"] = FIELDS["u"]
        file["u"].attrs["units"] = "m s-1"
    conditions = Conditions([tmp_path / "a.h5"], ("u",), statistics)
    assert conditions.cases.attributes["units"] == "1" and np.allclose(conditions([3]), expected(statistics, ("u",), [3]))


def test_a_file_of_one_field_is_one_case(tmp_path, statistics):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("y", 4)
        file.createDimension("x", 5)
        file.createVariable("u", "f4", ("y", "x"))[:] = FIELDS["u"][2]
        file["u"].units = "m s-1"
    conditions = Conditions([tmp_path / "a.nc"], ("u",), statistics)
    assert conditions.cases.indices == [0] and np.allclose(conditions([0]), expected(statistics, ("u",), [2]), atol=1e-6)


def gaps(values):
    made = FIELDS["u"].copy()
    made[values] = np.nan
    return made


BAD = {
    "no file": (lambda p: ([p / "none.nc"], ("u",), {}), r"none\.nc does not exist"),
    "an empty file": (lambda p: ([empty(p)], ("u",), {}), r"empty\.nc is no file of NetCDF or HDF5: it is empty"),
    "a truncated file": (lambda p: ([truncated(p)], ("u",), {}), r"a\.nc cannot be read as HDF5 \(.*truncated.*again"),
    "no such variable": (lambda p: ([write(p / "a.nc")], ("q",), {}), "has no variable q; it has u, v, w, time"),
    "not in the file": (lambda p: ([write(p / "a.nc", names=("v",))], ("u",), {}), "has no variable u; it has v, time"),
    "other units": (
        lambda p: ([write(p / "a.nc", units={"u": "K"})], ("u",), {}),
        r"a\.nc: u is in 'K', and its statistics, or the first file, are in 'm s-1'; convert",
    ),
    "another grid": (lambda p: ([write(p / "a.nc"), wider(p)], ("u",), {}), r"b\.nc has fields of 4 x 6 points along y and x"),
    "another calendar": (
        lambda p: ([write(p / "a.nc"), write(p / "b.nc", time={"calendar": "360_day"})], ("u",), {}),
        r"b\.nc: time has the calendar 360_day, but that of .*a\.nc is noleap; files that follow one another must agree",
    ),
    "times that come twice": (
        lambda p: ([write(p / "a.nc"), write(p / "b.nc", time={"units": "hours since 2001-01-01"})], ("u",), {}),
        r"time = 2001-01-01 00:00:00 \(0 days since 2001-01-01\) is in .*a\.nc and in .*b\.nc; leave one out",
    ),
    "a case that is not there": (
        lambda p: ([write(p / "a.nc")], ("u",), {"select": [0, 6]}),
        r"condition\.select = \[0, 6\]: \[6\] are beyond the 6 cases of the files; give different indices from 0 to 5",
    ),
    "a case twice": (lambda p: ([write(p / "a.nc")], ("u",), {"select": [1, 1]}), r"condition\.select = \[1, 1\]"),
    "no case": (lambda p: ([write(p / "a.nc")], ("u",), {"select": []}), r"condition\.select = \[\]"),
    "missing values": (
        lambda p: ([write(p / "a.nc", u=gaps((2, 1)))], ("u",), {}),
        r"u of case 2 in .*a\.nc, 2001-01-05 .*, has 5 missing values of 20; fill them, or give the mean",
    ),
    "an all-NaN channel": (
        lambda p: ([write(p / "a.nc", u=gaps(2))], ("u",), {"missing": "mean"}),
        "u of case 2 in .* has 20 missing values of 20",
    ),
    "four axes": (lambda p: ([layered(p)], ("u",), {}), r"u has the axes \(time, z, y, x\); a condition has \(time, y, x\)"),
}  # fmt: skip


def empty(folder):
    (folder / "empty.nc").write_bytes(b"")
    return folder / "empty.nc"


def truncated(folder):
    path = write(folder / "a.nc")
    path.write_bytes(path.read_bytes()[:500])
    return path


def wider(folder):
    with netCDF4.Dataset(folder / "b.nc", "w") as file:
        for name, size in (("time", 1), ("y", 4), ("x", 6)):
            file.createDimension(name, size)
        file.createVariable("u", "f8", ("time", "y", "x"))[:] = 0
        file["u"].units = "m s-1"
    return folder / "b.nc"


def layered(folder):
    with netCDF4.Dataset(folder / "a.nc", "w") as file:
        for name, size in (("time", 1), ("z", 2), ("y", 4), ("x", 5)):
            file.createDimension(name, size)
        file.createVariable("u", "f8", ("time", "z", "y", "x"))[:] = 0
        file["u"].units = "m s-1"
    return folder / "a.nc"


@pytest.mark.parametrize("case", BAD.values(), ids=list(BAD))
def test_what_cannot_be_is_refused(tmp_path, statistics, case):
    make, message = case
    paths, names, options = make(tmp_path)
    with pytest.raises(DataError, match=message):
        Conditions(paths, names, statistics, **options)(range(6))


def test_the_mean_in_the_place_of_some(tmp_path, statistics):
    values = Conditions([write(tmp_path / "a.nc", u=gaps((2, 1)))], ("u",), statistics, missing="mean")([2])
    assert not values[0, 0, 1].any() and np.allclose(values[0, 0, 0], expected(statistics, ("u",), [2])[0, 0, 0])


def test_the_store_has_an_axis_of_cases(tmp_path, statistics):
    cases = Conditions([write(tmp_path / "a.nc")], ("u",), statistics, select=[5, 1]).cases
    numbers = [case * PER_CASE + member for case in cases.indices for member in (0, 3)]
    made = {number: RNG.normal(size=(2, 8, 10)).astype(np.float32) for number in numbers}
    with NetCDFStore(tmp_path / "e.nc", schema_of(statistics, numbers, 4, cases=cases)) as store:
        for number, fields in made.items():
            store.write(number, fields, MemberFacts(4, number % 7, 2, 0.5))
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert file["u"].dimensions == ("member", "time", "y", "x") and file["u"].chunking() == [1, 1, 8, 10]
        assert file["realization"][:].tolist() == [0, 3] and file["time"][:].tolist() == [10.0, 2.0]
        assert file["time"].calendar == "noleap" and file["seed"][:].tolist() == [4, 4]
        assert np.array_equal(file["v"][1, 0], made[5 * PER_CASE + 3][1])
        assert file["rounds"][1, 1] == (PER_CASE + 3) % 7 and file.parampi_complete == 1
    fields, realizations = read_members(tmp_path / "e.nc", ["u", "v"])
    assert fields.shape == (4, 2, 8, 10) and realizations == [0, 0, 3, 3]
    assert np.array_equal(fields[1], made[PER_CASE])


def test_forcing_is_of_the_time_and_not_of_the_index(tmp_path):
    """Hourly files and steps of three hours: the forcing of the start of each step, or of its end."""
    path = write(tmp_path / "a.nc", times=range(6), time={"units": "hours since 2001-01-01"})  # every 2 hours
    fields = RNG.normal([[[[1.0]], [[5.0]]]], 2.0, (30, 2, 4, 5))
    statistics = DatasetStatistics.from_samples(
        fields, ["u", "v"], ["m s-1", "K"], ["u", "v"], x=np.arange(5.0), y=np.arange(4.0)
    )
    for at, expected_hours in (("start", [0, 4, 8]), ("end", [4, 8, 12])):
        rollout = Rollout(3 if at == "start" else 2, "4 hours", {"u": "u"}, at)
        conditions = Conditions([path], ("u", "v"), statistics, select=[0], rollout=rollout, channels=("u",))
        for lead in range(rollout.steps):
            made = conditions([0], lead, np.zeros((1, 1, 4, 5)))
            row = expected_hours[lead] // 2
            assert np.allclose(made[0, 1], expected(statistics, ("v",), [row])[0, 0])
        assert np.allclose(conditions([0])[0, 0], expected(statistics, ("u",), [0])[0, 0])


def test_values_far_from_the_statistics_are_named_before_sampling(tmp_path, statistics):
    path = write(tmp_path / "a.nc", u=FIELDS["u"] + np.arange(6)[:, None, None] ** 3)
    with pytest.raises(DataError, match=r"u of case 4 in .*a\.nc, 2001-01-09 .*, is up to 35.4 standard deviations"):
        Conditions([path], ("u",), statistics).digest()
    Conditions([path], ("u",), statistics, select=[0, 1]).digest()


def test_each_field_is_read_once_where_they_fit(tmp_path, statistics, monkeypatch):
    conditions = Conditions([write(tmp_path / "a.nc")], ("u",), statistics)
    conditions.digest()
    monkeypatch.setattr(FileSamples, "run", None)
    assert np.allclose(conditions([3]), expected(statistics, ("u",), [3]))


def test_a_file_that_vanishes_before_it_is_read(tmp_path, statistics):
    path = write(tmp_path / "a.nc")
    conditions = Conditions([path], ("u",), statistics)
    path.rename(tmp_path / "hidden.nc")
    with pytest.raises(DataError, match=r"a\.nc does not exist; is the name right"):
        conditions([0])
