"""Runs whose network is a program, or brings its own weights: the same fields, and digests of all that made them."""

import json

import netCDF4
import numpy as np
import pytest
import torch

from parampi.__main__ import main
from parampi.errors import ConfigError
from parampi.run.config import load
from parampi.run.job import run
from tests.small import write_project

FACTORY = """
import json
from pathlib import Path

import torch


class White(torch.nn.Module):
    def __init__(self, variance):
        super().__init__()
        self.variance = torch.nn.Parameter(torch.tensor(variance, dtype=torch.float64))

    def forward(self, x, sigma):
        return x * (self.variance / (self.variance + sigma[:, None, None, None] ** 2))


def network(folder) -> torch.nn.Module:
    return White(json.loads((Path(folder) / "variance.json").read_text()))
"""
BASE = {"model__predicts": "denoiser", "model__sigma_data": 0.5, "sampling__members": 2, "sampling__tolerance": 1e-7}


def project(folder, **changes):
    (folder / "factory.py").write_text(FACTORY)
    (folder / "net").mkdir(exist_ok=True)
    (folder / "net" / "variance.json").write_text("0.25")
    path = write_project(folder, **BASE | {"model__weights": None, "model__network": None} | changes)
    path.write_text(path.read_text().replace("'!path net'", "!path net"))
    return path


def drawn(folder):
    with netCDF4.Dataset(folder / "out" / "ensemble.nc") as file:
        return np.asarray(file["vorticity"][:]), json.loads(file.inputs_sha256)


@pytest.fixture
def own(tmp_path):
    """A run of a factory that reads its own weights."""
    path = project(tmp_path, model__network="factory.py:network", model__arguments={"folder": "!path net"})
    run(load(path))
    return path


def test_a_factory_reads_its_own_weights(tmp_path, own, capsys):
    _, digests = drawn(tmp_path)
    assert set(digests) == {"model.network", "model.arguments.folder: variance.json", "data.statistics"}
    (tmp_path / "net" / "variance.json").write_text("0.5")
    assert main(["rerun", str(tmp_path / "out" / "ensemble.nc"), "--member", "0"]) == 2
    assert "model.arguments.folder: variance.json is not the file that the ensemble was drawn with" in capsys.readouterr().err


def test_a_program_draws_the_same(tmp_path, own):
    """Of batches of one size, in float64: the engine's are split and filled."""
    fields, _ = drawn(tmp_path)
    names = {}
    exec(FACTORY, names)
    inputs = torch.randn(5, 1, 8, 8, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    torch.export.save(torch.export.export(names["White"](0.25), inputs), tmp_path / "net.pt2")
    run(load(project(tmp_path, model__weights="net.pt2")), overwrite=True)
    again, digests = drawn(tmp_path)
    assert np.allclose(fields, again, rtol=1e-6, atol=1e-6 * np.abs(fields).max())
    assert set(digests) == {"model.weights", "data.statistics"}


def test_another_shape_is_refused(tmp_path):
    names = {}
    exec(FACTORY, names)
    inputs = torch.randn(2, 1, 4, 4, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    torch.export.save(torch.export.export(names["White"](0.25), inputs), tmp_path / "net.pt2")
    with pytest.raises(
        ConfigError, match=r"takes inputs of shape \(batch, 1, 4, 4\), and was given fields of shape \(1, 8, 8\)"
    ):
        run(load(project(tmp_path, model__weights="net.pt2")))


def test_the_tensors_of_a_checkpoint(tmp_path):
    path = write_project(tmp_path, model__weights="net.ckpt", model__key="ema", model__strip_prefix="module.")
    torch.save({"ema": {"module.weight": torch.zeros(2)}, "step": 4}, tmp_path / "net.ckpt")
    run(load(path))
    assert set(drawn(tmp_path)[1]) == {"model.weights", "model.network", "data.statistics"}
