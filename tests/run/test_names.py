"""Names of files and of variables that mean something to a library, or to us."""

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from parampi.__main__ import main
from parampi.errors import DataError, OutputError
from parampi.fields import DatasetStatistics, FileSamples, NetCDFStore
from parampi.fields.channels import LevelAxis
from parampi.fields.stores.content import Content
from parampi.run.inputs import matching
from tests.fields.schemas import schema_of
from tests.small import write_conditions, write_project

NAMES = ("rh%b", "rh95%", "a%%b", "a[1]", "[1]", "a b", "~", "gon\u00e9", "a#b", "a*b", "-x", "http:x")


@pytest.fixture
def statistics():
    fields = np.random.default_rng(0).normal(size=(8, 2, 6, 8))
    return DatasetStatistics.from_samples(fields, ["u", "T"], ["m", "K"], ["u", "T"], x=np.arange(8.0), y=np.arange(6.0))


def call(capsys, *arguments):
    code = main([str(one) for one in arguments])
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_that_file(tmp_path, name, capsys):
    folder = tmp_path / name
    folder.mkdir()
    path, conditions, ensemble = write_project(folder), folder / f"{name}c.nc", folder / "out" / f"{name}.nc"
    write_conditions(conditions)
    call(
        capsys, "run", path, "output.mode=virtual", f"output.ensemble='{name}.nc'", f"condition.files='{conditions}'",
        "condition.variables=[vorticity]", "sampling.members=1", f"output.grid='{conditions}'",
    )  # fmt: skip
    call(capsys, "check", ensemble)
    call(capsys, "merge", ensemble, "--output", folder / f"{name}m.nc")
    call(capsys, "check", folder / f"{name}m.nc")
    call(capsys, "rerun", ensemble, "--member", 0, "--case", 1)
    call(capsys, "stats", conditions, "--output", folder / f"{name}s.nc")
    with netCDF4.Dataset(folder / f"{name}m.nc") as file:
        assert np.isfinite(file["vorticity"][:].filled(np.nan)).all()


def test_patterns_in_a_folder_with_brackets(tmp_path):
    folder = tmp_path / "a[1]"
    folder.mkdir()
    files = [folder / name for name in ("t1.nc", "t2.nc", "t[12].nc")]
    for file in files[:2]:
        file.touch()
    assert matching(str(folder / "t[12].nc")) == [str(file) for file in files[:2]]
    files[2].touch()
    assert matching(str(folder / "t[12].nc")) == [str(files[2])]
    with pytest.raises(DataError, match="no file fits"):
        matching(str(folder / "u*.nc"))


def samples_named(folder: Path, name: str) -> Path:
    with netCDF4.Dataset(folder / "data.nc", "w") as file:
        for axis, size in (("time", 4), ("y", 8), ("x", 8)):
            file.createDimension(axis, size)
        file.createVariable(name, "f4", ("time", "y", "x"))[:] = np.random.default_rng(0).normal(size=(4, 8, 8))
    return folder / "data.nc"


@pytest.mark.parametrize("name", ["member", "seed", "rounds", "lead_time", "quantile", "complete"])
def test_names_of_ours_are_refused_alike(tmp_path, name, capsys):
    data = samples_named(tmp_path, name)
    assert main(["stats", str(data), "--output", str(tmp_path / "statistics.nc")]) == 2
    refusal = f"a channel cannot be named '{name}', which ensemble files use; rename it in the data"
    assert refusal in capsys.readouterr().err and not (tmp_path / "statistics.nc").exists()
    path = write_project(tmp_path)
    with netCDF4.Dataset(tmp_path / "statistics.nc", "a") as file:
        file["channel"][0] = name
    assert main(["run", str(path)]) == 2
    assert refusal in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a/b", "", " a", "a ", "a\nb", "-a"])
def test_names_that_no_variable_has(tmp_path, name):
    write_project(tmp_path)
    statistics = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    with pytest.raises(DataError, match="a channel cannot be named"):
        replace(statistics, names=(name,))


def test_a_channel_named_as_a_statistic_over_members(tmp_path, statistics):
    named = replace(statistics, names=("u", "u_mean"))
    with pytest.raises(OutputError, match=r"the mean of u cannot be named 'u_mean', .* or leave mean out of output\.summary"):
        NetCDFStore(tmp_path / "e.nc", schema_of(named, [0], content=Content(summary=("mean",))))
    NetCDFStore(tmp_path / "e.nc", schema_of(named, [0], content=Content(summary=("minimum",)))).discard()


def test_an_axis_of_levels_named_as_one_of_ours(tmp_path, statistics):
    named = replace(statistics, names=("t@500", "t@850"), level_axes={"t": LevelAxis("member")})
    with pytest.raises(OutputError, match="an axis of levels cannot be named 'member'"):
        NetCDFStore(tmp_path / "e.nc", schema_of(named, [0]))


@pytest.mark.parametrize("name", ["seed", "member", "quantile"])
def test_a_static_field_named_as_one_of_ours(tmp_path, name, capsys):
    path = write_project(tmp_path)
    with netCDF4.Dataset(tmp_path / "grid.nc", "w") as file:
        for axis in ("y", "x"):
            file.createDimension(axis, 8)
        file.createVariable(name, "f4", ("y", "x"))[:] = 1.0
    assert main(["run", str(path), f"output.grid={tmp_path / 'grid.nc'}", f"output.grid_variables=[{name}]"]) == 2
    assert f"output.grid_variables: {name} is a name that ensemble files use" in capsys.readouterr().err


def test_names_of_other_alphabets(tmp_path):
    with FileSamples([samples_named(tmp_path, "\u6e29\u5ea6")]) as samples:
        assert samples.statistics().names == ("\u6e29\u5ea6",)
