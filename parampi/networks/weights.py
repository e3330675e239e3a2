"""Weights of a class: tensors by their names, out of safetensors files and checkpoints of torch.save."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parampi.errors import DataError
from parampi.networks.files import FileKind, kind_of

SHOWN = 8
"""Keys of a checkpoint that a message shows."""


def read_state(path: Path, key: str | None = None, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of a weights file by their names, `prefix` taken off; `key` is where they are in a checkpoint, a path
    with dots. Nothing in the file is run. Raises DataError."""
    kind = kind_of(path)
    if kind.whole:
        raise DataError(
            f"model.weights: {path} is a {kind.value}, which holds a network and not only weights; leave model.network out"
        )
    if kind is FileKind.SAFETENSORS and key:
        raise DataError(f"model.key = {key}: {path} is a safetensors file, which holds tensors alone; leave model.key out")
    state = tensors(path) if kind is FileKind.SAFETENSORS else entry(checkpoint(path), key, path)
    return without_prefix(state, prefix, path) if prefix else state


def tensors(path: Path) -> dict[str, Tensor]:
    import safetensors.torch

    try:
        state: dict[str, Tensor] = safetensors.torch.load_file(path)
    except Exception as error:
        raise DataError(
            f"model.weights: {path} is no safetensors file ({error}); write one with safetensors.torch.save_file"
        ) from None
    return state


def checkpoint(path: Path) -> Any:
    """Return what a checkpoint holds: tensors, numbers, texts, lists and mappings. Raises DataError where it holds more."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())
        if not isinstance(error, pickle.UnpicklingError) or "GLOBAL" not in reason:
            raise DataError(
                f"model.weights: {path} is no checkpoint that torch.load reads ({type(error).__name__}: {first_line(error)}); "
                f"write one with torch.save(network.state_dict(), file)"
            ) from None
        raise DataError(
            f"model.weights: {path} holds objects that would run code when they are read ({name_in(reason)}), and is not "
            f"read; where it was made, write the tensors alone: safetensors.torch.save_file(network.state_dict(), "
            f"'weights.safetensors')"
        ) from None


def name_in(reason: str) -> str:
    """Return what torch refuses to make, out of its message."""
    _, _, rest = reason.partition("GLOBAL ")
    return rest.split(" ")[0] or "a class of Python"


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def entry(content: Any, key: str | None, path: Path) -> dict[str, Tensor]:
    """Return the tensors at a key of a checkpoint. Raises DataError, with the keys that there are, where there are none."""
    place, value = "", content
    for name in key.split(".") if key else ():
        if not isinstance(value, Mapping) or name not in value:
            raise DataError(
                f"model.key = {key}: {path} has no {name}{f' in {place}' if place else ''}; it has {keys_of(value)}"
            )
        place, value = f"{place}.{name}".strip("."), value[name]
    if not isinstance(value, Mapping) or not value or not all(isinstance(one, Tensor) for one in value.values()):
        raise DataError(
            f"model.weights: {path} holds no mapping of names to tensors{f' at {place}' if place else ''}, but "
            f"{keys_of(value)}; say with model.key where they are, such as model.key=state_dict or ema.params"
        )
    return {str(name): tensor for name, tensor in value.items()}


def keys_of(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    names = [str(name) for name in value]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "") or "nothing"


def without_prefix(state: Mapping[str, Tensor], prefix: str, path: Path) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, under the rest of their names. Raises DataError for none."""
    inner = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not inner:
        raise DataError(
            f"model.strip_prefix = {prefix}: no tensor of {path} has a name that begins so; there are {keys_of(state)}"
        )
    return inner
