"""The climate example: its long-run statistics are those of processes that are known, with errors that are right."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "05_climate"


def load(name, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    spec = importlib.util.spec_from_file_location(f"climate_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def red_noise(trajectories, times, memory, seed):
    """First-order autoregressive processes of mean 2 and variance 1, (trajectories, times, 4)."""
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal((trajectories, 4))]
    for _ in range(times - 1):
        x.append(memory * x[-1] + (1 - memory**2) ** 0.5 * rng.standard_normal((trajectories, 4)))
    return 2 + np.stack(x, 1)


def test_statistics_of_red_noise(monkeypatch):
    long_run = load("long_run", monkeypatch)
    values, errors = long_run.estimate(red_noise(2, 5000, 0.9, seed=0))
    expected = np.array([2.0, 1.0, *(0.9**lag for lag in long_run.LAGS)])
    assert (np.abs(values - expected) < 4 * errors).all() and errors.max() < 0.05


def test_errors_are_those_of_many_trajectories(monkeypatch):
    """The scatter over trajectories, against the mean of the bootstrap's errors for one of them."""
    long_run = load("long_run", monkeypatch)
    estimates = [long_run.estimate(one[None], draws=200) for one in red_noise(150, 1000, 0.8, seed=1)]
    scatter = np.std([values for values, _ in estimates], axis=0, ddof=1)
    assert np.mean([errors for _, errors in estimates], axis=0) / scatter == pytest.approx(1.0, abs=0.2)


def test_a_swept_roll_out_is_the_serial_one_while_chaos_has_not_set_them_apart(monkeypatch):
    climate = load("climate", monkeypatch)
    problem = climate.lorenz96(0.1)
    (serial, calls), (swept, rounds) = (
        climate.roll_out(problem, solver, 4, seed=3) for solver in (climate.Serial(), climate.Spectral())
    )
    assert serial.shape == swept.shape == (4, 40) and calls == 24 and rounds < 4
    errors = np.linalg.norm(swept - serial, axis=1) / problem.change_deviation / 40**0.5
    assert (errors < 0.04).all(), errors
