"""Networks out of files that hold more than weights, and what such files say of them."""

from pathlib import Path

import torch
from torch import nn

from parampi.errors import ConfigError
from parampi.networks.files import FileKind, kind_of
from parampi.networks.stated import Stated


def stated(path: Path) -> Stated:
    """Return what a file or folder says of its network; nothing in it is run. Raises DataError where it is damaged."""
    kind = kind_of(path)
    if kind is FileKind.DIFFUSERS:
        from parampi.networks import diffusers_folder

        return diffusers_folder.stated_of(path)
    if kind is FileKind.MDLUS:
        from parampi.networks import mdlus

        return mdlus.stated_of(path)
    return Stated()


def load(path: Path, device: torch.device) -> nn.Module:
    """Return the network of a file or folder. Raises DataError, or ConfigError where a class is needed beside it."""
    kind = kind_of(path)
    if kind is FileKind.DIFFUSERS:
        from parampi.networks.diffusers_folder import load_folder as load_kind

        network = load_kind(path)
    elif kind is FileKind.MDLUS:
        from parampi.networks.mdlus import load_module

        network = load_module(path)
    elif kind is FileKind.EXPORTED:
        from parampi.networks.exported import load_exported

        return load_exported(path, device).requires_grad_(False)
    elif kind is FileKind.SCRIPTED:
        from parampi.networks.scripted import load_scripted

        network = load_scripted(path, device)
    else:
        raise ConfigError(
            f"model.network is missing: {path} holds weights alone ({kind.value}); name the class of the network, such as "
            f"model.network = model.py:Network"
        )
    return network.eval().requires_grad_(False)
