"""`model.prepare` and `model.finish` in configurations: once per case, wherever fields are drawn, and covered by digests."""

import json
import subprocess

import netCDF4
import numpy as np
import pytest
import torch
import yaml

from parampi.errors import ConfigError, DataError, InterruptionError
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.rerun import rerun
from tests.ranks.launch import environment, parampi_on
from tests.small import write_conditions, write_project

HOOKS = '''
from pathlib import Path

import numpy as np
import torch

LOG = Path(__file__).with_name("calls.log")


class Mean(torch.nn.Module):
    """A regression network: its result is kept for the end, and read by the network beside the condition."""

    def __init__(self, shift=1.0, table=None):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.tensor(shift))
        self.table = 0.0 if table is None else float(np.loadtxt(table))

    def forward(self, condition):
        assert condition.dtype == torch.float32
        with LOG.open("a") as file:
            file.write("call\\n")
        mean = 2 * condition + self.shift + self.table
        return condition, mean


def add(field, prepared):
    return field + prepared[1]


def plain(condition):
    return condition


def undo(field, prepared, statistics):
    values = np.exp(field.cpu().numpy()[0])
    return torch.from_numpy(statistics.normalise(values))[None]


def fails(field, prepared):
    raise ValueError("no such table")


number = 3.0
'''


def project(folder, prepare=None, finish="hooks.py:add", **changes):
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "table.txt").write_text("0.25")
    write_conditions(folder / "coarse.nc")
    hooks = {"prepare": prepare or {"function": "hooks.py:Mean", "arguments": {"shift": 0.5}}, "finish": finish}
    condition = {"files": "coarse.nc", "variables": ["vorticity"], "select": [0, 2]}
    path = write_project(folder, **{"sampling__members": 2, **changes})
    tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**tree, "model": tree["model"] | hooks, "condition": condition}))
    return path


def fields(folder):
    with netCDF4.Dataset(folder / "out" / "ensemble.nc") as file:
        return np.ma.filled(file["vorticity"][:], np.nan).astype(float)


def without(path, folder):
    """The same ensemble without hooks."""
    tree = yaml.safe_load(path.read_text())
    tree["model"] = {key: value for key, value in tree["model"].items() if key not in ("prepare", "finish")}
    bare = folder / "bare.yaml"
    bare.write_text(yaml.safe_dump(tree))
    run(load(bare, [f"output.directory={folder}/bare", "sampling.solver={name: serial}"]))
    with netCDF4.Dataset(folder / "bare" / "ensemble.nc") as file:
        return np.ma.filled(file["vorticity"][:], np.nan).astype(float)


def coarse(folder):
    with netCDF4.Dataset(folder / "coarse.nc") as file:
        return file["vorticity"][[0, 2]].astype(float)


def moments(folder):
    with netCDF4.Dataset(folder / "statistics.nc") as file:
        return float(file["mean"][0]), float(file["standard_deviation"][0])


def calls(folder):
    return len((folder / "calls.log").read_text().splitlines())


def test_the_mean_is_added_once_per_case_and_drawn_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = project(tmp_path, sampling__solver={"name": "serial"})
    run(load(path))
    assert calls(tmp_path) == 2
    mean, spread = moments(tmp_path)
    added = (2 * (coarse(tmp_path) - mean) / spread + 0.5) * spread
    difference = fields(tmp_path) - without(path, tmp_path)
    np.testing.assert_allclose(difference, np.broadcast_to(added, difference.shape), atol=1e-5)
    assert rerun(tmp_path / "out" / "ensemble.nc", 1, 2).same
    with pytest.raises(DataError, match=r"has the cases 0, 2; say which of them \(--case\)$"):
        rerun(tmp_path / "out" / "ensemble.nc", 1)
    text = (tmp_path / "hooks.py").read_text()
    (tmp_path / "hooks.py").write_text(text.replace("2 * condition", "3 * condition"))
    with pytest.raises(ConfigError, match=r"model.prepare = .*hooks.py .its SHA-256 is not the one that is stored"):
        rerun(tmp_path / "out" / "ensemble.nc", 1, 2)


@pytest.mark.mpi
def test_on_two_ranks_the_mean_is_computed_once_per_case(tmp_path):
    path = project(tmp_path, sampling__members=3)
    command = parampi_on(2, "run", path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment(90))
    assert done.returncode == 0, done.stderr
    assert calls(tmp_path) == 2


def test_files_in_arguments_are_digested_and_a_run_goes_on_only_with_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = {"function": "hooks.py:Mean", "arguments": {"table": str(tmp_path / "table.txt")}}
    path = project(tmp_path, prepare=table)
    with pytest.raises(InterruptionError):
        run(load(path, ["checkpoint.max_walltime=0.001", "checkpoint.every=0"]))
    recorded = json.loads((tmp_path / "out" / ".parampi-ensemble.nc" / "run.json").read_text())["inputs"]
    assert {"model.prepare", "model.finish", "model.prepare.arguments.table"} <= recorded.keys()
    (tmp_path / "table.txt").write_text("0.5")
    with pytest.raises(ConfigError, match=r"model.prepare.arguments.table"):
        run(load(path), resume=True)
    (tmp_path / "table.txt").write_text("0.25")
    run(load(path), resume=True)
    whole = fields(tmp_path)
    run(load(path, [f"output.directory={tmp_path}/again"]))
    with netCDF4.Dataset(tmp_path / "again" / "ensemble.nc") as file:
        np.testing.assert_allclose(whole, file["vorticity"][:], atol=1e-3)


def test_transforms_are_undone_with_the_statistics(tmp_path):
    path = project(tmp_path, prepare="hooks.py:plain", finish="hooks.py:undo", sampling__solver={"name": "serial"})
    run(load(path))
    mean, spread = moments(tmp_path)
    np.testing.assert_allclose(fields(tmp_path), np.exp((without(path, tmp_path) - mean) / spread), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["picard", "parareal"])
def test_rollouts_go_on_from_finished_fields(tmp_path, solver):
    """Lead by lead by hand: the next condition is made of the finished field."""
    path = project(tmp_path, sampling__solver={"name": solver})
    run(load(path, ["condition.lead_times=2", "condition.select=[0]", "sampling.members=[0, 1]", "sampling.tolerance=1e-8"]))
    mean, spread = moments(tmp_path)
    drawn = (fields(tmp_path) - mean) / spread
    starts = (coarse(tmp_path)[0] - mean) / spread
    assert drawn.shape == (2, 1, 2, 8, 8)
    for before, after in ((np.broadcast_to(starts, (2, 8, 8)), drawn[:, 0, 0]), (drawn[:, 0, 0], drawn[:, 0, 1])):
        residual = after - (2 * before + 0.5)
        assert np.abs(residual).max() < 6.0 and residual.std() < 2.0
    with torch.no_grad():
        assert rerun(tmp_path / "out" / "ensemble.nc", 1).same  # the only case


@pytest.mark.parametrize(
    ("prepare", "finish", "error", "message"),
    [
        ("hooks.py:absent", "hooks.py:add", ConfigError, "model.prepare = .*hooks.py:absent': .* defines no 'absent'"),
        ("hooks.py", "hooks.py:add", ConfigError, "model.prepare = .* must be 'file.py:function' or 'package.module:function'"),
        ("other.py:Mean", "hooks.py:add", DataError, "model.prepare: there is no file .*other.py"),
        ("hooks.py:number", "hooks.py:add", ConfigError, "model.prepare = .* is a float; give a function, or a class"),
        (None, "hooks.py:fails", ConfigError, "model.finish = .*:fails' failed with ValueError: no such table"),
        (
            {"function": "hooks.py:Mean", "arguments": {"size": 3}},
            "hooks.py:add",
            ConfigError,
            "model.prepare.arguments = .*unexpected keyword argument 'size'; it takes .shift=1.0, table=None",
        ),
        (
            {"function": "hooks.py:Mean", "arguments": {"table": "/nowhere.txt"}},
            "hooks.py:add",
            ConfigError,
            "model.prepare.arguments = .*failed with FileNotFoundError: .*nowhere.txt",
        ),
    ],
)
def test_refusals(tmp_path, prepare, finish, error, message):
    with pytest.raises(error, match=message):
        run(load(project(tmp_path, prepare=prepare, finish=finish)))


def test_prepare_without_conditions_is_refused(tmp_path):
    path = project(tmp_path)
    tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({key: value for key, value in tree.items() if key != "condition"}))
    with pytest.raises(ConfigError, match=r"model.prepare is given, and there is no condition that it could prepare"):
        run(load(path))
