"""A folder with CorrDiff's two networks, made by physicsnemo: from `parampi init` to an ensemble, beside physicsnemo's own."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray

from parampi.__main__ import main
from parampi.diffusion.noise import normal
from parampi.run.config import load
from parampi.run.job import run
from tests.frameworks.installed import framework
from tests.ranks.launch import ROOT, environment, parampi_on

SMALL = {"model_type": "SongUNet", "model_channels": 8, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": []}
GIVEN = {"t2m": (270.0, 10.0), "u10m": (0.0, 4.0), "z500": (5e4, 900.0)}
DRAWN = {"t2m": (280.0, 12.0), "u10m": (1.0, 5.0)}
STEPS, LEAST, MOST = 8, 0.02, 50.0
PRECISE = ["sampling.tolerance=1e-7", "sampling.members=2"]


def two_networks(folder):
    """A regression and a diffusion network, saved by physicsnemo with files beside them as earth2studio keeps them."""
    framework("physicsnemo")
    unets = framework("physicsnemo.models.diffusion_unets")
    legacy = framework("physicsnemo.diffusion.preconditioners.legacy")
    torch.manual_seed(0)
    regression = unets.CorrDiffRegressionUNet(img_resolution=[16, 16], img_in_channels=3, img_out_channels=2, **SMALL)
    diffusion = legacy.EDMPrecondSuperResolution(img_resolution=[16, 16], img_in_channels=5, img_out_channels=2, **SMALL)
    for network in (regression, diffusion):
        for parameter in network.requires_grad_(False).eval().parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    folder.mkdir()
    regression.save(str(folder / "regression.mdlus"))
    diffusion.save(str(folder / "diffusion.mdlus"))
    names = {"input_variables": list(GIVEN), "output_variables": list(DRAWN)}
    levels = {"number_of_steps": STEPS, "sigma_min": LEAST, "sigma_max": MOST}
    (folder / "metadata.json").write_text(json.dumps(names | levels | {"hr_mean_conditioning": True, "seed": 3}))
    stats = {
        kind: {name: {"mean": mean, "std": spread} for name, (mean, spread) in known.items()}
        for kind, known in (("input", GIVEN), ("output", DRAWN))
    }
    (folder / "stats.json").write_text(json.dumps(stats))
    return regression, diffusion


def coarse(path):
    """Two times of what the networks are given; returns them normalised."""
    values = np.random.default_rng(0).standard_normal((2, len(GIVEN), 16, 16))
    fields = {
        name: (("time", "y", "x"), mean + spread * values[:, row]) for row, (name, (mean, spread)) in enumerate(GIVEN.items())
    }
    times = {"time": ("time", [0.0, 6.0], {"units": "hours since 2000-01-01"})}
    xarray.Dataset(fields, times).to_netcdf(path)
    return torch.from_numpy(values).float()


def theirs(regression, diffusion, condition, case):
    """The members of a case by physicsnemo's steps and sampler, normalised, from the noise of parampi."""
    from physicsnemo.diffusion.generate import regression_step
    from physicsnemo.diffusion.samplers import stochastic_sampler

    first = normal(3, [case << 16, (case << 16) + 1], [0], (2, 16, 16))[0] * (MOST**2 + 0.5**2) ** 0.5
    with torch.no_grad():
        mean = regression_step(regression, condition[case : case + 1], torch.Size((1, 2, 16, 16)))
        rest = stochastic_sampler(
            diffusion, first.float() / MOST, condition[case : case + 1].expand(2, -1, -1, -1), mean_hr=mean,
            num_steps=STEPS, sigma_min=LEAST, sigma_max=MOST, S_churn=0.0,
        )  # fmt: skip
    return (mean + rest).numpy()


def drawn(path):
    """The members (case, member, channel, y, x) of a file, normalised."""
    with xarray.open_dataset(path) as file:
        fields = [(file[name].values - mean) / spread for name, (mean, spread) in DRAWN.items()]
    return np.stack(fields, axis=2).swapaxes(0, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_the_fields_are_those_of_physicsnemo_and_the_mean_is_computed_once(tmp_path, monkeypatch):
    regression, diffusion = two_networks(tmp_path / "package")
    condition = coarse(tmp_path / "coarse.nc")
    assert main(["init", str(tmp_path / "package"), "--directory", str(tmp_path / "project")]) == 0
    monkeypatch.chdir(tmp_path)
    calls, forward = [], type(regression).forward

    def counted(self, *arguments, **named):
        calls.append(1)
        return forward(self, *arguments, **named)

    monkeypatch.setattr(type(regression), "forward", counted)
    run(load(tmp_path / "project" / "run.yaml", [f"condition.files={tmp_path / 'coarse.nc'}", *PRECISE]))
    assert len(calls) == 2
    ours = drawn(tmp_path / "project" / "output" / "ensemble.nc")
    for case in (0, 1):
        peer = theirs(regression, diffusion, condition, case)
        assert np.linalg.norm(ours[case] - peer) < 1e-5 * np.linalg.norm(peer)


@pytest.mark.mpi
@pytest.mark.slow
def test_on_two_ranks_without_a_line_of_python(tmp_path):
    two_networks(tmp_path / "package")
    plain = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, timeout=120)
    if plain.returncode:
        pytest.skip("torchvision is of another build than torch, so that physicsnemo cannot be imported as it is")
    coarse(tmp_path / "coarse.nc")
    commands = [
        [sys.executable, "-m", "parampi", "init", str(tmp_path / "package"), "--directory", str(tmp_path / "project")],
        parampi_on(2, "run", tmp_path / "project" / "run.yaml", f"condition.files={tmp_path / 'coarse.nc'}", *PRECISE),
        [sys.executable, "-m", "parampi", "check", str(tmp_path / "project" / "output" / "ensemble.nc")],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, env=environment(240), capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
    assert drawn(tmp_path / "project" / "output" / "ensemble.nc").shape == (2, 2, 2, 16, 16)
