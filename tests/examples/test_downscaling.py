"""The downscaling example: its files fit together, and its ensembles are better than interpolation."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from safetensors import safe_open

from parampi.run.config import load as configuration
from parampi.run.job import run

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "02_downscaling"


def load(name, monkeypatch):
    # the scripts add to the path themselves
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    # both examples have a module of this name
    sys.modules.pop("model", None)
    spec = importlib.util.spec_from_file_location(f"downscaling_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules.pop("model", None)
    return module


def test_coarse_fields_are_means_of_the_fine_ones(monkeypatch):
    evaluate = load("evaluate", monkeypatch)
    with xarray.open_dataset(FOLDER / "coarse.nc") as coarse, xarray.open_dataset(FOLDER / "truth.nc") as truth:
        assert coarse["vorticity"].shape == (10, 16, 16) and truth["vorticity"].shape == (10, 64, 64)
        assert np.allclose(evaluate.means(truth["vorticity"].values), coarse["vorticity"].values, atol=1e-5)
        assert (coarse.time == truth.time).all()


def test_interpolation_is_exact_for_the_longest_waves(monkeypatch):
    """But for what the mean over a cell takes off: a factor of sin(a) / a, a = pi k / cells."""
    model = load("model", monkeypatch)
    y = torch.arange(64) * 2 * torch.pi / 64
    field = (torch.sin(y)[:, None] + torch.cos(2 * y + 0.3)).expand(1, 1, 64, 64).double()
    found = model.finer(torch.nn.functional.avg_pool2d(field, 4), (64, 64))
    assert (found - field).abs().max() < 0.04


def test_crps_of_known_ensembles(monkeypatch):
    evaluate = load("evaluate", monkeypatch)
    truth = np.zeros((2, 2))
    assert evaluate.crps(np.stack([truth + 1, truth - 1]), truth) == pytest.approx(0.0)  # 1 - 2 / 2
    assert evaluate.crps(np.stack([truth + 1, truth + 1]), truth) == pytest.approx(1.0)


def test_weights_fit_and_are_small(monkeypatch):
    network = load("model", monkeypatch).Downscaler()
    assert (FOLDER / "weights.safetensors").stat().st_size < 4_000_000
    with safe_open(FOLDER / "weights.safetensors", "pt") as file:
        network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)


def test_two_cases_are_nearer_to_the_truth_than_interpolation(tmp_path, monkeypatch):
    config = configuration(
        FOLDER / "run.yaml", [f"output.directory={tmp_path}", "sampling.members=2", "condition.select=[2,6]"]
    )
    run(config)
    evaluate = load("evaluate", monkeypatch)
    with (
        xarray.open_dataset(tmp_path / "ensemble.nc") as drawn, xarray.open_dataset(FOLDER / "coarse.nc") as coarse,
        xarray.open_dataset(FOLDER / "truth.nc") as truth,
    ):  # fmt: skip
        assert drawn["vorticity"].dims == ("member", "time", "y", "x") and drawn.attrs["parampi_complete"] == 1
        rows = evaluate.scores(drawn["vorticity"], coarse["vorticity"], truth["vorticity"])
    assert (rows[:, 0] < 0.65 * rows[:, 1]).all() and (rows[:, 2] < 0.35).all()
