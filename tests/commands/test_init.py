"""`parampi init`: from the files of a framework to an ensemble, in three commands and no line of Python."""

import json
import subprocess

import netCDF4
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import parampi
from parampi.__main__ import main
from parampi.fields import DatasetStatistics
from parampi.run import card
from parampi.run.card import Card
from parampi.run.config import load
from tests.networks.folders import EDM, diffusers_folder, mdlus
from tests.networks.test_programs import exported
from tests.ranks.launch import ROOT, environment, parampi_on


def written(capsys, folder, *arguments):
    """What the command says."""
    assert main(["init", *map(str, arguments), "--directory", str(folder)]) == 0
    return capsys.readouterr().out


def drawn(folder, name):
    with netCDF4.Dataset(folder / "output" / "ensemble.nc") as file:
        return np.asarray(file[name][:])


def in_two_commands(folder, *overrides):
    """Run on two ranks, and check."""
    command = parampi_on(2, "run", folder / "run.yaml", "sampling.members=2", "sampling.tolerance=1e-6", *overrides)
    done = subprocess.run(command, cwd=ROOT, env=environment(120), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert main(["check", str(folder / "output" / "ensemble.nc")]) == 0


def starts(shape, sigmas, sigma_data=1.0):
    """The noise that two members begin with, data included: a denoiser that returns x leaves it as it is."""
    ddim, serial = parampi.samplers.DDIM(), parampi.solvers.Serial()
    return parampi.sample(
        lambda x, sigma: x, shape, 2, sigmas, sampler=ddim, solver=serial, sigma_data=sigma_data, probe=False
    ).fields


@pytest.mark.mpi
def test_a_folder_of_diffusers(tmp_path, capsys):
    """Beside DDIMScheduler's own loop, from the same noise."""
    from diffusers import DDIMScheduler

    options = {"prediction_type": "v_prediction", "clip_sample": False, "beta_schedule": "squaredcos_cap_v2"}
    unet = diffusers_folder(tmp_path / "pipe", size=8, **options)
    said = written(capsys, tmp_path, tmp_path / "pipe")
    assert said.startswith("wrote ") and f"next: parampi run {tmp_path / 'run.yaml'}" in said and "fill in" not in said
    in_two_commands(tmp_path, "model.probe=false")
    scheduler = DDIMScheduler(**options)
    scheduler.set_timesteps(50)
    config = load(tmp_path / "run.yaml")
    assert config.model.predicts == "velocity" and config.sampling.sigmas.schedule == "vp_table"
    grid = parampi.sigmas.vp_cosine(50, spacing="leading")
    x = (starts((1, 8, 8), grid) / (1 + grid[0] ** 2) ** 0.5).float()
    with torch.no_grad():
        for time in scheduler.timesteps:
            x = scheduler.step(unet(x, time).sample, time, x).prev_sample
    difference = np.linalg.norm(drawn(tmp_path, "field_0") - x[:, 0].numpy()) / np.linalg.norm(x.numpy())
    assert difference < 1e-4, difference


@pytest.mark.mpi
def test_a_program_of_torch_export(tmp_path, capsys):
    """What it predicts is found by the probe, and the batches of one size are filled."""
    said = written(capsys, tmp_path, exported(tmp_path / "net.pt2", 4))
    assert "look at sampling.sigmas: the noise levels that it was trained for" in said and "fill in" not in said
    assert "look at model.predicts: called for a few fields, it may be denoiser" in said
    assert load(tmp_path / "run.yaml").model.predicts == "denoiser"
    in_two_commands(tmp_path)
    assert 0.3 < drawn(tmp_path, "field_0").std() < 0.7


@pytest.mark.mpi
@pytest.mark.slow
def test_a_module_of_physicsnemo(tmp_path, capsys):
    """Beside physicsnemo's own sampler, from the same noise."""
    preconditioners = pytest.importorskip("physicsnemo.diffusion.preconditioners.legacy", reason="physicsnemo is an extra")
    from physicsnemo.diffusion.samplers import deterministic_sampler

    torch.manual_seed(0)
    module = preconditioners.EDMPrecond(
        img_resolution=16, img_channels=2, model_type="SongUNet", model_channels=8, channel_mult=[1, 2], num_blocks=1,
        attn_resolutions=[],
    )  # fmt: skip
    module.save(str(tmp_path / "diffusion.mdlus"))
    describe(tmp_path, {"output_variables": ["t2m", "u10m"], "number_of_steps": 12, "sigma_min": 0.02, "sigma_max": 20.0})
    assert "fill in" not in written(capsys, tmp_path / "project", tmp_path)
    in_two_commands(tmp_path / "project", "model.probe=false")
    grid = parampi.sigmas.karras(12, 0.02, 20.0)
    noise = starts((2, 16, 16), grid, 0.5) / grid[0]
    nothing = torch.zeros(2, 0, 16, 16)
    with torch.no_grad():
        peer = deterministic_sampler(module.eval(), noise, nothing, num_steps=12, sigma_min=0.02, sigma_max=20.0).numpy()
    for row, (name, mean, deviation) in enumerate((("t2m", 280.0, 12.0), ("u10m", 1.0, 5.0))):
        ours = (drawn(tmp_path / "project", name) - mean) / deviation
        assert np.linalg.norm(ours - peer[:, row]) < 1e-4 * np.linalg.norm(peer[:, row])


def describe(folder, metadata):
    """Metadata and statistics as earth2studio keeps them."""
    stats = {
        "input": {"t2m": {"mean": 270.0, "std": 10.0}, "z500": {"mean": 5e4, "std": 900.0}},
        "output": {"t2m": {"mean": 280.0, "std": 12.0}, "u10m": {"mean": 1.0, "std": 5.0}},
    }
    (folder / "stats.json").write_text(json.dumps(stats))
    (folder / "metadata.json").write_text(json.dumps(metadata))


def test_a_corrdiff_package(tmp_path, capsys):
    """Its layout, written by the test: what cannot be known is said, all else is in the configuration."""
    network = EDM["__args__"] | {"img_out_channels": 2, "img_in_channels": 4}
    mdlus(tmp_path / "diffusion.mdlus", {"__args__": network})
    mdlus(tmp_path / "regression.mdlus", {"__name__": "UNet"})
    describe(tmp_path, {"number_of_steps": 9, "solver": "euler", "seed": 3, "hr_mean_conditioning": True})
    said = written(capsys, tmp_path, tmp_path)
    assert "fill in condition.files: the files of what the network is given, on its grid\n" in said and "then: parampi" in said
    config = load(tmp_path / "run.yaml", ["condition.files=x.nc"])
    assert (config.model.predicts, config.model.sigma_data, config.model.shape) == ("denoiser", 0.5, [2, 16, 16])
    assert config.model.prepare.arguments == {
        "regression": str(tmp_path / "regression.mdlus"), "channels": 2, "mean_conditioning": True,
    }  # fmt: skip
    assert config.condition.variables == ["t2m", "z500"] and config.sampling.sampler.name == "euler"
    assert config.sampling.seed == 3 and config.sampling.sigmas.steps == 9
    output, given = (DatasetStatistics.from_file(path) for path in (config.data.statistics, config.condition.statistics))
    assert output.names == ("t2m", "u10m") and output.mean.tolist() == [280.0, 1.0]
    assert given.names == ("t2m", "z500") and given.standard_deviation.tolist() == [10.0, 900.0]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"output_variables": ["t2m"]}, "metadata.json names 1 variables (t2m), and the network draws 2"),
        ({"output_variables": ["t2m", "q"]}, "stats.json has no mean and std of q; it has t2m, u10m"),
    ],
)
def test_packages_that_do_not_fit_are_refused(tmp_path, capsys, metadata, words):
    mdlus(tmp_path / "diffusion.mdlus", {"__args__": EDM["__args__"] | {"img_out_channels": 2}})
    describe(tmp_path, metadata)
    assert main(["init", str(tmp_path), "--directory", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run.yaml").exists()


def test_what_a_scheduler_clips_is_clipped(tmp_path, capsys):
    diffusers_folder(tmp_path / "pipe", size=8, clip_sample_range=3.0)
    said = written(capsys, tmp_path, tmp_path / "pipe")
    assert "look at model.clip: as with use_clipped_model_output=True of DDIMScheduler; its default clips" in said
    assert load(tmp_path / "run.yaml").model.clip == 3.0


def test_weights_with_a_card(tmp_path, capsys):
    save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    card.write(tmp_path / "w.safetensors", Card(("u", "v"), None, "edm", 0.5))
    said = written(capsys, tmp_path, tmp_path / "w.safetensors", "--shape", "2,8,8")
    assert "fill in model.network: put the class into model.py, or name it as package.module:Class\n" in said
    config = load(tmp_path / "run.yaml")
    assert (config.model.predicts, config.model.sigma_data, config.model.shape) == ("edm", 0.5, [2, 8, 8])
    assert DatasetStatistics.from_file(tmp_path / "statistics.nc").names == ("u", "v")


def test_without_a_path_it_runs_as_it_is(tmp_path, capsys):
    assert f"next: parampi run {tmp_path / 'run.yaml'}" in written(capsys, tmp_path)
    assert main(["run", str(tmp_path / "run.yaml"), "sampling.members=1"]) == 0
    assert drawn(tmp_path, "field").shape == (1, 32, 32)
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "output" / "ensemble.nc"), "--statistics", str(tmp_path / "statistics.nc")]) == 2
    assert "has means and standard deviations alone, and a spectrum is needed; measure it with" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run.yaml", "model.py"])
def test_nothing_is_replaced(tmp_path, capsys, name):
    (tmp_path / name).write_text("mine")
    assert main(["init", "--directory", str(tmp_path)]) == 2
    assert f"{tmp_path / name} exists already, and parampi init replaces nothing; move it away, or" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no file or folder nowhere; give a network, or nothing for a small working project"),
        (["--shape", "1,x"], "--shape 1,x: give whole numbers, such as 1,64,64"),
        (["pipe", "--predicts", "edm"], "--predicts edm: pipe says epsilon; leave the option out"),
        (["empty"], "the folder empty has neither model_index.json nor config.json beside"),
    ],
)
def test_what_is_no_network_is_refused(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    diffusers_folder(tmp_path / "pipe")
    (tmp_path / "net").write_bytes(b"")
    assert main(["init", *(arguments if arguments[0] != "--shape" else ["net", *arguments])]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "run.yaml").exists()


def test_examples_are_listed(capsys):
    assert main(["init", "--example"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert listed["04_forecast"] == "Forecasts of turbulence"
    assert set(listed) >= {path.parent.name for path in (ROOT / "examples").glob("*/run.yaml")}


def test_an_example_is_copied_with_those_that_it_uses(tmp_path, capsys):
    said = written(capsys, tmp_path, "--example", "forecast")
    copy, source = tmp_path / "examples", ROOT / "examples"
    assert f"into {copy / '04_forecast'}\n" in said and f"next: parampi run {copy / '04_forecast' / 'run.yaml'}\n" in said
    assert {path.name for path in copy.iterdir()} == {"04_forecast", "01_turbulence"}
    for name in ("04_forecast/starts.nc", "01_turbulence/statistics.nc", "01_turbulence/model.py"):
        assert (copy / name).read_bytes() == (source / name).read_bytes()
    assert load(copy / "04_forecast" / "run.yaml").sampling.members == 4
    (copy / "01_turbulence" / "model.py").write_text("mine")
    assert "next: parampi run" in written(capsys, tmp_path, "--example", "02_downscaling")
    assert (copy / "01_turbulence" / "model.py").read_text() == "mine"


def test_no_file_of_an_example_is_replaced(tmp_path, capsys):
    (tmp_path / "examples" / "05_climate").mkdir(parents=True)
    (tmp_path / "examples" / "05_climate" / "climate.py").write_text("mine")
    assert main(["init", "--example", "climate", "--directory", str(tmp_path)]) == 2
    assert "climate.py exists already, and parampi init replaces nothing; move it away, or" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "examples" / "05_climate").iterdir()] == ["climate.py"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--example", "weather"], "--example weather is not one of 01_turbulence, 02_downscaling, "),
        (["net", "--example", "climate"], "--example copies what is there; leave out PATH, --predicts and --shape"),
    ],
)
def test_what_is_no_example_is_refused(tmp_path, capsys, arguments, words):
    assert main(["init", *arguments, "--directory", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_an_installation_without_examples_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("parampi.run.projects.shipped.PACKAGE", tmp_path / "parampi")
    assert main(["init", "--example"]) == 2
    assert "has no examples; install its wheel, or from a clone" in capsys.readouterr().err
