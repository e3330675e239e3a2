"""Ensembles in Zarr stores: what NetCDF files have, bit for bit; what is damaged, taken, or half written is never believed."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import xarray
import zarr

import parampi
from parampi.commands.main import commands
from parampi.errors import ConfigError, DataError, OutputError
from parampi.fields import (
    Cases,
    Conditions,
    Content,
    DatasetStatistics,
    EnsembleAxes,
    EnsembleSchema,
    Leads,
    MemberFacts,
    StoreTarget,
)
from parampi.fields.atomic_files import check_target, partial_name
from parampi.fields.atomic_folders import LOCKS, begin_folder, lock, release, replaced_name
from parampi.fields.inputs.grids import GridMetadata, GridVariable
from parampi.fields.stores import ZarrStore, zarr_store
from parampi.fields.stores.check import check
from parampi.fields.stores.merge import merge
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.output import EnsembleOutput
from parampi.run.rerun import rerun
from tests.small import signalled_after, write_conditions, write_project

MEMBERS = [4, 0, 7]
FACTS = MemberFacts(11, 5, 90, 1e-3, 2.5)
CASES = Cases("forecast_reference_time", np.array([0.0, 6.0]), {"units": "hours since 2001-01-01"}, [0, 1])
GRID = GridMetadata(
    {"y": {"axis": "Y"}}, (GridVariable("crs", (), np.array(b"x"), {"grid_mapping_name": "latitude_longitude"}),)
)  # fmt: skip


@pytest.fixture
def levels(samples):
    """Statistics of two levels of one variable."""
    names = ("t@500", "t@850")
    return DatasetStatistics.from_samples(samples, names, ("K", "K"), names, y=np.arange(6.0), x=np.arange(8.0))


def write(path, mode, statistics, samples, members=MEMBERS, left_out=0, overwrite=False, **content):
    axes = EnsembleAxes([case * 65536 + m for case in (0, 1) for m in members], CASES, Leads((6.0,), "hours"))
    attributes = {"parampi_ensemble": path.stem * 8, "history": "drawn"}
    schema = EnsembleSchema(statistics, axes, seed=11, content=Content(**content), grid=GRID, attributes=attributes)
    with EnsembleOutput(StoreTarget(path, schema, path.stem * 8, overwrite), mode) as output:
        for row, number in enumerate(axes.numbers[: len(axes.numbers) - left_out]):
            output.write(number, samples[row], FACTS)
    return path


def opened(path):
    kind = {"engine": "zarr", "consolidated": False} if path.is_dir() else {}
    with xarray.open_dataset(path, **kind) as dataset:
        return dataset.load()


@pytest.mark.parametrize("content", [{}, {"summary": ("mean", "quantiles"), "compression": 3, "digits": 3}, {"compression": 5}])
def test_a_store_has_what_a_netcdf_file_has(levels, samples, tmp_path, content):
    samples[0] = np.nan  # a field without values is one too
    one = opened(write(tmp_path / "a.nc", "gather", levels, samples, **content))
    other = opened(write(tmp_path / "a.zarr", "zarr", levels, samples, **content))
    del one.attrs["history"], other.attrs["history"]
    xarray.testing.assert_identical(one.drop_vars("crs"), other.drop_vars("crs"))
    assert one["crs"].attrs == other["crs"].attrs
    for name in one.variables:
        assert one[name].dtype == other[name].dtype or name == "crs"
        fill = [dataset[name].encoding.get("_FillValue") for dataset in (one, other)]
        np.testing.assert_array_equal(*fill)


def test_xarray_opens_it_as_it_is_and_a_chunk_is_a_field(levels, samples, tmp_path):
    path = write(tmp_path / "a.zarr", "zarr", levels, samples)
    with xarray.open_zarr(path) as dataset:  # warnings are errors here
        assert dataset["t"].encoding["chunks"] == (1, 1, 1, 1, 6, 8) and dataset.attrs["parampi_complete"] == 1
        assert {"realization", "valid_time"} <= set(dataset.coords) and dataset["t"].attrs["units"] == "K"
    assert len(list((path / "t").glob("c.*"))) == 12 and not list(path.rglob("parampi-facts*"))
    assert zarr.open_array(path / "t").metadata.zarr_format == 3


def chunk(path, *index):
    return path / "T" / ".".join(("c", *map(str, index), "0", "0"))


def test_check_finds_what_is_damaged_or_lost(statistics, samples, tmp_path):
    path = write(tmp_path / "a.zarr", "zarr", statistics, samples)
    assert not check(path).problems
    data = bytearray(chunk(path, 1, 0, 0).read_bytes())
    data[20] ^= 1
    chunk(path, 1, 0, 0).write_bytes(data)
    chunk(path, 2, 1, 0).unlink()
    chunk(path, 0, 1, 0).write_bytes(chunk(path, 0, 1, 0).read_bytes()[:50])
    assert check(path).problems == [
        "T of member 7, forecast_reference_time 1, lead_time 0 is NaN everywhere",
        "T of member 4, forecast_reference_time 1, lead_time 0; member 0, forecast_reference_time 0, lead_time 0 cannot be "
        "read: its data are damaged",
    ]
    with pytest.raises(DataError, match=r"a\.zarr cannot be read"):
        merge([path], tmp_path / "b.nc")
    assert not (tmp_path / "b.nc").exists()


@pytest.mark.parametrize(("name", "value"), [("_FillValue", "AAA"), ("_FillValue", "AAAA"), ("flag_values", [0, "x"])])
def test_damaged_attributes_are_named(statistics, samples, tmp_path, name, value):
    path = write(tmp_path / "a.zarr", "zarr", statistics, samples, members=[1])
    variable = "T" if name == "_FillValue" else "complete"
    metadata = json.loads((path / variable / "zarr.json").read_text())
    metadata["attributes"][name] = value
    (path / variable / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(
        DataError, match=rf"a\.zarr: {variable} has {name} = .*, which is no (float32|int8); bring the store back"
    ):
        merge([path], tmp_path / "b.nc")


def test_links_out_of_a_store_and_folders_that_are_none(statistics, samples, tmp_path):
    path = write(tmp_path / "a.zarr", "zarr", statistics, samples)
    (tmp_path / "secret").write_bytes(b"x")
    chunk(path, 1, 0, 0).unlink()
    chunk(path, 1, 0, 0).symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match=r"a\.zarr leads out of its own folder: .*c\.1\.0\.0\.0\.0 in .* is a link"):
        parampi.open(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder is a folder, without the zarr\.json of an ensemble in Zarr \(format 3\)"):
        check(tmp_path / "folder")
    group = zarr.open_group(tmp_path / "other.zarr", mode="w", zarr_format=3)
    group.attrs["title"] = "other"
    with pytest.raises(DataError, match="is not an ensemble of members"):
        check(tmp_path / "other.zarr")
    (tmp_path / "other.zarr" / "zarr.json").write_text("{")
    with pytest.raises(DataError, match=r"without the zarr\.json"):
        check(tmp_path / "other.zarr")


def test_merging_from_and_to_stores(levels, samples, tmp_path):
    path = write(tmp_path / "a.zarr", "zarr", levels, samples, summary=("mean",))
    merge([path], tmp_path / "b.nc", compression=2)
    merge([tmp_path / "b.nc"], tmp_path / "c.zarr", compression=2)
    datasets = [opened(tmp_path / name).drop_vars("crs").drop_attrs(deep=False) for name in ("a.zarr", "b.nc", "c.zarr")]
    for other in datasets[1:]:
        xarray.testing.assert_identical(datasets[0], other)
    more = write(tmp_path / "d.zarr", "zarr", levels, samples, members=[1, 2], summary=("mean",))
    for target in ("e.nc", "e.zarr"):
        commands.main(["merge", *map(str, (path, more)), "--output", str(tmp_path / target)], standalone_mode=False)
        dataset = opened(tmp_path / target)
        assert dataset["realization"].values.tolist() == [4, 0, 7, 1, 2] and "t_mean" not in dataset
        assert dataset.attrs["parampi_complete"] == 1
        with pytest.raises(OutputError, match=r"e\..* exists"):
            merge([path], tmp_path / target)
    with pytest.raises(DataError, match="merge files of different members"):
        merge([path, tmp_path / "b.nc"], tmp_path / "f.zarr")
    assert not list(tmp_path.glob(".*"))


def test_unfinished_fields_are_missing(statistics, samples, tmp_path):
    path = write(tmp_path / "a.zarr", "zarr", statistics, samples, left_out=2)
    assert check(path).problems == ["2 fields were never finished"] and opened(path).attrs["parampi_complete"] == 0
    assert parampi.open(path).finished == (4, 6)


def test_only_ensembles_are_replaced_and_only_where_that_is_allowed(statistics, samples, tmp_path):
    path = write(tmp_path / "a.zarr", "zarr", statistics, samples, members=[1])
    with pytest.raises(OutputError, match=r"a\.zarr exists"):
        check_target(path)
    write(path, "zarr", statistics, samples, overwrite=True)
    assert opened(path)["realization"].values.tolist() == MEMBERS and os.listdir(tmp_path) == ["a.zarr"]
    for place in (tmp_path / "mine.zarr", tmp_path / "other.nc"):
        shutil.copytree(path, place)
    (tmp_path / "mine.zarr" / "zarr.json").write_text("{}")
    for place, remedy in (
        (tmp_path / "mine.zarr", "is a folder, but no ensemble in Zarr; move it away"),
        (tmp_path / "other.nc", "is a folder; give the name of a file in it"),
    ):
        with pytest.raises(OutputError, match=remedy):
            check_target(place, overwrite=True)


def test_a_store_that_is_made_meanwhile_is_not_replaced(statistics, samples, tmp_path):
    store = ZarrStore.open
    path = tmp_path / "a.zarr"

    def opened_late(cls, target, rank, comm):
        path.mkdir()
        return store(target, rank, comm)

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(OutputError, match="was made by someone else meanwhile; the finished"),
    ):
        patch.setattr(ZarrStore, "open", classmethod(opened_late))
        write(path, "zarr", statistics, samples)
    assert not list(path.iterdir()) and check(partial_name(path)).problems == []


def test_two_jobs_do_not_write_one_store(statistics, samples, tmp_path):
    path = tmp_path / "a.zarr"
    begin_folder(path)
    other = LOCKS.pop(path)  # as another process has it
    (partial_name(path) / "mine").touch()
    with pytest.raises(OutputError, match=r"a\.zarr is being written by another job; wait until it has ended"):
        write(path, "zarr", statistics, samples)
    assert (partial_name(path) / "mine").exists()
    os.close(other)  # that process was killed
    write(path, "zarr", statistics, samples)
    assert os.listdir(tmp_path) == ["a.zarr"]
    lock(path, path)
    release(path)


def test_a_rank_whose_folder_another_run_has_taken_writes_no_more(statistics, samples, tmp_path):
    path = tmp_path / "a.zarr"
    schema = EnsembleSchema(statistics, EnsembleAxes(MEMBERS), seed=11)
    target = StoreTarget(path, schema, "a" * 8)
    ZarrStore.prepare(target)
    store = ZarrStore.open(target, 0, None)
    store.write(4, samples[0], FACTS)
    release(path)
    shutil.move(partial_name(path), tmp_path / "aside")
    ZarrStore.prepare(target)
    with pytest.raises(OutputError, match=r"a\.zarr is now written by another run, which took this one for dead"):
        store.write(0, samples[0], FACTS)
    ZarrStore.abandon(target)


def test_what_was_replaced_comes_back_after_a_kill_between_two_renames(statistics, samples, tmp_path):
    path = write(tmp_path / "a.zarr", "zarr", statistics, samples)
    os.rename(path, replaced_name(path))
    partial = begin_folder(path)
    assert not check(path).problems and not replaced_name(path).exists()
    partial.rmdir()
    release(path)


def test_chunks_that_are_not_there_are_waited_for(statistics, samples, tmp_path, monkeypatch):
    put = zarr_store.put_fields

    def lost(file, schema, index, fields):
        put(file, schema, index, fields)
        if index == (1, 0, 0):
            file["T"].chunk(index).unlink()

    monkeypatch.setattr(zarr_store, "put_fields", lost)
    monkeypatch.setattr(zarr_store, "synchronise", lambda path: None)
    monkeypatch.setattr(zarr_store.await_chunks, "__defaults__", (0.0,))
    with pytest.raises(OutputError, match=r"c\.1\.0\.0\.0\.0 was written by another rank but cannot be seen by this one"):
        write(tmp_path / "a.zarr", "zarr", statistics, samples)
    assert not (tmp_path / "a.zarr").exists()
    facts = list(partial_name(tmp_path / "a.zarr").rglob("parampi-facts-*.json"))
    assert len(json.loads(facts[0].read_text())) == 6


def test_without_the_library(statistics, samples, tmp_path, monkeypatch):
    path = write(tmp_path / "a.zarr", "zarr", statistics, samples)
    monkeypatch.setitem(sys.modules, "zarr", None)
    monkeypatch.setitem(sys.modules, "zarr.codecs.crc32c_", None)
    with pytest.raises(
        DataError, match=r"a\.zarr is a Zarr store, and needs the package zarr .*pip install 'parampi\[zarr\]'\)"
    ):
        parampi.open(path)
    config = load(write_project(tmp_path, output__mode="zarr"))
    with pytest.raises(
        OutputError, match=r"a Zarr store needs the package zarr .*pip install 'parampi\[zarr\]'\), or take another"
    ):
        run(config)
    assert not (tmp_path / "out" / "ensemble.zarr").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "zarr", "ensemble": "e.nc"}, r"mode = zarr writes a Zarr store, and ensemble = e\.nc; name it \*\.zarr"),
        ({"ensemble": "e.zarr"}, r"ensemble = e\.zarr, and mode = auto writes no Zarr store; take mode: zarr, or another name"),
        (
            {"mode": "zarr", "report": "ensemble.zarr/r.json"},
            r"report is .*r\.json, in the folder of the ensemble; choose another",
        ),
    ],
)
def test_names_that_do_not_fit_the_store(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(write_project(tmp_path, **{f"output__{key}": value for key, value in changes.items()}))


def test_a_run_into_a_store_and_whatever_reads_it(tmp_path, capsys):
    """Stopped and taken up; drawn again, verified, scored, split, and read as conditions and samples."""
    write_conditions(tmp_path / "cond.nc", times=4)
    shared = {
        "condition__files": "cond.nc", "condition__variables": ["vorticity"], "condition__select": [1, 0],
        "condition__lead_times": 2, "parallel__mode": "bitwise", "checkpoint__every": 0.0, "sampling__members": 3,
    }  # fmt: skip
    config = write_project(tmp_path, **shared, output__mode="zarr", output__figure="report.png")
    path, plain = tmp_path / "out" / "ensemble.zarr", tmp_path / "out" / "ensemble.nc"
    assert load(config).output.ensemble == "ensemble.zarr"
    with signalled_after(5), pytest.raises(parampi.errors.InterruptionError):
        run(load(config))
    run(load(config), resume=True)
    assert sorted(one.name for one in path.parent.iterdir()) == ["ensemble.zarr", "report.json", "report.png", "run.log"]
    run(load(config, ["output.mode=gather", "output.ensemble=ensemble.nc", "output.report=r.json", "output.figure=null"]))
    xarray.testing.assert_identical(opened(path).drop_attrs(deep=False), opened(plain).drop_attrs(deep=False))
    assert rerun(path, 2, 0).same
    outputs = [capsys.readouterr().out][1:]
    for name in (path, plain):
        folder = tmp_path / name.suffix[1:]
        folder.mkdir()
        for arguments in (
            ["verify", name, "--statistics", tmp_path / "statistics.nc"],
            ["score", name, "--truth", tmp_path / "cond.nc", "--reference", name, "--replicates", 20],
            ["stats", name, "--variable", "vorticity", "--output", folder / "s.nc"],
            ["merge", name, "--split", "start", "--output", folder],
        ):
            commands.main(list(map(str, arguments)), standalone_mode=False)
        outputs.append(capsys.readouterr().out.replace(str(name), "E").replace(str(folder), "F"))
    assert outputs[0] == outputs[1] and "skill" in outputs[0]
    known = [DatasetStatistics.from_file(tmp_path / name.suffix[1:] / "s.nc") for name in (path, plain)]
    np.testing.assert_array_equal(known[0].mean, known[1].mean)
    assert "vorticity 8 x 8" in repr(parampi.open(path))


def test_a_store_of_one_lead_time_serves_as_conditions(tmp_path):
    write_conditions(tmp_path / "cond.nc")
    project = write_project(tmp_path, condition__files="cond.nc", condition__variables=["vorticity"], output__mode="zarr")
    run(load(project, ["sampling.members=1"]))
    known, fields = DatasetStatistics.from_file(tmp_path / "statistics.nc"), {}
    merge([tmp_path / "out" / "ensemble.zarr"], tmp_path / "plain.nc")
    for path in (tmp_path / "out" / "ensemble.zarr", tmp_path / "plain.nc"):
        with opened(path).isel(member=0) as dataset:
            dataset[["vorticity"]].drop_vars("realization").to_zarr(tmp_path / f"{path.stem}.zarr", consolidated=False)
        fields[path.suffix] = Conditions([tmp_path / f"{path.stem}.zarr"], ["vorticity"], known)(list(range(3)))
    np.testing.assert_array_equal(*fields.values())
