"""A joint file of parts against the one file that one process would have written: the same header, the same bits."""

import shutil

import h5py
import netCDF4
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parampi.fields import PER_CASE, Cases, Content, Leads, MemberFacts, NetCDFStore
from parampi.fields.stores.check import check
from parampi.fields.stores.parts import part_name, parts_folder
from parampi.fields.stores.virtual import boxes, join_parts
from tests.fields.schemas import schema_of
from tests.fields.test_cf import findings

TIME = {"units": "hours since 2001-01-01", "calendar": "standard", "standard_name": "time", "axis": "T"}
CASES = Cases("time", np.array([0.0, 6.0, 12.0]), TIME, [0, 3, 4])
LEADS = Leads((6.0, 12.0), "hours")
NUMBERS = {
    "members": (list(range(9)), None, None),
    "cases": ([c * PER_CASE + m for c in CASES.indices for m in range(3)], CASES, None),
    "lead times": (list(range(4, 13)), None, LEADS),
    "cases and lead times": ([c * PER_CASE + m for c in CASES.indices for m in range(3)], CASES, LEADS),
}
KINDS = ("mean", "standard_deviation", "minimum", "maximum", "quantiles")


MADE = {"model": "täst", "parampi_ensemble": "abcdefgh"}


def facts(number, lead):
    return MemberFacts(5, number % 7 + 1, number % 11 + lead, 1e-3 * (number % 5 + 1))


def written(folder, statistics, which, parts, left_out=(), content=None, name="e.nc"):
    """The joint file of members that are dealt to parts like cards."""
    numbers, cases, leads = NUMBERS[which]
    content = content or Content(summary=KINDS)
    schema = schema_of(statistics, numbers, 5, cases=cases, leads=leads, attributes=MADE, content=content)
    summary = schema.new_summary()
    files = [part_name(folder / name, "abcdefgh", part) for part in range(parts)]
    for part, path in enumerate(files):
        mine = numbers[part::parts]
        part_schema = schema_of(statistics, mine, 5, cases=cases, leads=leads, content=content, attributes=MADE)
        store = NetCDFStore(path, part_schema, summarised=False)
        fill(store, mine, leads, left_out)
        for place, running in store.summary.columns.items():
            summary.column(place, running.minimum.shape).merge(running.count, running.table)
    complete = join_parts(folder / name, schema, files, summary)
    return folder / name, complete


def fill(store, numbers, leads, left_out):
    for number in reversed(numbers):
        for lead in range(len(leads.values) if leads else 1):
            if (number, lead) not in left_out:
                fields = np.random.default_rng([number, lead]).normal(280, 3, store.schema.statistics.shape)
                store.write(number, fields, facts(number, lead), lead)
    store.close(complete=True)


def gathered(folder, statistics, which, left_out=(), content=None):
    numbers, cases, leads = NUMBERS[which]
    content = content or Content(summary=KINDS)
    options = {"cases": cases, "leads": leads, "attributes": MADE, "content": content}
    store = NetCDFStore(folder / "g.nc", schema_of(statistics, numbers, 5, **options))
    fill(store, numbers, leads, left_out)
    return folder / "g.nc"


def header(path):
    with netCDF4.Dataset(path) as file:
        variables = {
            name: (v.dimensions, v.shape, str(v.dtype), {k: str(v.getncattr(k)) for k in v.ncattrs()})
            for name, v in file.variables.items()
        }
        attributes = {k: file.getncattr(k) for k in file.ncattrs() if k not in ("history", "comment", "parampi_parts")}
        return {name: len(d) for name, d in file.dimensions.items()}, variables, attributes


def assert_equal(one, other):
    assert header(one) == header(other)
    with netCDF4.Dataset(one) as a, netCDF4.Dataset(other) as b:
        a.set_auto_mask(False), b.set_auto_mask(False)
        for name in a.variables:
            assert np.asarray(a[name][...]).tobytes() == np.asarray(b[name][...]).tobytes(), name


@pytest.mark.parametrize("which", NUMBERS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_same_as_one_file(tmp_path, statistics, which, parts):
    path, complete = written(tmp_path, statistics, which, parts)
    assert complete
    assert_equal(path, gathered(tmp_path, statistics, which))


def test_a_joint_file_says_that_it_is_one(tmp_path, statistics):
    path, _ = written(tmp_path, statistics, "members", 3)
    with netCDF4.Dataset(path) as file:
        assert file.parampi_parts.split() == [f"e.nc.parts/abcdefgh-0000{part}.nc" for part in range(3)]
        assert file.comment.startswith("The fields of members are not in this file but in the parts that parampi_parts names")
    shutil.rmtree(parts_folder(path))
    lines = check(path).table().splitlines()
    assert lines[0].startswith("problem: ") and "e.nc.parts/abcdefgh-00000.nc is missing: its members read as NaN" in lines[0]
    assert "6 of 6 fields finished" not in "".join(lines[:3])


@pytest.mark.parametrize("which", NUMBERS)
def test_members_that_are_missing(tmp_path, statistics, which):
    numbers = NUMBERS[which][0]
    left_out = [(numbers[1], 0), (numbers[4], 0), (numbers[4], 1), *((n, lead) for n in numbers[2::3] for lead in (0, 1))]
    path, complete = written(tmp_path, statistics, which, 3, left_out)
    assert not complete
    assert_equal(path, gathered(tmp_path, statistics, which, left_out))


def test_subsets_and_members_left_out(tmp_path, statistics):
    for content in (
        Content(("T",)),
        Content(members=False, summary=("mean", "maximum")),
        Content(compression=4),
        Content(compression=1, digits=3),
    ):
        folder = tmp_path / str(hash(content))
        folder.mkdir()
        path, _ = written(folder, statistics, "cases", 2, content=content)
        assert_equal(path, gathered(folder, statistics, "cases", content=content))


def test_xarray_and_h5py_open_it_as_an_ordinary_file_from_anywhere(tmp_path, statistics, monkeypatch):
    path, _ = written(tmp_path, statistics, "members", 3)
    monkeypatch.chdir("/")
    with xarray.open_dataset(path) as file:
        assert file["u"].dims == ("member", "y", "x") and np.isfinite(file["u"].values).all()
        assert file["u"].attrs["units"] == "m s-1"
    with h5py.File(path) as file:
        assert np.isfinite(file["T"][...]).all() and file["T"].dims[1][0].name == "/y"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    path.rename(moved / "e.nc")
    parts_folder(path).rename(moved / "e.nc.parts")
    with xarray.open_dataset(moved / "e.nc") as file:
        assert np.isfinite(file["u"].values).all()


def test_the_cf_checker_finds_no_error(tmp_path, statistics):
    assert not findings(written(tmp_path, statistics, "cases and lead times", 2)[0])["high"]


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)))
def test_boxes_cover_what_is_true_once(mask):
    covered = np.zeros(mask.shape, int)
    for box in boxes(mask):
        covered[box] += 1
    assert np.array_equal(covered, mask.astype(int))


@given(st.integers(1, 6), st.integers(1, 4))
def test_one_box_where_all_is_there(rows, columns):
    assert len(list(boxes(np.ones((rows, columns), bool)))) == 1
