"""What networks of runs are told of noise levels: the right times, or a refusal that says what to write instead."""

import numpy as np
import pytest
import torch
import xarray

from parampi.diffusion.clocks import CLOCKS
from parampi.diffusion.exact import Gaussian
from parampi.diffusion.sigmas import vp_cosine, vp_cosine_alphas_cumprod
from parampi.ensemble import sample
from parampi.errors import ConfigError
from parampi.fields import DatasetStatistics
from parampi.run.config import load
from parampi.run.input_files import deciding_files
from parampi.run.inputs import read_inputs
from parampi.run.job import run
from parampi.run.model_clock import check_stability
from parampi.samplers import DDIM
from tests.ranks.launch import ROOT
from tests.small import write_project

NET = '''
import torch

from parampi.diffusion.sigmas import VPTimes, vp_cosine_alphas_cumprod

CLOCK = VPTimes(vp_cosine_alphas_cumprod(1000))


class Velocity(torch.nn.Module):
    """Velocity of white Gaussian data of variance 1/4, told times of the cosine schedule."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def forward(self, y, time):
        level = CLOCK.sigma(time).to(y.dtype).view(-1, 1, 1, 1)
        alpha = (1 + level**2) ** -0.5
        x = y / alpha
        clean = 0.25 / (0.25 + level**2) * x + self.weight.sum()
        return alpha * (x - clean) / level - alpha * level * clean
'''


def project(folder, **changes):
    (folder / "velocity.py").write_text(NET)
    options = {"model__network": "velocity.py:Velocity", "model__predicts": "velocity", "model__sigma_data": 0.5} | changes
    options.setdefault("sampling__sigmas", {"schedule": "vp_cosine", "steps": 20})
    options.setdefault("sampling__sampler", {"name": "ddim"})
    return write_project(folder, **options)


def test_a_network_of_the_cosine_schedule_is_told_its_times_by_the_grid(tmp_path):
    """Beside the closed form: the same equations with the exact denoiser."""
    run(load(project(tmp_path, sampling__tolerance=1e-8)))
    with xarray.open_dataset(tmp_path / "out" / "ensemble.nc") as file:
        physical = file["vorticity"].values
    fields = DatasetStatistics.from_file(tmp_path / "statistics.nc").normalise(physical[:, None])
    exact = Gaussian(torch.zeros(1, 8, 8, dtype=torch.float64), torch.full((1, 8, 8), 0.25, dtype=torch.float64))
    same = sample(exact, (1, 8, 8), members=4, seed=3, sigmas=vp_cosine(20), sampler=DDIM(0.0), tol=1e-8, sigma_data=0.5)
    assert np.allclose(fields, same.fields.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"sampling__sigmas": {"schedule": "karras", "steps": 12}},
            r"model.predicts = velocity: .*schedule = karras does not say of which schedule; give model.clock, such as",
        ),
        (
            {"sampling__sigmas": {"schedule": "flow", "steps": 12}},
            r"schedule = flow does not say of which schedule; give model.clock",
        ),
        (
            {"model__clock": {"name": "linear"}},
            r"model.clock.name = linear, but .*schedule = vp_cosine is made of other training times: at noise level .* they",
        ),
        (
            {"model__clock": {"name": "cosine", "train_steps": 500}},
            r"vp_cosine is made of other training times.*leave the clock out",
        ),
        (
            {"model__clock": {"name": "linear"}, "sampling__sigmas": {"schedule": "vp_linear", "steps": 9, "beta_last": 0.03}},
            r"vp_linear is made of other training times",
        ),
        (
            {"model__clock": {"name": "alphas_cumprod", "file": "kept.npy"}},
            r"alphas_cumprod, but .* made of other training times",
        ),
        (
            {"model__clock": {"name": "scaled_linear"}, "sampling__sigmas": {"schedule": "karras", "steps": 12}},
            r"begins at noise level 80, beyond the network's last training time \(14\.6.*begin at 14\.6.* at most, or give",
        ),
        (
            {"model__predicts": "flow", "model__clock": {"name": "cosine"}},
            r"cosine with model.predicts = flow: .*give \{name: flow\}, with scale: 1000 .* model.predicts = velocity",
        ),
        (
            {"model__predicts": "flow", "model__scaled_input": False},
            r"model.scaled_input = false is for networks that predict epsilon.* leave scaled_input out",
        ),
        (
            {"sampling__sampler": {"name": "heun"}, "sampling__sigmas": {"schedule": "vp_cosine", "steps": 8}},
            r"heun on .* draws Gaussian data with .* times their standard deviation: .* take a sampler that steps in log sigma",
        ),
        (
            {"model__clock": {"name": "cosin"}},
            r"model.clock.name = 'cosin' is not a known clock; did you mean 'cosine'",
        ),
        (
            {"model__clock": {"name": "flow", "data_at": 2}, "model__predicts": "flow"},
            r"model.clock: .*data_at = 2 must be 0 or 1",
        ),
        ({"model__clock": {"name": "cosine", "steps": 5}}, r"model.clock.steps is not a known key; did you mean train_steps"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_remedy(tmp_path, changes, words):
    np.save(tmp_path / "kept.npy", vp_cosine_alphas_cumprod(700).numpy())
    with pytest.raises(ConfigError, match=words):
        read_inputs(load(project(tmp_path, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"model__clock": {"name": "cosine"}},
        {"model__clock": {"name": "cosine"}, "sampling__sigmas": {"schedule": "karras", "steps": 12}},
        {"model__clock": {"name": "log_sigma"}, "model__scaled_input": False},
        {"model__predicts": "flow", "model__clock": {"name": "flow", "scale": 1000.0}},
        {"model__predicts": "denoiser", "sampling__sigmas": {"schedule": "karras", "steps": 12}},
        {"model__predicts": "edm", "model__clock": {"name": "sigma"}},
        {"sampling__sigmas": {"schedule": "vp_scaled_linear", "steps": 12}},
    ],
)
def test_what_fits_together_is_taken(tmp_path, changes):
    read_inputs(load(project(tmp_path, **changes)))


def test_a_coarse_sampler_is_named_in_a_note(tmp_path):
    coarse = {"schedule": "karras", "steps": 4}
    config = load(project(tmp_path, model__predicts="edm", model__sigma_data=1.0, sampling__sigmas=coarse))
    inputs = read_inputs(config)
    assert "coarse" in check_stability(config, inputs.equations)
    fine = read_inputs(load(project(tmp_path)))
    assert check_stability(fine.config, fine.equations) == ""


def test_a_file_of_times_decides_the_fields(tmp_path):
    np.save(tmp_path / "kept.npy", vp_cosine_alphas_cumprod(1000).numpy())
    config = load(project(tmp_path, model__clock={"name": "alphas_cumprod", "file": "kept.npy"}))
    assert deciding_files(config)["model.clock.file"] == tmp_path / "kept.npy"
    run(config)
    assert (tmp_path / "out" / "ensemble.nc").is_file()


def test_every_clock_is_documented():
    text = (ROOT / "docs" / "howto" / "own-model.md").read_text()
    assert all(f"`{name}`" in text for name in CLOCKS)
