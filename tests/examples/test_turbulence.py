"""The turbulence example: its solver is of the order it claims, its training fits the package's denoiser."""

import importlib.util
import math
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import netCDF4
import numpy as np
import pytest
import torch
from safetensors import safe_open

from parampi.diffusion import EDMDenoiser
from parampi.fields import DatasetStatistics

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "01_turbulence"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"turbulence_{name}", FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def smooth_state(n: int, rng: torch.Generator) -> torch.Tensor:
    white = torch.fft.rfft2(torch.randn(1, n, n, generator=rng, dtype=torch.float64))
    k2 = torch.fft.fftfreq(n, 1 / n)[:, None] ** 2 + torch.fft.rfftfreq(n, 1 / n)[None] ** 2
    return white * torch.exp(-k2 / 8) * 4


def weights(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """1 / k^2, and how often each coefficient of rfft2 counts in a sum over all wavenumbers."""
    k = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    kx = k[: n // 2 + 1].abs()[None]
    k2 = k[:, None] ** 2 + kx**2
    return torch.where(k2 > 0, 1 / k2.clamp(min=1), 0.0), torch.where((kx == 0) | (kx == n // 2), 1.0, 2.0).double()


def test_the_drift_is_stepped_with_order_four(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = load("simulate", monkeypatch)
    start = smooth_state(32, torch.Generator().manual_seed(0))

    def after_one_second(steps: int) -> torch.Tensor:
        model, state = simulate.Turbulence(n=32, dt=1 / steps), start
        for _ in range(steps):
            state = model.step(state)
        return state

    reference = after_one_second(512)
    errors = [(after_one_second(steps) - reference).abs().max().item() for steps in (16, 32, 64)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert 3.7 < orders[0] < 4.5 and 3.7 < orders[1] < 4.5, (errors, orders)


def test_advection_conserves_energy_and_enstrophy(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = load("simulate", monkeypatch)
    n = 48
    model = simulate.Turbulence(n=n)
    state = smooth_state(n, torch.Generator().manual_seed(1)) * model.kept
    inverse, multiplicity = weights(n)
    change = model.advection(state)
    for weight in (torch.ones_like(inverse), inverse):
        rate = (multiplicity * weight * (state.conj() * change).real).sum()
        size = (multiplicity * weight * state.abs() * change.abs()).sum()
        assert abs(rate) < 1e-12 * size


def test_the_forcing_injects_energy_at_the_stated_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = load("simulate", monkeypatch)
    n = 32
    model = simulate.Turbulence(n=n, dt=0.01, seed=2)
    kicked = model.kick(torch.zeros(2000, n, n // 2 + 1, dtype=torch.complex128))
    inverse, multiplicity = weights(n)
    energy = (kicked.abs() ** 2 * inverse * multiplicity).sum((1, 2)) / 2 / n**4
    rate, error = energy.mean() / 0.01, energy.std() / 0.01 / 2000**0.5
    assert abs(rate - simulate.INJECTION) < 4 * error  # 4 standard errors: wrong once in 16 000 seeds
    assert error < 0.01 * simulate.INJECTION


def test_truncation_keeps_every_wavenumber_of_the_coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = load("simulate", monkeypatch)
    x = torch.arange(96, dtype=torch.float64) * 2 * math.pi / 96
    field = torch.cos(3 * x)[:, None] * torch.sin(5 * x)[None] + torch.cos(31 * x)[None]
    coarse = simulate.truncate(torch.fft.rfft2(field)[None], 96, 64)[0]
    x = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
    expected = torch.cos(3 * x)[:, None] * torch.sin(5 * x)[None] + torch.cos(31 * x)[None]
    torch.testing.assert_close(coarse, expected)


def test_training_aims_the_network_at_the_denoiser_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    train = load("train", monkeypatch)
    rng = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(5, 1, 8, 8, generator=rng), torch.randn(5, 1, 8, 8, generator=rng)
    sigma = torch.tensor([0.02, 0.3, 1.0, 8.0, 80.0])
    x, seen = x0 + sigma[:, None, None, None] * noise, []

    class Perfect(torch.nn.Module):
        """Returns the output for which the denoised field is x0; the loss must be 0."""

        def forward(self, inputs: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            seen.append((inputs, level))
            s = sigma[:, None, None, None]
            return (x0 - x / (1 + s**2)) * (1 + s**2).sqrt() / s

    network = Perfect().eval()
    assert train.loss(network, x0, sigma, noise) < 1e-9
    torch.testing.assert_close(EDMDenoiser(network, sigma_data=1.0)(x, sigma), x0, rtol=1e-4, atol=1e-4)
    for training, sampling in zip(*seen, strict=True):
        torch.testing.assert_close(training, sampling)


def test_the_symmetries_of_training_keep_the_equation(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate, train = load("simulate", monkeypatch), load("train", monkeypatch)
    model = simulate.Turbulence(n=32)
    start = smooth_state(32, torch.Generator().manual_seed(3)) * model.kept
    rate = torch.fft.irfft2(model.advection(start), s=(32, 32))
    for seed in range(12):
        pair = torch.cat([torch.fft.irfft2(start, s=(32, 32)), rate])[:, None]
        shifted = torch.cat([train.symmetry(one[None], torch.Generator().manual_seed(seed)) for one in pair])[:, 0]
        moved_rate = torch.fft.irfft2(model.advection(torch.fft.rfft2(shifted[:1])), s=(32, 32))
        torch.testing.assert_close(moved_rate, shifted[1:], rtol=1e-9, atol=1e-9 * rate.abs().max().item())


def test_a_short_simulation_and_training_run_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, weights, statistics = tmp_path / "t.nc", tmp_path / "w.safetensors", tmp_path / "s.nc"
    options = ["--trajectories", "3", "--snapshots", "4", "--spin-up", "0.5", "--interval", "0.1", "--out", str(data)]
    for name, arguments in {
        "simulate": options,
        "summarise": [str(data), "--out", str(statistics)],
        "train": [str(data), "--out", str(weights), "--minutes", "0.05", "--batch", "2"],
    }.items():
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        module = load(name, monkeypatch)
        if name == "train":
            monkeypatch.setattr(module, "validate", partial(module.validate, batches=1, size=2))
        module.main()
    with netCDF4.Dataset(data) as file:
        assert file["vorticity"].shape == (3, 4, 64, 64) and file["vorticity"].units == "s-1"
        assert np.isfinite(file["vorticity"][:]).all()
    assert DatasetStatistics.from_file(statistics).samples == 12
    with safe_open(weights, "pt") as file:
        assert "head.weight" in file.keys()  # noqa: SIM118 (not a dictionary)


def test_what_is_shipped_belongs_together() -> None:
    statistics = DatasetStatistics.from_file(FOLDER / "statistics.nc")
    assert len(statistics.reference) == 16 and statistics.samples == 6000
    assert (FOLDER / "weights.safetensors").stat().st_size <= 4_000_000
    with safe_open(FOLDER / "weights.safetensors", "pt") as file:
        assert float(file.metadata()["standard_deviation"]) == pytest.approx(statistics.standard_deviation[0], rel=0.01)
        assert sum(file.get_tensor(name).numel() for name in file.keys()) <= 1_000_000  # noqa: SIM118
