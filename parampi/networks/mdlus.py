"""Modules of physicsnemo (.mdlus): an archive of their class's name and arguments (args.json) and of their weights
(model.pt)."""

import inspect
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parampi.errors import ConfigError, DataError
from parampi.networks.files import members_of
from parampi.networks.stated import Stated

PACKAGES = ("physicsnemo", "modulus")
"""Packages whose classes are made; modulus is the former name of physicsnemo."""
EDM = ("EDMPrecond", "EDMPrecondSR", "EDMPrecondSuperResolution", "EDMPreconditioner")
LEGACY = ("VPPrecond", "VEPrecond", "iDDPMPrecond")
"""Classes that are denoisers D(x, sigma)."""
NESTED = "__physicsnemo.Module__"
REGRESSIONS = ("UNet", "CorrDiffRegressionUNet")
HINT = "write a class that calls it as network(x, time[, condition]), and name it as model.network = model.py:Class"


def read_member(path: Path, name: str) -> bytes:
    """Return a file of an archive. Raises DataError."""
    try:
        if zipfile.is_zipfile(path) and not tarfile.is_tarfile(path):
            with zipfile.ZipFile(path) as archive:
                return archive.read(name)
        with tarfile.open(path) as tar:
            member = next(one for one in members_of(path) if one.removeprefix("./") == name)
            file = tar.extractfile(member)
            if file is None:
                raise KeyError(name)
            return file.read()
    except (OSError, KeyError, StopIteration, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"model.weights: {path} has no {name} that can be read ({error}); save the module anew") from None


def arguments_of(path: Path) -> dict[str, Any]:
    """Return the class and arguments of a module. Raises DataError."""
    try:
        content = json.loads(read_member(path, "args.json"))
        content["__name__"], content["__module__"], content["__args__"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"model.weights: args.json of {path} is damaged ({error!r}); save the module anew") from None
    return dict(content)


def stated_of(path: Path) -> Stated:
    """Return what a module's file says of it."""
    content = arguments_of(path)
    name, arguments = str(content["__name__"]), content["__args__"]
    if name not in (*EDM, *LEGACY):
        return Stated()
    scale = arguments.get("sigma_data", 0.5) if name in EDM else None
    size, fields = arguments.get("img_resolution"), arguments.get("img_out_channels") or arguments.get("img_channels")
    sizes = [size, size] if isinstance(size, int) else size
    whole = isinstance(fields, int) and isinstance(sizes, list) and all(isinstance(one, int) for one in sizes)
    return Stated(
        predicts="denoiser",
        clock={"name": "sigma"},
        sigma_data=float(scale) if isinstance(scale, int | float) else None,
        shape=(fields, *sizes) if whole else None,
        condition=condition_of(name, arguments, fields),
    )


def condition_of(name: str, arguments: dict[str, Any], fields: Any) -> int | None:
    """Return how many channels a module's condition has, None where its arguments do not say."""
    inputs = arguments.get("img_in_channels")
    if name in ("EDMPrecondSR", "EDMPrecondSuperResolution"):
        return inputs if isinstance(inputs, int) else None
    if not isinstance(fields, int):
        return None
    return inputs - fields if isinstance(inputs, int) else 0


def check_classes(path: Path, content: dict[str, Any]) -> None:
    """Raise DataError where a file names a class of another package: importing it may run anything."""
    named = [content, *(value for key, value in content.items() if key.startswith(NESTED))]
    for one in named:
        module = str(one.get("__module__", "")) if isinstance(one, dict) else ""
        if module.partition(".")[0] not in PACKAGES:
            raise DataError(
                f"model.weights: {path} names the class {module}.{one.get('__name__') if isinstance(one, dict) else one}, and "
                f"only classes of {PACKAGES[0]} are made of what a file says; {HINT}"
            )


def check_weights(path: Path) -> None:
    """Raise DataError where the weights hold more than tensors and plain data."""
    try:
        torch.load(io.BytesIO(read_member(path, "model.pt")), map_location="cpu", weights_only=True)
    except DataError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"model.weights: model.pt in {path} holds objects that would run code when they are read, and is not read "
            f"({reason}); save the module anew with its save method"
        ) from None


class PhysicsnemoNetwork(nn.Module):
    """A module of physicsnemo, called as network(x, sigma) or network(x, sigma, condition)."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self.takes = list(inspect.signature(module.forward).parameters)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        if "img_lr" in self.takes:
            output: Tensor = self.module(x, condition, sigma)
        elif condition is None:
            output = self.module(x, sigma)
        elif "condition" in self.takes:
            output = self.module(x, sigma, condition=condition)
        else:
            raise ConfigError(
                f"the network in model.weights, a {type(self.module).__name__}, takes no condition; leave condition out"
            )
        return output


def load_module(path: Path) -> nn.Module:
    """Return the network of a file, made by physicsnemo. Raises DataError, or ConfigError where physicsnemo is not
    installed."""
    content = arguments_of(path)
    check_classes(path, content)
    if content["__name__"] in REGRESSIONS:
        raise DataError(
            f"model.weights: {path} is a {content['__name__']}, which predicts a mean and denoises nothing; give the diffusion "
            f"module of the same model"
        )
    check_weights(path)
    try:
        from physicsnemo.core import Module
    except ImportError as error:
        raise ConfigError(
            f"model.weights: {path} is a module of physicsnemo, which is not installed ({error}); pip install "
            f"nvidia-physicsnemo"
        ) from None
    try:
        module = Module.from_checkpoint(str(path))
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"model.weights: {path} cannot be read by physicsnemo ({type(error).__name__}: {reason})") from None
    return PhysicsnemoNetwork(module)
