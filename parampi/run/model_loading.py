"""From the names in a configuration to a denoiser: the user's network class, its weights, what it predicts, where it runs."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.denoisers import (
    DataDenoiser,
    Denoiser,
    EDMDenoiser,
    EpsilonDenoiser,
    ScoreDenoiser,
    VelocityDenoiser,
)
from parampi.errors import ConfigError, DataError
from parampi.run.plugins import imported
from parampi.run.user_files import import_file, import_module

WRAPPERS: dict[str, Any] = {
    "edm": EDMDenoiser,
    "epsilon": EpsilonDenoiser,
    "velocity": VelocityDenoiser,
    "data": DataDenoiser,
    "score": ScoreDenoiser,
}


def find_class(reference: str) -> Any:
    """What "path/to/file.py:Name" or "package.module:Name" refers to."""
    place, _, name = reference.rpartition(":")
    if not place:
        raise ConfigError(f"model.network = {reference!r} must be 'file.py:Class' or 'package.module:Class'")
    module = imported.get(place) or (
        import_file(Path(place), "model.network") if place.endswith(".py") else import_module(place, "model.network")
    )
    if not hasattr(module, name):
        raise ConfigError(f"model.network = {reference!r}: {place} defines no {name!r}")
    return getattr(module, name)


def build_network(reference: str, arguments: dict[str, Any]) -> nn.Module:
    cls = find_class(reference)
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"model.arguments = {arguments}: {reference} says {error}; it takes {inspect.signature(cls)}"
        ) from None
    try:
        network = cls(**arguments)
    except Exception as error:
        raise ConfigError(f"model.arguments = {arguments}: {reference} failed with {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model.network = {reference!r} made a {type(network).__name__}; it must be a torch.nn.Module")
    return network.eval().requires_grad_(False)


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network from a safetensors file, a format that holds numbers only: nothing in the file is executed."""
    import safetensors.torch

    if not path.is_file():
        raise DataError(f"model.weights: there is no file {path}")
    try:
        state = safetensors.torch.load_file(path)
    except Exception as error:
        raise DataError(
            f"model.weights: {path} is no safetensors file ({error}); write one with safetensors.torch.save_file"
        ) from None
    problems = mismatches(network.state_dict(), state)
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(
            f"model.weights: {path} does not fit {type(network).__name__}: {'; '.join(problems[:3])}{more} "
            f"(check model.network, model.arguments and model.weights)"
        )
    network.load_state_dict(state)


def mismatches(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> list[str]:
    missing = [f"{name} is missing" for name in wanted if name not in found]
    foreign = [f"{name} is unknown to the network" for name in found if name not in wanted]
    shapes = [
        f"{name} is {tuple(found[name].shape)}, the network's is {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    return shapes + missing + foreign


def choose_device(name: str, local_rank: int) -> torch.device:
    """ "auto": the GPU of this rank's number on its node, else the CPU; otherwise as torch understands it."""
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"parallel.device = {name!r} cannot be used here ({reason}); try 'auto' or 'cpu'") from None
    return device


def build_denoiser(network: nn.Module, predicts: str, sigma_data: float, device: torch.device) -> Denoiser:
    denoiser: Denoiser = WRAPPERS[predicts](network, sigma_data=sigma_data).to(device)
    return denoiser


def probe(
    denoiser: Denoiser, shape: Sequence[int], sigma: float, dtype: torch.dtype, device: torch.device,
    condition: Tensor | None = None,
) -> None:  # fmt: skip
    """Ask for one field, so that a network that cannot take this shape is found out before any work. NaN is not judged here."""
    x = torch.zeros((1, *shape), dtype=dtype, device=device)
    try:
        given = (
            None
            if condition is None
            else BatchConditions(condition.to(device), torch.zeros(1, dtype=torch.int64, device=device))
        )
        BatchedDenoiser(denoiser)(x, torch.full((1,), sigma, dtype=dtype, device=device), given)
    except ConfigError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"the network fails on a field of model.shape = {list(shape)}{with_condition(condition)} with "
            f"{type(error).__name__}: {reason}; check model.shape and model.arguments"
        ) from error


def with_condition(condition: Tensor | None) -> str:
    return "" if condition is None else f" and a condition of shape {list(condition.shape[1:])}"
