"""The global example: its simulator solves the equations, its network knows the sphere, its forecasts have skill."""

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
from safetensors import safe_open

from parampi.denoisers import PreconditionedDenoiser
from parampi.fields import DatasetStatistics
from parampi.run.config import load as configuration
from parampi.run.job import run
from parampi.verify import ScoreRequest, score

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "06_global"
OWN = ("model", "planet", "simulate")


def load(name, monkeypatch):
    # other examples have modules of these names
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    for other in OWN:
        monkeypatch.delitem(sys.modules, other, raising=False)
    spec = importlib.util.spec_from_file_location(f"global_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for other in OWN:
        sys.modules.pop(other, None)
    return module


def test_rotation_and_divergence_of_known_winds(monkeypatch):
    """Of a solid body that turns (u = cos(latitude)), and of a flow from pole to pole (v = cos(latitude))."""
    simulate = load("simulate", monkeypatch)
    grid, radius = simulate.WRITTEN, simulate.RADIUS
    latitude = np.deg2rad(simulate.LATITUDE)[:, None] + np.zeros(simulate.COLUMNS)
    still = np.zeros_like(latitude)
    for wind, (curl, divergence) in {
        "turns": (np.stack([still, np.cos(latitude)]), (2 * np.sin(latitude), still)),
        "flows": (np.stack([-np.cos(latitude), still]), (still, -2 * np.sin(latitude))),
    }.values():
        modes = grid.curl_and_divergence(wind)
        for found, expected in zip(modes, (curl, divergence), strict=True):
            np.testing.assert_allclose(grid.field(found) * radius, expected, atol=1e-12)
        np.testing.assert_allclose(grid.wind(*modes), wind, atol=1e-12)


def test_a_balanced_rotation_is_steady(monkeypatch):
    """The second case of Williamson et al. 1992 (J. Comput. Phys. 102, 211): a solid body that turns stays as it is, if nothing
    drives or brakes it."""
    simulate = load("simulate", monkeypatch)
    monkeypatch.setattr(simulate, "RELAXATION", np.inf)
    monkeypatch.setattr(simulate, "STIRRING", 0.0)
    planet = simulate.Planet()
    planet.drag, planet.ground = 0 * planet.drag, 0 * planet.ground
    speed, (sine, turning) = 30.0, (planet.sine + np.zeros(96), simulate.RADIUS * simulate.ROTATION)
    vorticity = planet.grid.modes(2 * speed * sine / simulate.RADIUS)
    mass = planet.grid.modes(-(turning * speed + speed**2 / 2) * (sine**2 - 1 / 3))
    begin = np.stack([vorticity, 0 * vorticity, mass])
    after = planet.advance(begin, simulate.DAY)
    before, now = (simulate.fields_of(state, 0.0) for state in (begin, after))
    assert np.abs(now[0] - before[0]).max() < 0.05 and np.abs(now[1:] - before[1:]).max() < 0.01
    # a wind that is not balanced goes away from it at once
    gone = simulate.fields_of(planet.advance(np.stack([vorticity, 0 * vorticity, 0 * mass]), simulate.DAY), 0.0)
    assert np.abs(gone[1:] - before[1:]).max() > 5


def test_the_layer_keeps_its_mass_and_twins_start_from_files(monkeypatch):
    twins = load("twins", monkeypatch)
    simulate = sys.modules[twins.Planet.__module__] if twins.Planet.__module__ in sys.modules else load("simulate", monkeypatch)
    planet = twins.Planet(seed=3)
    state = planet.advance(planet.at_rest(), 2 * simulate.DAY)
    np.testing.assert_allclose(state[2, 0], planet.wanted[0], rtol=1e-10)
    ground = twins.WRITTEN.field(planet.grid.modes(planet.ground)) / twins.GRAVITY
    again = twins.state_of(twins.fields_of(state, ground), ground)
    np.testing.assert_allclose(twins.fields_of(again, ground), twins.fields_of(state, ground), atol=1e-8)
    drawn = twins.forecast(twins.fields_of(state, ground), 2, 2, simulate.DAY / 2, seed=0)
    assert drawn.shape == (2, 2, 3, 32, 64) and 0.1 < np.abs(drawn[0] - drawn[1]).max() < 500


def test_fields_go_on_across_the_poles_and_around(monkeypatch):
    """A linear function of the point in space, at a ring beyond each pole and a meridian beyond each end."""
    around = load("model", monkeypatch).around
    latitude = np.deg2rad(np.arange(18, -18, -1) * 5.0 - 2.5)
    longitude = np.deg2rad(np.arange(16) * 22.5)

    def heights(rows, columns):
        return 0.3 * np.sin(rows)[:, None] + np.cos(rows)[:, None] * np.cos(columns - 0.4)

    step = latitude[0] - latitude[1]
    wide = np.concatenate([[latitude[0] + step], latitude, [latitude[-1] - step]])
    ends = np.concatenate([[longitude[0] - longitude[1]], longitude, [2 * np.pi]])
    found = around(torch.from_numpy(heights(latitude, longitude))[None, None])[0, 0]
    np.testing.assert_allclose(found, heights(wide, ends), atol=1e-12)


def test_training_aims_the_network_at_the_denoiser_that_is_drawn_with(monkeypatch):
    """Loss, and what `D` misses of the clean field in units of what EDM weights it with."""
    train = load("train", monkeypatch)
    rng = torch.Generator().manual_seed(0)
    after, noise, condition = (torch.randn(4, channels, 16, 32, generator=rng) for channels in (3, 3, 5))
    level = torch.tensor([0.02, 0.3, 1.0, 8.0])
    torch.manual_seed(0)
    network = train.Weather(widths=(8, 8, 8)).eval()
    network.change.copy_(torch.tensor([0.1, 0.3, 0.6]))
    torch.nn.init.normal_(network.network.head.weight, std=0.1)
    sigma = level * network.change.log().mean().exp()
    denoised = PreconditionedDenoiser(network)(after + sigma[:, None, None, None] * noise, sigma, condition)
    change = network.change[:, None, None]
    levels = sigma[:, None, None, None] / change
    with torch.no_grad():
        loss = train.loss(network, after, condition, level, noise)
    missed = ((1 + 1 / levels**2) * ((denoised - after) / change).square()).mean()
    torch.testing.assert_close(loss, missed, rtol=1e-3, atol=0)


def simulated(path, grid, monkeypatch, days=4, more=()):
    arguments = ["--out", str(path), "--grid", str(grid), "--days", str(days), "--spin-up", "1", *more]
    monkeypatch.setattr(sys, "argv", ["simulate", *arguments])
    load("simulate", monkeypatch).main()


def test_training_goes_on_where_it_was_cut(tmp_path, monkeypatch, capsys):
    simulated(tmp_path / "weather.nc", tmp_path / "grid.nc", monkeypatch)
    with netCDF4.Dataset(tmp_path / "weather.nc") as file:
        assert file["height"].shape == (8, 32, 64) and file["time"].units == "hours since 2001-01-01 00:00:00"
        assert file["lat"].units == "degrees_north" and file["time"][:2].tolist() == [0, 12]
    train, weights = load("train", monkeypatch), tmp_path / "weights.safetensors"
    monkeypatch.setattr(train, "validate", partial(train.validate, batches=1, size=2))
    for minutes in ("0.02", "0.04"):
        options = ["--grid", str(tmp_path / "grid.nc"), "--out", str(weights), "--minutes", minutes, "--batch", "2"]
        monkeypatch.setattr(sys, "argv", ["train", str(tmp_path / "weather.nc"), *options])
        train.main()
    assert "goes on after" in capsys.readouterr().out
    with safe_open(weights, "pt") as file:
        load("model", monkeypatch).Weather().load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def test_what_is_shipped_belongs_together(monkeypatch):
    config, train = configuration(FOLDER / "run.yaml"), load("train", monkeypatch)
    assert (FOLDER / "weights.safetensors").stat().st_size < 4_000_000
    network = load("model", monkeypatch).Weather()
    with safe_open(FOLDER / "weights.safetensors", "pt") as file:
        network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        card = {name: json.loads(value) for name, value in file.metadata().items()}
    assert card["predicts"] == config.model.predicts == "denoiser"
    assert card["condition"] == [*config.condition.variables, *config.condition.static_variables]
    statistics = DatasetStatistics.from_file(config.data.statistics)
    assert list(statistics.names) == card["condition"] and statistics.geometry.spherical
    *_, static, change = train.load(FOLDER / "truth.nc", FOLDER / "grid.nc", FOLDER / "statistics.nc")
    torch.testing.assert_close(network.change, change, rtol=0.1, atol=0)
    assert static.shape == (2, 32, 64)


def test_forecasts_are_better_than_climatology_and_persistence(tmp_path):
    changes = ["sampling.members=3", "condition.select=[2025-01-20T00:00]", "condition.lead_times=2"]
    run(configuration(FOLDER / "run.yaml", [*changes, f"output.directory={tmp_path}"]))
    for reference in ("climatology", "persistence"):
        scored = score(tmp_path / "ensemble.nc", [FOLDER / "truth.nc"], ScoreRequest(reference=reference, replicates=2))
        assert "spherical harmonics" in scored.geometry.words()
        skill = np.array([one.values["skill"] for one in scored.channels])
        assert (skill > 0).all(), (reference, skill)
