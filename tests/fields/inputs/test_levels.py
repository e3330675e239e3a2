"""Channels that are levels of a variable: read by name, written as one variable with an axis of levels."""

import re

import netCDF4
import numpy as np
import pytest
import torch
import xarray
from safetensors.torch import save_file

from parampi.__main__ import main
from parampi.commands.main import USER_ERROR
from parampi.errors import DataError
from parampi.fields import Conditions, DatasetStatistics, FileSamples, NetCDFStore, StoreTarget, open_ensemble, read_members
from parampi.fields.channels import group_channels
from parampi.fields.stores.base import MemberFacts
from parampi.fields.stores.check import check
from parampi.fields.stores.content import Content
from parampi.fields.stores.merge import merge
from parampi.fields.stores.parts import part_name
from parampi.fields.stores.virtual import join_parts
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.output import EnsembleOutput
from parampi.run.rerun import rerun
from tests.fields.schemas import schema_of
from tests.fields.stores.test_virtual import assert_equal
from tests.fields.test_cf import findings
from tests.run.test_card import NET
from tests.small import write_project

RNG = np.random.default_rng(0)
MADE = {"parampi_ensemble": "abcdefgh"}
LEVELS = (500.0, 850.0, 1000.0)
T = RNG.normal(280, 5, (12, 3, 8, 6)) - np.array([40.0, 10.0, 0.0])[:, None, None]
SP = RNG.normal(1e5, 1e3, (12, 8, 6))


@pytest.fixture
def data(tmp_path):
    with netCDF4.Dataset(tmp_path / "data.nc", "w") as file:
        for name, size in (("time", 12), ("plev", 3), ("lat", 8), ("lon", 6)):
            file.createDimension(name, size)
        for name, units, values in (("plev", "hPa", LEVELS), ("lat", "degrees_north", np.linspace(70, -70, 8)),
                                    ("lon", "degrees_east", np.arange(6) * 60.0)):  # fmt: skip
            axis = file.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = values
        file["plev"].setncatts({"standard_name": "air_pressure", "positive": "down", "axis": "Z"})
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts({"units": "hours since 2001-01-01", "calendar": "standard", "standard_name": "time", "axis": "T"})
        time[:] = np.arange(12)
        t = file.createVariable("t", "f8", ("time", "plev", "lat", "lon"))
        t.setncatts({"units": "K", "standard_name": "air_temperature", "long_name": "temperature"})
        t[:] = T
        sp = file.createVariable("sp", "f8", ("time", "lat", "lon"))
        sp.setncatts({"units": "Pa", "standard_name": "surface_air_pressure", "long_name": "surface pressure"})
        sp[:] = SP
    return tmp_path / "data.nc"


NAMES = ("t@500", "sp", "t@1000")


@pytest.fixture
def statistics(data):
    with FileSamples([data], NAMES) as samples:
        return samples.statistics()


def test_channels_are_read_by_level(data, statistics):
    assert statistics.names == NAMES and statistics.units == ("K", "Pa", "K") and statistics.axes == ("lat", "lon")
    area = np.cos(np.deg2rad(np.linspace(70, -70, 8)))[:, None] * np.ones(6)
    assert np.allclose(statistics.mean, [np.average(one.mean(0), weights=area) for one in (T[:, 0], SP, T[:, 2])])
    with FileSamples([data], ("sp", "t@*")) as samples:
        assert samples.names == ("sp", "t@500", "t@850", "t@1000")
        assert np.array_equal(samples[2:4][:, 2], T[2:4, 1])


def test_what_stats_writes_is_read_back(data, tmp_path, capsys):
    arguments = ["stats", str(data), "--variable", "t@*", "--variable", "sp", "--output", str(tmp_path / "s.nc")]
    assert main(arguments) == 0
    assert "t@850: mean " in capsys.readouterr().out
    loaded = DatasetStatistics.from_file(tmp_path / "s.nc")
    assert loaded.names == ("t@500", "t@850", "t@1000", "sp") and loaded.standard_names[0] == "air_temperature"
    assert loaded.level_axes["t"].name == "plev" and dict(loaded.level_axes["t"].attributes)["positive"] == "down"


def fields(number):
    return np.random.default_rng(number).normal(size=(3, 8, 6)).astype(np.float32)


def fill(store, numbers):
    with store:
        for number in numbers:
            store.write(number, fields(number), MemberFacts(1, 2, 3, 1e-3))
    return store


CONTENT = Content(summary=("mean", "quantiles"))


@pytest.fixture
def written(tmp_path, statistics):
    fill(NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0, 1, 2], 1, content=CONTENT, attributes=MADE)), [0, 1, 2])
    return tmp_path / "e.nc"


def test_one_variable_with_an_axis_of_levels(written):
    with xarray.open_dataset(written) as file:
        assert file["t"].dims == ("member", "plev", "lat", "lon") and file["sp"].dims == ("member", "lat", "lon")
        assert file["plev"].values.tolist() == [500.0, 1000.0] and file["plev"].attrs["standard_name"] == "air_pressure"
        assert file["t"].attrs["standard_name"] == "air_temperature" and file["t_mean"].dims == ("plev", "lat", "lon")
        assert file["t_quantiles"].dims == ("quantile", "plev", "lat", "lon")
        for number in range(3):
            np.testing.assert_array_equal(file["t"].values[number], fields(number)[[0, 2]])
            np.testing.assert_array_equal(file["sp"].values[number], fields(number)[1])
        assert np.allclose(file["t_mean"].values[1], np.mean([fields(k)[2] for k in range(3)], axis=0), atol=1e-6)
        assert np.allclose(file["t_quantiles"].values[1, 0], np.median([fields(k)[0] for k in range(3)], axis=0))
    with netCDF4.Dataset(written) as file:
        assert file["t"].chunking() == [1, 1, 8, 6]
    assert not findings(written)["high"]
    assert check(written).problems == []


def test_members_are_read_by_channel(written):
    members, numbers = read_members(written, ("t@1000", "sp"))
    assert numbers == [0, 1, 2] and np.array_equal(members[1], fields(1)[[2, 1]])
    with pytest.raises(DataError, match=r"e\.nc: t has no level 850; it has 500, 1000"):
        read_members(written, ("t@850",))


def test_parts_and_merged(tmp_path, statistics, written):
    parts = [part_name(tmp_path / "j.nc", "abcdefgh", part) for part in range(2)]
    schema = schema_of(statistics, [0, 1, 2], 1, content=CONTENT, attributes=MADE)
    summary = schema.new_summary()
    for path, numbers in zip(parts, ([0, 2], [1]), strict=True):
        store = fill(
            NetCDFStore(path, schema_of(statistics, numbers, 1, content=CONTENT, attributes=MADE), summarised=False), numbers
        )
        summary.column((), (3, 8, 6)).merge(store.summary.columns[()].count, store.summary.columns[()].table)
    join_parts(tmp_path / "j.nc", schema, parts, summary)
    assert_equal(tmp_path / "j.nc", written)
    merge([tmp_path / "j.nc"], tmp_path / "m.nc")
    assert_equal(tmp_path / "m.nc", written)


def test_conditions_of_levels(data, statistics):
    conditions = Conditions([data], ("t@1000", "sp"), statistics, select=[3, 7])
    assert conditions.shape == (2, 8, 6) and conditions.cases.name == "time" and conditions.cases.values.tolist() == [3.0, 7.0]
    made = conditions([7])
    assert np.allclose(made[0, 0], (T[7, 2] - statistics.mean[2]) / statistics.standard_deviation[2])
    assert np.allclose(made[0, 1], (SP[7] - statistics.mean[1]) / statistics.standard_deviation[1])


@pytest.mark.parametrize("overrides", [[], ["output.variables=[t]"], ["output.variables=[t@1000]"]], ids=str)
def test_a_run_and_its_member_again(tmp_path, statistics, overrides):
    config = write_project(
        tmp_path,
        model__network="levels.py:Levels",
        model__shape=[3, 8, 6],
        model__predicts="data",
        model__clock={"name": "linear"},
        model__probe=False,
    )
    (tmp_path / "levels.py").write_text(NET)
    save_file({"weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
    statistics.save(tmp_path / "statistics.nc")
    run(load(config, overrides))
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert ("sp" in file.variables) is (not overrides)
        assert file["plev"][:].tolist() == ([1000.0] if overrides and "@" in overrides[0] else [500.0, 1000.0])
        expected = statistics.mean[2] + 0.3 * statistics.standard_deviation[2]
        assert np.allclose(file["t"][:, -1], expected, rtol=1e-4)
    assert rerun(tmp_path / "out" / "ensemble.nc", 1).same


def test_two_axes_of_levels():
    groups = group_channels(["t@1", "t@2", "u@1", "q", "v@1", "v@2"])
    assert [(g.variable, g.channels, g.levels) for g in groups] == [
        ("t", (0, 1), (1.0, 2.0)), ("u", (2,), (1.0,)), ("q", (3,), None), ("v", (4, 5), (1.0, 2.0))
    ]  # fmt: skip
    axis = np.arange(8.0)
    names = ["t@1", "t@2", "u@1", "q", "v@1", "v@2"]
    made = DatasetStatistics.from_samples(RNG.normal(size=(9, 6, 8, 8)), names, ["1"] * 6, ["a"] * 6, x=axis, y=axis)
    schema = schema_of(made, [0], 1)
    assert schema.level_names == {(1.0, 2.0): "level", (1.0,): "level_of_u"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("t@700", r"data\.nc: t has no level 700; it has 500, 850, 1000"),
        ("t@top", r"'t@top': what follows @ must be a level, such as t@500, or \* for all"),
        ("q@500", r"data\.nc has no variable q; it has t, sp, plev, lat, lon, time"),
        ("lat@*", r"data\.nc: lat has the axes \(lat\), none of them of levels"),
        ("q@*", r"data\.nc has no variable q; it has t, sp, plev, lat, lon, time"),
    ],
)
def test_what_is_not_there(data, tmp_path, name, words, capsys):
    arguments = ["stats", str(data), "--variable", name, "--output", str(tmp_path / "s.nc")]
    assert main(arguments) == USER_ERROR
    assert re.search(words, capsys.readouterr().err)


def test_with_and_without_levels():
    with pytest.raises(DataError, match="t is a channel with levels and one without; name one of them otherwise"):
        group_channels(["t", "t@500"])


HYBRID = {"standard_name": "atmosphere_hybrid_sigma_pressure_coordinate", "formula_terms": "ap: hyam b: hybm ps: sp"}


@pytest.fixture
def hybrid(data):
    """The same data on hybrid levels, with the coefficients of their pressures."""
    with netCDF4.Dataset(data, "a") as file:
        file["plev"].setncatts(HYBRID | {"units": "1"})
        for name, axes, values in (("hyam", ("plev",), [0.1, 0.2, 0.0]), ("hybm", ("plev",), [0.4, 0.6, 1.0]), ("p0", (), 1e5)):
            variable = file.createVariable(name, "f8", axes)
            variable.setncatts({"units": "1" if name == "hybm" else "Pa", "long_name": name})
            variable[...] = values
    return data


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_what_pressures_of_hybrid_levels_are_made_of_is_copied(hybrid, tmp_path, ending):
    with FileSamples([hybrid], NAMES) as samples:
        samples.statistics().save(tmp_path / "s.nc")
        fields = samples[0:2]
    known = DatasetStatistics.from_file(tmp_path / "s.nc")
    path = tmp_path / f"e{ending}"
    with EnsembleOutput(
        StoreTarget(path, schema_of(known, [0, 1]), "a" * 8), {".nc": "gather", ".zarr": "zarr"}[ending]
    ) as out:
        for member, field in enumerate(fields):
            out.write(member, field, MemberFacts(3, 1, 1, 0.0))
    with open_ensemble(path) as file:
        assert file["plev"].formula_terms == HYBRID["formula_terms"] and file["plev"].standard_name == HYBRID["standard_name"]
        assert [file[name][...].tolist() for name in ("hyam", "hybm")] == [[0.1, 0.0], [0.4, 1.0]]
        assert file["hyam"].units == "Pa" and file["hyam"].dimensions == ("plev",)
    assert not check(path).problems
    assert ending == ".zarr" or "\n".join(findings(path)["high"]) == ""


def test_terms_that_are_no_channels_are_not_named(hybrid, tmp_path):
    with netCDF4.Dataset(hybrid, "a") as file:
        file["plev"].formula_terms = "a: hyam b: hybm p0: p0 ps: sp"
    with FileSamples([hybrid], ["t@*"]) as samples:
        known = samples.statistics()
    with NetCDFStore(tmp_path / "e.nc", schema_of(known, [0])) as store:
        store.write(0, T[0].astype(np.float32), MemberFacts(3, 1, 1, 0.0))
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert file["plev"].formula_terms == "a: hyam b: hybm p0: p0" and file["hybm"][:].tolist() == [0.4, 0.6, 1.0]
        assert file["p0"][...] == 1e5 and file["p0"].dimensions == ()
