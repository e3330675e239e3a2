"""Roll-outs: each forecast starts from the one before, member by member, however the run is spread or cut."""

import json

import netCDF4
import numpy as np
import pytest
import torch
import xarray

import parampi
from parampi.__main__ import main
from parampi.diffusion.noise import lead_seed
from parampi.errors import ConfigError, DataError, InterruptionError
from parampi.fields import PER_CASE, DatasetStatistics
from parampi.run.checkpoint.hook import CheckpointHook
from parampi.run.config import load
from parampi.run.inputs import read_inputs, sampling_options
from parampi.run.job import run
from parampi.run.model_loading import load_denoiser
from parampi.run.rerun import rerun
from tests.fields.test_cf import findings
from tests.small import write_conditions, write_project


def project(folder, **changes):
    write_conditions(folder / "cond.nc")
    return write_project(
        folder,
        **{
            "sampling__members": 3, "parallel__mode": "bitwise", "parallel__network_batch": 4, "condition__files": "cond.nc",
            "condition__variables": ["vorticity"], "condition__select": [2, 0], "condition__lead_times": 3,
        }
        | changes,
    )  # fmt: skip


def fields(path):
    with netCDF4.Dataset(path) as file:
        assert file.parampi_complete == 1
        return np.ma.filled(file["vorticity"][:], np.nan)


@pytest.fixture
def drawn(tmp_path):
    run(load(project(tmp_path)))
    return tmp_path


def test_each_lead_time_starts_from_the_one_before(drawn):
    """Against runs of one lead time, whose condition is what the roll-out had before."""
    found = fields(drawn / "out" / "ensemble.nc")
    assert found.shape == (3, 2, 3, 8, 8)
    for lead in range(3):
        inputs = read_inputs(load(drawn / "run.yaml", [f"output.directory={drawn / 'again'}", "output.mode=gather"]))
        numbers = [2 * PER_CASE + 1]
        before = torch.from_numpy(np.asarray(found[1, 0, lead - 1], np.float64)[None, None]) if lead else None
        given = torch.from_numpy(inputs.conditions([2], lead, None if before is None else before.numpy()))
        denoiser = load_denoiser(inputs, 0)
        alone = parampi.sample(
            members=numbers, seed=lead_seed(3, lead), **sampling_options(inputs, denoiser),
            condition=lambda _, given=given: given,
        )  # fmt: skip
        again = inputs.statistics.restore(alone.fields[0].numpy())[0]
        assert np.allclose(again, found[1, 0, lead], rtol=1e-3, atol=1e-3)
    assert np.abs(found[:, :, 0] - found[:, :, 1]).min() > 1e-9


def test_the_axes_of_times(drawn):
    with xarray.open_dataset(drawn / "out" / "ensemble.nc", decode_timedelta=False) as file:
        assert file["vorticity"].dims == ("member", "forecast_reference_time", "lead_time", "y", "x")
        assert file["lead_time"].attrs["standard_name"] == "forecast_period"
        assert file["forecast_reference_time"].attrs["standard_name"] == "forecast_reference_time"
        assert file["lead_time"].values.tolist() == [6.0, 12.0, 18.0] and file["lead_time"].attrs["units"] == "hours"
        start = np.datetime64("2001-01-01")
        hours = (file["valid_time"].values - start) / np.timedelta64(1, "h")
        assert hours.tolist() == [[18.0, 24.0, 30.0], [6.0, 12.0, 18.0]]
        assert "valid_time" in file["vorticity"].coords
    assert not findings(drawn / "out" / "ensemble.nc")["high"]


def test_a_member_does_not_depend_on_the_others(drawn):
    whole = fields(drawn / "out" / "ensemble.nc")
    run(load(drawn / "run.yaml", ["sampling.members=[1]", "condition.select=[0]", "output.directory=" + str(drawn / "one")]))
    assert np.array_equal(fields(drawn / "one" / "ensemble.nc")[0, 0], whole[1, 1])
    run(load(drawn / "run.yaml", ["condition.lead_times=2", "output.directory=" + str(drawn / "two")]))
    assert np.array_equal(fields(drawn / "two" / "ensemble.nc"), whole[:, :, :2])


def test_without_checkpoints(drawn):
    run(load(drawn / "run.yaml", ["checkpoint.every=null", "output.directory=" + str(drawn / "none")]))
    assert np.array_equal(fields(drawn / "none" / "ensemble.nc"), fields(drawn / "out" / "ensemble.nc"))


def test_the_report_counts_all_lead_times(drawn):
    told = json.loads((drawn / "out" / "report.json").read_text())
    assert len(told["members"]) == 18 and {m["lead"] for m in told["members"]} == {0, 1, 2}
    assert told["serial_evaluations"] == 12 * 18 and told["evaluations"] == sum(m["evaluations"] for m in told["members"])
    with netCDF4.Dataset(drawn / "out" / "ensemble.nc") as file:
        assert file["evaluations"].shape == (3, 2, 3) and file["evaluations"][:].sum() == told["evaluations"]


@pytest.mark.parametrize("rounds", [3, 8, 14])
def test_going_on_where_it_was_cut(drawn, rounds, monkeypatch):

    original, count = CheckpointHook.after, []

    def after(self, engine):
        count.append(1)
        if len(count) == rounds:
            self.watchdog.stop.received = "SIGUSR1"
        return original(self, engine)

    monkeypatch.setattr(CheckpointHook, "after", after)
    cut = load(drawn / "run.yaml", ["checkpoint.every=0", "parallel.batch=4", "output.directory=" + str(drawn / "cut")])
    with pytest.raises(InterruptionError, match=r"of 18 fields are finished; go on with parampi resume"):
        run(cut)
    monkeypatch.setattr(CheckpointHook, "after", original)
    assert main(["resume", str(drawn / "cut")]) == 0
    assert np.array_equal(fields(drawn / "cut" / "ensemble.nc"), fields(drawn / "out" / "ensemble.nc"))


def test_drawn_again(drawn):
    found = rerun(drawn / "out" / "ensemble.nc", 1, 2)
    assert found.differences == {"vorticity": 0.0}


def write_forcing(path, times, names=("vorticity", "sst")):
    write_conditions(path, times)
    with netCDF4.Dataset(path, "a") as file:
        for name in names[1:]:
            variable = file.createVariable(name, "f4", ("time", "y", "x"))
            variable.units = "K"
            variable[:] = np.arange(times)[:, None, None] + np.random.default_rng(0).normal(size=(times, 8, 8))


def forced(folder, times=5):
    config = project(folder, condition__variables=["vorticity", "sst"], condition__statistics="cstat.nc")
    write_forcing(folder / "cond.nc", times)
    samples = np.random.default_rng(1).normal([[[[1.0]], [[2.0]]]], 2.0, (20, 2, 8, 8))
    DatasetStatistics.from_samples(
        samples, ["vorticity", "sst"], ["s-1", "K"], ["a", "b"], x=np.arange(8.0), y=np.arange(8.0)
    ).save(folder / "cstat.nc")
    return config


def test_forcing_is_read_anew_and_results_are_fed(tmp_path):
    inputs = read_inputs(load(forced(tmp_path)))
    result = np.random.default_rng(2).normal(size=(1, 1, 8, 8))
    made = inputs.conditions([0], 2, result)
    with netCDF4.Dataset(tmp_path / "cond.nc") as file:
        sst = (file["sst"][2] - inputs.conditions.mean[1]) / inputs.conditions.deviation[1]
    assert np.allclose(made[0, 1], sst) and np.allclose(
        made[0, 0], (result[0, 0] - inputs.conditions.mean[0]) / inputs.conditions.deviation[0]
    )


@pytest.mark.parametrize(
    ("overrides", "kind", "words"),
    [
        (
            ["condition.select=[3]"],
            DataError,
            r"3 lead times of 6 hours from case 3 need sst at 2001-01-02 06:00:00 .*, which no file has \(they go from 200",
        ),
        (
            ["condition.feed={sst: q}"],
            DataError,
            r"condition.feed = {sst: q}: the condition has vorticity, sst and",
        ),
        (["condition.variables=[sst]"], DataError, r"no channel of the network \(vorticity\) is a variable of the condition"),
        (["condition.lead_step=6 weeks"], DataError, r"condition.lead_step = '6 weeks'; give a number and seconds, minutes, "),
        (["condition.lead_step=none hours"], DataError, r"condition.lead_step = 'none hours'; give a number and"),
        (["condition.lead_times=0"], ConfigError, r"condition.lead_times = 0: input should be greater than or equal to 1"),
        (["condition.lead_times=null", "condition.lead_step=6 hours"], ConfigError, r"lead_step and feed are of roll-outs"),
        (["condition.static=cstat.nc"], ConfigError, r"static and static_variables belong together; give both or neither"),
    ],
    ids=lambda value: value[0].partition("=")[0] + value[0][-8:] if isinstance(value, list) else None,
)
def test_what_cannot_be(tmp_path, overrides, kind, words):
    config = forced(tmp_path)
    with pytest.raises(kind, match=words):
        run(load(config, overrides))
    assert not (tmp_path / "out" / "ensemble.nc").exists()


def test_times_that_do_not_tell_the_step(tmp_path):
    config = project(tmp_path)
    write_conditions(tmp_path / "cond.nc", times=1)
    with pytest.raises(DataError, match=r"the length of a step cannot be told .*; give it, such as condition.lead_step: 6"):
        run(load(config, ["condition.select=null"]))
    run(load(config, ["condition.select=null", "condition.lead_step=90 minutes"]))
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert file["lead_time"].units == "hours" and file["lead_time"][:].tolist() == [1.5, 3.0, 4.5]


def test_static_fields_are_given_to_every_case(tmp_path):
    config = forced(tmp_path)
    with netCDF4.Dataset(tmp_path / "static.nc", "w") as file:
        for name in ("y", "x"):
            file.createDimension(name, 8)
        file.createVariable("sst", "f4", ("y", "x"))[:] = np.arange(64.0).reshape(8, 8) / 10
        file["sst"].units = "K"
    told = ["condition.variables=[vorticity]", f"condition.static={tmp_path / 'static.nc'}", "condition.static_variables=[sst]"]
    inputs = read_inputs(load(config, told))
    made = inputs.conditions([2, 0], 1, np.zeros((2, 1, 8, 8)))
    raw = np.arange(64.0).reshape(8, 8) / 10
    statistics = DatasetStatistics.from_file(tmp_path / "cstat.nc")
    assert made.shape == (2, 2, 8, 8)
    for row in (0, 1):
        assert np.allclose(made[row, 1], (raw - statistics.mean[1]) / statistics.standard_deviation[1])
