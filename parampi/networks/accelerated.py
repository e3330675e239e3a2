"""A network that runs faster: compiled, in half precision, in another layout, as graphs of a GPU."""

from contextlib import nullcontext
from itertools import count
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from parampi.errors import ConfigError
from parampi.networks.acceleration import WITH_GRAPHS, Acceleration, CompileMode, Half
from parampi.networks.captured import Captured

COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")
"""Modules whose exceptions are torch.compile's own."""
NUMBERS = count(1)
"""Of networks that are compiled in this process."""


def accelerated(
    network: nn.Module,
    *,
    compile: bool | CompileMode = False,
    autocast: Half | None = None,
    channels_last: bool = False,
    cuda_graphs: bool = False,
    bitwise: bool = False,
) -> nn.Module:
    """Make a network faster, on the device it is on; the result goes into a wrapper of `parampi.denoisers` in its place.

    network        network(x, time) or network(x, time, condition): (B, *shape), (B,), (B, ...) to (B, *shape)
    compile        `torch.compile`, or a mode of it. A program is made for one field and one for any number of fields (on a
                   CPU two, as convolutions of 16 and more are other ones there)
    autocast       matrix products and convolutions in "bfloat16" or "float16"; what comes back is in x's dtype
    channels_last  fields (channels, y, x) and weights are laid out with the channels last; the network's own are laid out anew
    cuda_graphs    on a GPU: the kernels of a call are recorded once for each number of fields, 8 at most, and replayed; what
                   Python does beside them is not repeated. Networks that wait for the GPU cannot be recorded, and run as
                   before
    bitwise        compiled kernels are chosen without timing them, as `mode="bitwise"` needs

    Where x is differentiated, by `torch.func` or with `requires_grad`, the network itself is called, under the same autocast.
    The error of half precision is the network's: no stop rule sees it, and the serial sampler with the same settings is what
    a parallel one comes near to. `parampi bench network --variants all` measures both.

    Raises ConfigError for what the network or its device cannot have, and in the first call where torch.compile fails.
    """
    how = Acceleration(compile, autocast, channels_last, cuda_graphs)
    device = next((one.device for one in [*network.parameters(), *network.buffers()]), torch.device("cpu"))
    how.require(network, device, bitwise)
    return Accelerated(network, how, bitwise) if how != Acceleration() else network


class Accelerated(nn.Module):
    """A network, and how it is called: by itself where it is differentiated, else in the fast way.

    arithmetic  the half precision it computes in, None for that of its weights; the probe of a denoiser allows for it
    """

    def __init__(self, network: nn.Module, how: Acceleration, bitwise: bool):
        super().__init__()
        self.how = how
        self.arithmetic = how.half
        self.plain = Region(network, how.half, how.channels_last)
        self.fast: nn.Module = self.plain
        if how.mode:
            self.fast = Compiled(self.plain, how.mode, bitwise)
        if how.cuda_graphs:
            self.fast = Captured(self.fast)

    def forward(self, x: Tensor, time: Tensor, *condition: Tensor) -> Tensor:
        inputs = (x, time, *condition)
        result: Tensor = self.plain(*inputs) if differentiated(inputs) else self.fast(*inputs)
        return result


def differentiated(inputs: tuple[Tensor, ...]) -> bool:
    """Return whether a derivative by one of the inputs is being made."""
    if torch.is_grad_enabled() and any(one.requires_grad for one in inputs):
        return True
    return bool(torch._C._functorch.peek_interpreter_stack() is not None)


class Region(nn.Module):
    """A network under autocast and in its layout; what comes back is in x's dtype, and laid out as usual."""

    def __init__(self, network: nn.Module, precision: torch.dtype | None, channels_last: bool):
        super().__init__()
        self.network, self.precision, self.channels_last = network, precision, channels_last
        if channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, time: Tensor, *condition: Tensor) -> Tensor:
        if self.channels_last and x.ndim != 4:
            raise ConfigError(
                f"channels_last is a layout of fields (channels, y, x), and the network is called with fields of shape "
                f"{tuple(x.shape[1:])}; leave it out"
            )
        inputs = [one.contiguous(memory_format=self.layout(one)) for one in (x, *condition)]
        with nullcontext() if self.precision is None else torch.autocast(x.device.type, self.precision):
            output = self.network(inputs[0], time, *inputs[1:])
        # what else a network may return is refused by who called it
        return output.to(x.dtype).contiguous() if isinstance(output, Tensor) and output.is_floating_point() else output

    def layout(self, one: Tensor) -> torch.memory_format:
        return torch.channels_last if self.channels_last and one.ndim == 4 else torch.contiguous_format


class Compiled(nn.Module):
    """A network as torch.compile makes it: a program for one field, and one for any other number of them."""

    def __init__(self, network: nn.Module, mode: CompileMode, bitwise: bool):
        import torch._dynamo
        import torch._inductor

        super().__init__()
        self.network, self.copied = network, mode in WITH_GRAPHS
        options: dict[str, Any] = dict(torch._inductor.list_mode_options(mode))
        if bitwise and hasattr(
            torch._inductor.config, "deterministic"
        ):  # older ones only time kernels where a mode asks for it
            options["deterministic"] = True
        self.program = torch.compile(of_its_own(network.forward), options=options)

    def forward(self, *inputs: Tensor) -> Tensor:
        if len(inputs[0]) > 1:
            for one in inputs:
                torch._dynamo.maybe_mark_dynamic(one, 0)
        try:
            output = self.program(*inputs)
        except Exception as error:
            if not type(error).__module__.startswith(COMPILERS):
                raise
            raise ConfigError(failure(error)) from error
        # graphs of torch.compile return the same memory in every call
        return output.clone() if self.copied and isinstance(output, Tensor) else output


def of_its_own(method: Any) -> MethodType:
    """Return a method with code of its own: torch.compile counts programs by code, and makes 8 of one."""
    function = method.__func__
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(NUMBERS)}")
    own = FunctionType(code, function.__globals__, argdefs=function.__defaults__, closure=function.__closure__)
    return MethodType(own, method.__self__)


def failure(error: Exception) -> str:
    """Return what torch.compile failed with, in a line."""
    reason = next((line for line in str(error).splitlines() if line.strip()), "")[:300]
    return (
        f"compile: torch.compile fails with {type(error).__name__}: {reason.strip()}; it needs a C++ compiler (g++, or the "
        f"one that CXX names), on a GPU triton too; install it, or leave compile out"
    )
