"""Folders of diffusers and modules of physicsnemo: what they say is used; what contradicts it or runs code is refused."""

import importlib.util
import json
import sys

import pytest
import torch

from parampi.diffusion.clocks import CLOCKS
from parampi.diffusion.schedules import SCHEDULES
from parampi.diffusion.training_tables import read_table
from parampi.errors import ConfigError, DataError
from parampi.networks.loading import load, stated
from parampi.run.config import load as load_config
from parampi.run.input_files import deciding_files
from parampi.run.inputs import read_inputs
from tests.networks.folders import diffusers_folder, mdlus
from tests.networks.test_programs import Evil
from tests.small import write_project, write_statistics

CPU = torch.device("cpu")
SCHEDULERS = [
    {},
    {"beta_schedule": "scaled_linear", "beta_start": 8.5e-4, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 100},
    {"rescale_betas_zero_snr": True},
    {"trained_betas": [0.01, 0.1, 0.3], "num_train_timesteps": 3},
]


@pytest.fixture
def folder(tmp_path):
    diffusers_folder(tmp_path / "pipe", size=8, prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")
    return tmp_path / "pipe"


@pytest.mark.parametrize("options", SCHEDULERS, ids=lambda options: "-".join(map(str, options)) or "default")
def test_tables_are_those_of_the_scheduler(tmp_path, options):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**options)
    scheduler.save_pretrained(tmp_path)
    table = read_table(str(tmp_path / "scheduler_config.json"))
    assert torch.allclose(table.float()[:-1], scheduler.alphas_cumprod[:-1], rtol=2e-4)
    assert float(table[-1]) == pytest.approx(max(float(scheduler.alphas_cumprod[-1]), 2.0**-24), rel=1e-3)


def test_a_grid_and_a_clock_of_one_table(folder):
    file = str(folder / "scheduler" / "scheduler_config.json")
    grid = SCHEDULES["vp_table"](file, 10, spacing="leading", steps_offset=1)
    assert torch.allclose(CLOCKS["alphas_cumprod"](file)(grid[:-1]), torch.arange(901.0, 0, -100, dtype=torch.float64))
    assert torch.allclose(grid, SCHEDULES["vp_cosine"](10, spacing="leading", steps_offset=1))


def test_a_folder_says_what_its_network_predicts(folder):
    said = stated(folder)
    assert (said.predicts, said.shape, said.condition) == ("velocity", (1, 8, 8), 0)
    assert said.clock == {"name": "alphas_cumprod", "file": str(folder / "scheduler" / "scheduler_config.json")}


def test_its_network_is_called_as_parampi_calls(tmp_path):
    unet = diffusers_folder(tmp_path, given=2)
    network, x, condition = load(tmp_path, CPU), torch.randn(3, 1, 16, 16), torch.randn(3, 2, 16, 16)
    time = torch.tensor([3.0, 500.0, 999.0])
    assert torch.allclose(network(x, time, condition), unet(torch.cat([x, condition], 1), time).sample, atol=1e-6)
    with pytest.raises(
        ConfigError, match=r"takes 3 channels, and is given 1 of fields and 0 of conditions; put model.shape and"
    ):
        network(x, time)


def project(folder, pipe, **changes):
    """A run of 8x8 fields with the network of a folder."""
    options = {"model__network": None, "model__weights": str(pipe), "model__predicts": None} | changes
    options.setdefault("sampling__sigmas", {"schedule": "vp_cosine", "steps": 10})
    options.setdefault("sampling__sampler", {"name": "ddim"})
    return write_project(folder, **options)


def test_a_run_takes_what_the_folder_says(tmp_path, folder):
    config = load_config(project(tmp_path, folder))
    assert config.model.predicts == "velocity" and config.model.clock.name == "alphas_cumprod"
    read_inputs(config)
    names = {name for name in deciding_files(config) if name.startswith("model.weights: ")}
    assert names == {f"model.weights: {name}" for name in (
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"
    )}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__predicts": "epsilon"}, r"model\.predicts = epsilon, but model\.weights = .*pipe says velocity; put it right"),
        (
            {"model__clock": {"name": "linear"}, "sampling__sigmas": {"schedule": "karras", "steps": 9, "sigma_max": 20.0}},
            r"model\.clock = .*linear.*, but model\.weights = .*pipe says .*alphas_cumprod.*; leave the clock out",
        ),
        (
            {"sampling__sigmas": {"schedule": "vp_linear", "steps": 9}},
            r"sampling\.sigmas\.schedule = vp_linear is made of other training times",
        ),
    ],
)
def test_contradictions_are_refused(tmp_path, folder, changes, words):
    with pytest.raises(ConfigError, match=words):
        read_inputs(load_config(project(tmp_path, folder, **changes)))


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "unet/config.json",
            {"_class_name": "UNet2DConditionModel"},
            r"is a UNet2DConditionModel, which takes more than fields",
        ),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}, r"draws codes of a vae, which are no fields"),
        (
            "scheduler/scheduler_config.json",
            {"prediction_type": "x"},
            r"prediction_type = 'x' is none of epsilon, v_prediction",
        ),
        (
            "scheduler/scheduler_config.json",
            {"beta_schedule": "laplace"},
            r"beta_schedule = 'laplace' is none of linear, scaled",
        ),
    ],
)
def test_other_folders_are_refused(folder, file, change, words):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | change))
    with pytest.raises(DataError, match=words):
        read_table(str(folder / file)) if "beta_schedule" in change else (stated(folder), load(folder, CPU))


def test_pickled_weights_of_a_folder_are_not_read(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(DataError, match=r"has no diffusion_pytorch_model\.safetensors, and pickles are not read; save it anew"):
        load(folder, CPU)


def test_a_module_says_that_it_is_a_denoiser(tmp_path):
    said = stated(mdlus(tmp_path / "net.mdlus"))
    assert (said.predicts, said.sigma_data, said.shape, said.condition) == ("denoiser", 0.5, (1, 16, 16), 2)
    assert stated(mdlus(tmp_path / "other.mdlus", {"__name__": "SongUNet"})).predicts is None


@pytest.mark.parametrize(
    ("arguments", "weights", "words"),
    [
        (
            {"__module__": "subprocess", "__name__": "Popen"},
            None,
            r"names the class subprocess\.Popen, and only classes of phys",
        ),
        ({"__physicsnemo.Module__.model": {"__module__": "os", "__name__": "x"}}, None, r"names the class os\.x, and only"),
        ({"__name__": "UNet"}, None, r"is a UNet, which predicts a mean and denoises nothing; give the diffusion module"),
        ({}, "evil", r"model\.pt in .* holds objects that would run code when they are read, and is not read"),
    ],
)
def test_modules_that_would_run_more_are_refused(tmp_path, arguments, weights, words):
    path = mdlus(tmp_path / "net.mdlus", arguments, Evil(tmp_path / "trace") if weights else None)
    with pytest.raises(DataError, match=words):
        load(path, CPU)
    assert not (tmp_path / "trace").exists() and "physicsnemo" not in sys.modules


@pytest.mark.skipif(importlib.util.find_spec("physicsnemo") is not None, reason="physicsnemo is installed")
def test_physicsnemo_is_asked_for(tmp_path):
    with pytest.raises(
        ConfigError, match=r"is a module of physicsnemo, which is not installed .*; pip install nvidia-physicsnem"
    ):
        load(mdlus(tmp_path / "net.mdlus"), CPU)


def test_a_network_must_come_from_somewhere(tmp_path):
    write_statistics(tmp_path / "statistics.nc")
    for changes, words in (
        ({"model__weights": None, "model__network": None}, "give network, the class of the network, or weights, a file that"),
        ({"model__weights": None, "model__key": "ema"}, "key and strip_prefix are of a file of weights; give weights too"),
        ({"model__network": None, "model__arguments": {"a": 1}}, "arguments are of the class that network names; give network"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_config(write_project(tmp_path, **changes))
