"""The forecast example: its parts fit together, its scores are what they say, its training fits the package's denoiser."""

import importlib.util
import json
import math
import sys
from functools import partial
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
from safetensors import safe_open

from parampi.diffusion import EDMDenoiser
from parampi.fields import DatasetStatistics
from parampi.run.config import load as configuration
from parampi.run.job import run
from parampi.verify import ScoreRequest, score

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "04_forecast"
OWN = ("model", "scores", "evaluate")


def load(name, monkeypatch, folder=FOLDER):
    # the scripts add to the path themselves, and other examples have modules of these names
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    for other in OWN:
        sys.modules.pop(other, None)
    spec = importlib.util.spec_from_file_location(f"forecast_{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for other in OWN:
        sys.modules.pop(other, None)
    return module


def test_the_flow_of_known_waves(monkeypatch):
    """psi = -sin(3 y) / 9 - cos(2 x) / 4, so that u = cos(3 y) / 3 and v = sin(2 x) / 2."""
    axis = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    u, v = torch.cos(3 * y) / 3, torch.sin(2 * x) / 2
    rate = -u * -2 * torch.sin(2 * x) - v * 3 * torch.cos(3 * y)
    vorticity = torch.sin(3 * y) + torch.cos(2 * x)
    computed = load("model", monkeypatch).flow(vorticity[None, None])
    torch.testing.assert_close(computed, torch.stack([u, v, rate])[None], atol=1e-12, rtol=0)


def test_training_aims_the_network_at_the_denoiser_of_the_package(monkeypatch):
    train = load("train", monkeypatch)
    rng = torch.Generator().manual_seed(0)
    x0, noise, before = (torch.randn(5, 1, 16, 16, generator=rng) for _ in range(3))
    sigma = torch.tensor([0.02, 0.3, 1.0, 8.0, 80.0])
    torch.manual_seed(0)
    network = train.Change(widths=(8, 8, 8)).eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    denoised = EDMDenoiser(network, sigma_data=1.0)(x0 + sigma[:, None, None, None] * noise, sigma, before)
    weight = (1 + 1 / sigma**2)[:, None, None, None]
    with torch.no_grad():
        loss = train.loss(network, x0, before, sigma, noise)
    torch.testing.assert_close(loss, (weight * (denoised - x0).square()).mean(), rtol=1e-3, atol=0)


def test_the_vorticity_is_that_before_and_its_change(monkeypatch):
    drawn, before = (torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    torch.testing.assert_close(load("model", monkeypatch).Added(0.4)(drawn, (before,)), before + 0.4 * drawn)


def test_symmetries_move_the_field_before_and_after_alike(monkeypatch):
    """The flow of the moved field is the moved flow: its rate, which is a scalar as the vorticity is."""
    train, model = load("train", monkeypatch), load("model", monkeypatch)
    modes = torch.fft.rfft2(torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    modes[..., 8:-8, :] = 0
    modes[..., 8:] = 0
    before = torch.fft.irfft2(modes, s=(32, 32))
    after = model.flow(before)[:, 2:]
    for seed in range(8):
        moved = train.symmetry(torch.cat([before, after], 1), torch.Generator().manual_seed(seed))
        torch.testing.assert_close(model.flow(moved[:, :1])[:, 2:], moved[:, 1:])


def test_scores_of_known_ensembles(monkeypatch):
    scores = load("scores", monkeypatch)
    truth = np.zeros((1, 1, 2, 2))
    apart, alike = np.stack([truth + 1, truth - 1]), np.stack([truth + 1, truth + 1])
    assert scores.fair_crps(apart, truth) == pytest.approx(0.0)  # 1 - 2 / 2
    assert scores.fair_crps(alike, truth) == pytest.approx(1.0)
    assert scores.skill(alike, truth) == pytest.approx(1.0) and scores.spread(alike) == pytest.approx(0.0)


def test_spread_is_skill_where_members_and_truth_are_of_one_law(monkeypatch):
    scores = load("scores", monkeypatch)
    draws = np.random.default_rng(0).standard_normal((5, 8, 3, 32, 32))
    members, truth = draws[1:], draws[0]
    assert scores.spread(members) / scores.skill(members, truth) == pytest.approx(1.0, abs=0.03)
    assert scores.fair_crps(members, truth).mean() == pytest.approx(1 / math.sqrt(math.pi), abs=0.01)
    assert np.abs(scores.spectrum_ratio(members, truth)[:, 4:] - 1).max() < 0.4


def test_simulations_can_start_from_fields_on_the_coarse_grid(monkeypatch):
    twins = load("twins", monkeypatch)
    model = twins.SIMULATE.Turbulence(n=96)
    white = torch.randn(2, 96, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state = torch.fft.rfft2(white) * model.kept
    torch.testing.assert_close(twins.widen(twins.SIMULATE.truncate(state, 96, 64), 96), state)


@pytest.fixture
def data(tmp_path, monkeypatch):
    path = tmp_path / "forecast.nc"
    options = ["--trajectories", "5", "--snapshots", "26", "--spin-up", "0.5", "--interval", "0.025", "--out", str(path)]
    monkeypatch.setattr(sys, "argv", ["simulate", *options])
    load("simulate", monkeypatch, FOLDER.parent / "01_turbulence").main()
    return path


def test_starts_and_what_followed_are_those_of_the_simulations(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["prepare", str(data), "--starts", "2", "--folder", str(tmp_path / "many")])
    load("prepare", monkeypatch).main()
    with netCDF4.Dataset(data) as file:
        simulated = file["vorticity"][-4:].filled()
    with netCDF4.Dataset(tmp_path / "many" / "starts.nc") as first, netCDF4.Dataset(tmp_path / "many" / "truth.nc") as after:
        assert np.abs(first["vorticity"][:] - simulated[:, :2].reshape(8, 64, 64)).max() < 6e-4
        assert np.abs(after["vorticity"][25:50] - simulated[0, 1:26]).max() < 6e-4
        assert after["time"][25:50].tolist() == pytest.approx([100 + 0.025 * k for k in range(25)])
    monkeypatch.setattr(sys, "argv", ["twins", "--folder", str(tmp_path / "many"), "--members", "2"])
    load("twins", monkeypatch).main()
    rows = np.array([line.split() for line in capsys.readouterr().out.splitlines()[-24:]], float)
    # the twins do not know the forcing to come, which is nearly all that changes so young a flow
    assert (rows[:, 1] < 0.8 * rows[:, 3]).all() and (np.abs(rows[:, 6] - 1) < 0.4).all()


def test_training_goes_on_where_it_was_cut(data, tmp_path, monkeypatch, capsys):
    train, weights = load("train", monkeypatch), tmp_path / "weights.safetensors"
    monkeypatch.setattr(train, "validate", partial(train.validate, batches=1, size=2))
    for minutes in ("0.03", "0.06"):
        monkeypatch.setattr(sys, "argv", ["train", str(data), "--out", str(weights), "--minutes", minutes, "--batch", "2"])
        train.main()
    assert "goes on after" in capsys.readouterr().out
    with safe_open(weights, "pt") as file:
        assert float(file.metadata()["lead_time"]) == pytest.approx(0.025)
        load("model", monkeypatch).Change().load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def test_what_is_shipped_belongs_together(monkeypatch):
    config = configuration(FOLDER / "run.yaml")
    network = load("model", monkeypatch).Change()
    assert (FOLDER / "weights.safetensors").stat().st_size < 4_000_000
    with safe_open(FOLDER / "weights.safetensors", "pt") as file:
        network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        facts = {name: json.loads(value) for name, value in file.metadata().items()}
    assert facts["change"] == config.model.finish.arguments["change"] and facts["sigma_data"] == config.model.sigma_data
    assert config.condition.lead_step == f"{facts['lead_time']} seconds"
    statistics = DatasetStatistics.from_file(config.data.statistics)
    assert facts["standard_deviation"] == pytest.approx(statistics.standard_deviation[0])
    with netCDF4.Dataset(FOLDER / "starts.nc") as first, netCDF4.Dataset(FOLDER / "truth.nc") as after:
        assert first["vorticity"].shape == (4, 64, 64) and after["vorticity"].shape == (100, 64, 64)
        assert after["time"][1] == facts["lead_time"] and first["time"][:].tolist() == after["time"][::25].tolist()
        np.testing.assert_array_equal(after["vorticity"][::25], first["vorticity"][:])


def test_two_lead_times_are_better_than_persistence(tmp_path, monkeypatch):
    changes = ["sampling.members=2", "condition.select=[1]", "condition.lead_times=2", f"output.directory={tmp_path}"]
    run(configuration(FOLDER / "run.yaml", changes))
    evaluate = load("evaluate", monkeypatch)
    members, begin, truth, seconds = evaluate.read(tmp_path / "ensemble.nc", FOLDER / "starts.nc", FOLDER / "truth.nc")
    assert members.shape == (2, 1, 2, 64, 64) and seconds.tolist() == [0.25, 0.5]
    rows = evaluate.rows(members, begin, truth)
    crps, persistence = rows[:, 0], rows[:, 2]
    assert (crps < 0.5 * persistence).all(), rows
    scored = score(tmp_path / "ensemble.nc", [FOLDER / "truth.nc"], ScoreRequest(reference="persistence", replicates=20))
    found = scored.channels[0].values
    np.testing.assert_allclose(found["crps"], crps, rtol=1e-5)
    np.testing.assert_allclose(found["reference_crps"], persistence, rtol=1e-5)
    np.testing.assert_allclose(found["rmse"], rows[:, 3], rtol=1e-5)
