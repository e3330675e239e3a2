"""Roll-outs whose file begins with what forecasts start from, and what its readers make of it."""

import numpy as np
import pytest
import xarray

import parampi
from parampi.commands.main import commands
from parampi.errors import ConfigError, DataError, InterruptionError
from parampi.fields import DatasetStatistics, open_ensemble, read_forecasts, read_members
from parampi.fields.stores.check import check
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.rerun import rerun
from tests.small import signalled_after, write_conditions, write_project

SHARED = {
    "condition__files": "cond.nc", "condition__variables": ["vorticity"], "condition__select": [2, 0], "sampling__members": 2,
    "condition__lead_times": 2, "parallel__mode": "bitwise", "checkpoint__every": 0.0, "output__summary": ["mean"],
}  # fmt: skip
SERIAL = {"sampling__solver": {"name": "serial"}, "sampling__window": None}


@pytest.fixture
def project(tmp_path):
    write_conditions(tmp_path / "cond.nc", times=6)
    return lambda **changes: write_project(tmp_path, **{**SHARED, "output__initial_state": True, **changes})


def drawn(path):
    with open_ensemble(path) as file:
        return np.ma.filled(file["vorticity"][:], np.nan)


@pytest.mark.parametrize("order", ["member_first", "time_first"])
@pytest.mark.parametrize("mode", ["gather", "virtual", "zarr"])
def test_lead_time_0_is_the_state_of_the_files_and_the_others_are_as_without(project, tmp_path, mode, order):
    run(load(project(**SERIAL), ["output.initial_state=false", f"output.directory={tmp_path / 'without'}"]))
    config = project(**SERIAL, output__mode=mode, output__order=order)
    run(load(config))
    path = load(config).output.files()["ensemble"]
    fields, plain = drawn(path), drawn(tmp_path / "without" / "ensemble.nc")
    np.testing.assert_array_equal(fields[:, :, 1:], plain)
    with xarray.open_dataset(tmp_path / "cond.nc") as given:
        for member in fields:
            np.testing.assert_array_equal(member[:, 0], given["vorticity"].values[[2, 0]])
    with open_ensemble(path) as file:
        assert file["lead_time"][:].tolist() == [0, 6, 12] and file["valid_time"][:].tolist() == [[12, 18, 24], [0, 6, 12]]
        assert (np.ma.filled(file["rounds"][:])[:, :, 0] == 0).all() and (file["rounds"][:][:, :, 1:] > 0).all()
        assert (file["complete"][:] == 1).all() and file.parampi_complete == 1
        np.testing.assert_array_equal(np.ma.filled(file["vorticity_mean"][:, 0]), fields[0, :, 0])
    assert not check(path).problems and rerun(path, 1, 2).same
    assert len(read_members(path, ["vorticity"])[0]) == 8


def test_a_run_that_is_stopped_has_it_too(project, tmp_path):
    config = project()
    with signalled_after(4), pytest.raises(InterruptionError):
        run(load(config))
    run(load(config), resume=True)
    path = tmp_path / "out" / "ensemble.nc"
    cut = drawn(path)
    run(load(config), overwrite=True)
    np.testing.assert_array_equal(drawn(path), cut)
    assert np.isfinite(cut).all() and not check(path).problems


def test_it_is_not_scored_and_files_of_other_tools_have_it(project, tmp_path, capsys):
    run(load(project(**SERIAL)))
    path, truth = tmp_path / "out" / "ensemble.nc", tmp_path / "cond.nc"
    forecasts = read_forecasts(path)
    assert forecasts.leads.tolist() == [6, 12] and forecasts.valid.tolist() == [[18, 24], [6, 12]]
    capsys.readouterr()
    commands.main(["score", str(path), "--truth", str(truth), "--replicates", "5"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "note: lead time 0, which all members start from, is not scored" in said
    run(load(project(**SERIAL), ["output.initial_state=false"]), overwrite=True)
    capsys.readouterr()
    commands.main(["score", str(path), "--truth", str(truth), "--replicates", "5"], standalone_mode=False)
    assert [line for line in said.splitlines() if "note: lead time 0" not in line] == capsys.readouterr().out.splitlines()
    run(load(project(**SERIAL), []), overwrite=True)
    commands.main(["merge", str(path), "--split", "lead_time", "--output", str(tmp_path / "s")], standalone_mode=False)
    assert [one.name for one in sorted((tmp_path / "s").iterdir())] == [f"lead_time_000{k}.nc" for k in range(3)]
    assert dict(parampi.open(path).axes)["lead_time"] == 3


def test_gaps_are_the_mean_that_the_network_sees(project, tmp_path):
    with xarray.open_dataset(tmp_path / "cond.nc") as given:
        holed = given.load()
    holed["vorticity"][:, 0, 0] = np.nan
    holed.to_netcdf(tmp_path / "holed.nc")
    run(load(project(**SERIAL, condition__files="holed.nc", condition__missing="mean")))
    mean = DatasetStatistics.from_file(tmp_path / "statistics.nc").mean[0]
    np.testing.assert_allclose(drawn(tmp_path / "out" / "ensemble.nc")[:, :, 0, 0, 0], mean, rtol=1e-6)


def test_what_starts_from_no_state_is_refused(project, tmp_path):
    message = (
        r"output\.initial_state = true, and without a roll-out nothing starts from a state; leave it out, or give condition"
    )
    with pytest.raises(ConfigError, match=message):
        load(project(condition__lead_times=None))
    with pytest.raises(ConfigError, match=message):
        load(write_project(tmp_path, output__initial_state=True))


def test_channels_that_no_condition_is_of_are_refused(project, tmp_path):
    fields = np.random.default_rng(0).normal(1.0, 2.0, (20, 2, 8, 8))
    axis = np.arange(8) * 0.5
    names = ["vorticity", "heat"]
    known = DatasetStatistics.from_samples(fields, names, ["s-1", "K"], names, x=axis, y=axis, x_units="m", y_units="m")
    config = project(**SERIAL, model__shape=[2, 8, 8])
    known.save(tmp_path / "statistics.nc")
    with pytest.raises(
        DataError, match=r"the conditions \(vorticity\) have no state of heat; leave it out, or leave these out of"
    ):
        run(load(config))
    run(load(config, ["output.variables=[vorticity]"]))
    assert drawn(tmp_path / "out" / "ensemble.nc").shape[2] == 3
