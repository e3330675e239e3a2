"""Folders of diffusers: what their scheduler says of a network, and the network as parampi calls it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parampi.diffusion.training_tables import read_scheduler
from parampi.errors import ConfigError, DataError
from parampi.networks.files import CONFIG, INDEX, WEIGHTS
from parampi.networks.json_files import read_mapping
from parampi.networks.stated import Stated

SCHEDULER = "scheduler/scheduler_config.json"
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "velocity", "sample": "data"}
NETWORKS = ("UNet2DModel", "UNet1DModel")
"""Classes that are called with fields and times alone."""
HINT = "write a class that calls it as network(x, time[, condition]), and name it as model.network = model.py:Class"


def network_folder(path: Path) -> Path:
    """Return the folder of the network in that of a pipeline. Raises DataError where it has none, or fields go through
    others."""
    if not (path / INDEX).is_file():
        return path
    parts = read_json(path / INDEX)
    if "vae" in parts or "vqvae" in parts:
        raise DataError(
            f"model.weights: {path} draws codes of a vae, which are no fields; {HINT}, with the shape of the codes, and decode "
            f"them afterwards"
        )
    if "unet" not in parts:
        raise DataError(f"model.weights: {path} has no unet, but {', '.join(n for n in parts if n[:1] != '_')}; {HINT}")
    return path / "unet"


def read_json(path: Path) -> dict[str, Any]:
    return read_mapping(path, "save the folder anew with save_pretrained", "model.weights: ")


def stated_of(path: Path) -> Stated:
    """Return what a folder says of its network. Raises DataError where it is damaged."""
    config = read_json(network_folder(path) / CONFIG)
    scheduler = scheduler_file(path)
    said = facts_of(read_scheduler(scheduler), scheduler) if scheduler else Stated()
    return Stated(said.predicts, said.clock, said.sigma_data, said.fixed, *shape_of(config))


def scheduler_file(path: Path) -> Path | None:
    """Return the file of a folder's scheduler, None where there is none."""
    return next((one for one in (path / SCHEDULER, path.parent / SCHEDULER) if one.is_file()), None)


def shape_of(config: dict[str, Any]) -> tuple[tuple[int, ...] | None, int | None]:
    """Return the shape of a network's fields, None where its configuration does not say, and the channels of its condition."""
    size, fields = config.get("sample_size"), config.get("out_channels")
    sizes = [size, size] if isinstance(size, int) and config.get("_class_name") == "UNet2DModel" else size
    sizes = [sizes] if isinstance(sizes, int) else sizes
    more = config["in_channels"] - fields if isinstance(config.get("in_channels"), int) and isinstance(fields, int) else None
    if not isinstance(fields, int) or not isinstance(sizes, list) or not all(isinstance(n, int) for n in sizes):
        return None, more
    return (fields, *sizes), more


def facts_of(scheduler: dict[str, Any], path: Path) -> Stated:
    """Return what the configuration of a scheduler says of prediction and clock."""
    name, kind = str(scheduler["_class_name"]), scheduler.get("prediction_type", "epsilon")
    if name.startswith("FlowMatch"):
        return Stated("flow", {"name": "flow", "scale": float(scheduler.get("num_train_timesteps", 1000))})
    if name.startswith("EDM"):
        return Stated("edm", sigma_data=float(scheduler.get("sigma_data", 0.5)), fixed=True)
    if kind not in PREDICTIONS:
        raise DataError(f"{path}: prediction_type = {kind!r} is none of {', '.join(PREDICTIONS)}; {HINT}")
    return Stated(PREDICTIONS[kind], {"name": "alphas_cumprod", "file": str(path)})


class DiffusersNetwork(nn.Module):
    """A network of diffusers, called as network(x, time) or network(x, time, condition): the condition's channels follow
    those of the fields. Of a network that also predicts variances, the fields are the first half of the channels."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        inputs = x if condition is None else torch.cat([x, condition], 1)
        expected = getattr(self.network.config, "in_channels", inputs.shape[1])
        if inputs.shape[1] != expected:
            raise ConfigError(
                f"the network in model.weights takes {expected} channels, and is given {x.shape[1]} of fields and "
                f"{inputs.shape[1] - x.shape[1]} of conditions; put model.shape and condition right"
            )
        output: Tensor = self.network(inputs, time, return_dict=False)[0]
        return output[:, : x.shape[1]] if output.shape[1] == 2 * x.shape[1] else output


def load_folder(path: Path) -> nn.Module:
    """Return the network of a folder, made by diffusers. Raises DataError, or ConfigError where diffusers is not installed."""
    folder = network_folder(path)
    name = str(read_json(folder / CONFIG).get("_class_name"))
    if name not in NETWORKS:
        raise DataError(
            f"model.weights: {folder} is a {name}, which takes more than fields and times (of diffusers, "
            f"{' and '.join(NETWORKS)} are called as they are); {HINT}"
        )
    if not (folder / WEIGHTS).is_file():
        raise DataError(
            f"model.weights: {folder} has no {WEIGHTS}, and pickles are not read; save it anew with save_pretrained(folder, "
            f"safe_serialization=True)"
        )
    try:
        import diffusers
    except ImportError as error:
        raise ConfigError(
            f"model.weights: {path} is a folder of diffusers, which is not installed ({error}); pip install diffusers"
        ) from None
    try:
        made = getattr(diffusers, name).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"model.weights: {folder} cannot be read by diffusers ({type(error).__name__}: {reason})") from None
    return DiffusersNetwork(made)
