"""What makes a network faster and does not ask which network it is: the settings, and where they cannot be had."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from parampi.errors import ConfigError
from parampi.networks.exported import ExportedNetwork
from parampi.networks.scripted import ScriptedNetwork

Half = Literal["bfloat16", "float16"]
CompileMode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]
TIMED = ("max-autotune", "max-autotune-no-cudagraphs")
"""Modes that choose kernels by timing them: other ones on the next rank."""
WITH_GRAPHS = ("reduce-overhead", "max-autotune")
"""Modes that make CUDA graphs themselves."""


@dataclass(frozen=True)
class Acceleration:
    """How a network is run: see `accelerated`."""

    compile: bool | CompileMode = False
    autocast: Half | None = None
    channels_last: bool = False
    cuda_graphs: bool = False

    @property
    def mode(self) -> CompileMode | None:
        """The mode of torch.compile, None where the network is not compiled."""
        return ("default" if self.compile else None) if isinstance(self.compile, bool) else self.compile

    @property
    def half(self) -> torch.dtype | None:
        """The type that matrix products and convolutions are computed in, None for that of the weights."""
        return getattr(torch, self.autocast) if self.autocast else None

    def words(self) -> str:
        """Return the settings as a list in words, "" for none."""
        compiled = "compile" if self.mode == "default" else f"compile {self.mode}"
        parts = [compiled if self.mode else "", f"autocast {self.autocast}" if self.autocast else ""]
        parts += ["channels_last" if self.channels_last else "", "cuda_graphs" if self.cuda_graphs else ""]
        return ", ".join(part for part in parts if part)

    def require(self, network: nn.Module, device: torch.device, bitwise: bool) -> None:
        """Raise ConfigError for a setting that is none, that the network or its device cannot have, or two that exclude each
        other."""
        if self.compile not in (True, False, *get_args(CompileMode)):
            raise ConfigError(f"compile = {self.compile!r}; give true, false or one of {', '.join(get_args(CompileMode))}")
        if bitwise and self.mode in TIMED:
            raise ConfigError(
                f"compile = {self.mode}: it chooses kernels by timing them, so that two ranks, or two runs, may differ in "
                f"their bits, which bitwise mode promises not to; take compile: true"
            )
        if self.cuda_graphs and self.mode in WITH_GRAPHS:
            raise ConfigError(f"compile = {self.mode} makes CUDA graphs itself; leave cuda_graphs out, or take compile: true")
        if self.cuda_graphs and device.type != "cuda":
            raise ConfigError(
                f"cuda_graphs: graphs of calls are of CUDA GPUs, and the network is on {device}; leave it out, or run on a GPU"
            )
        if self.autocast:
            require_half(self.autocast, network, device)
        require_code(self, network)


def require_half(name: str, network: nn.Module, device: torch.device) -> None:
    """Raise ConfigError where half precision cannot be had, or changes nothing."""
    if name not in get_args(Half):
        raise ConfigError(f"autocast = {name!r}; give one of {', '.join(get_args(Half))}")
    types = {one.dtype for one in network.parameters()} | {one.dtype for one in network.buffers()}
    if torch.float32 not in types:
        names = ", ".join(sorted(str(one).removeprefix("torch.") for one in types)) or "there are none"
        raise ConfigError(
            f"autocast = {name} is of networks in float32, and this one has no such weights ({names}); leave it out"
        )
    if not has_half(name, device):
        other = "; take bfloat16" if name == "float16" else "; take float16"
        raise ConfigError(f"autocast = {name}: {device} computes in {name} only by way of other types, slowly{other}")


def has_half(name: str, device: torch.device) -> bool:
    """Return whether a device computes in a half precision."""
    if not torch.amp.is_autocast_available(device.type):
        return False
    if device.type == "cpu":
        # without the instructions a convolution in float16 takes 30 times as long as in float32, bfloat16 is emulated well
        return name == "bfloat16" or bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    if device.type == "cuda" and name == "bfloat16":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return True


def require_code(how: Acceleration, network: nn.Module) -> None:
    """Raise ConfigError for programs out of files where only code of a class will do, and for weights of other layouts."""
    if kind := program_kind(network):
        if how.mode:
            raise ConfigError(
                f"compile: the network is a program of {kind}, of fixed operators; torch.compile makes code of a class, and "
                f"names in a file would come into that code; leave compile out, or give the class as model.network"
            )
        if how.channels_last:
            raise ConfigError(
                f"channels_last: the network is a program of {kind}, whose operators expect the layout that they were "
                f"exported with; leave channels_last out, or export it in this layout"
            )
    if how.channels_last and any(one.ndim == 5 for one in network.parameters()):
        raise ConfigError(
            "channels_last is a layout of fields (channels, y, x), and the network has weights of 5 axes, for fields of "
            "three; leave it out"
        )


def program_kind(network: nn.Module) -> str:
    """Return what a network was exported by, "" where it is code of a class."""
    if any(isinstance(one, ExportedNetwork) for one in network.modules()):
        return "torch.export"
    scripted = any(isinstance(one, ScriptedNetwork | torch.jit.ScriptModule) for one in network.modules())
    return "TorchScript" if scripted else ""
