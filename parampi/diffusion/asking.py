"""Calls of a network as the engine makes them, to see what it is."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.denoisers import placement
from parampi.errors import ConfigError

SWITCH = "probe=False, or model.probe: false, samples without this check"


class Asking:
    """Calls of a network as the engine makes them, counted, and looked at from both sides."""

    def __init__(self, network: BatchedDenoiser, condition: Tensor | None):
        self.network = BatchedDenoiser(network.denoiser, network.batch, network.padded)
        self.witness = Witness(network.denoiser)
        self.network.denoiser = self.witness
        self.condition, self.evaluations = condition, 0
        self.dtype = arithmetic(network.denoiser) or self.network.dtype or torch.float32

    def __call__(self, x: Tensor, sigmas: Sequence[float]) -> Tensor:
        """Return D of fields (B, *shape) at B noise levels. Raises ConfigError where what comes back is none."""
        levels = torch.tensor(sigmas, dtype=x.dtype, device=x.device)
        columns = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        batch = None if self.condition is None else BatchConditions(self.condition, columns)
        self.evaluations += len(x)
        finite = bool(x.isfinite().all())
        try:
            denoised = self.network(x, levels, batch).clone()  # a compiled network may return the same memory again
        except ConfigError:
            raise
        except Exception as error:
            error.add_note(self.called)
            raise
        if finite and self.witness.written:
            raise ConfigError(
                f"the denoiser writes into {self.witness.written}, which others read; let it write into a copy "
                f"({self.witness.written}.clone()); {self.called}"
            )
        if finite and not bool(denoised.isfinite().all()):
            raise ConfigError(f"the denoiser returned NaN or Inf for finite fields; {self.called}; {SWITCH}")
        return denoised

    @property
    def called(self) -> str:
        return f"it was called with {self.witness.arguments}"


class Witness:
    """A denoiser, and what it was called with the last time: `arguments` in words, and `written`, the one that changed."""

    def __init__(self, denoiser: Callable[..., Tensor]):
        self.denoiser, self.arguments, self.written = denoiser, "", ""

    def __call__(self, *arguments: Tensor) -> Tensor:
        names = ("x", "sigma", "condition")[: len(arguments)]
        x, sigma = arguments[:2]
        levels = ", ".join(f"{level:.4g}" for level in sigma.tolist())
        more = "".join(f", condition {described(one)}" for one in arguments[2:])
        self.arguments = f"x {described(x)}, sigma [{levels}] {name_of(sigma.dtype)}{more}"
        before = [argument.clone() for argument in arguments]
        result = self.denoiser(*arguments)
        for name, argument, copy in zip(names, arguments, before, strict=True):
            if not bool(((argument == copy) | ((argument != argument) & (copy != copy))).all()):
                self.written = name
        return result


def arithmetic(denoiser: object) -> torch.dtype | None:
    """Return the half precision in which a network computes, by its autocast or its weights; None where it is no such one."""
    if isinstance(own := getattr(denoiser, "arithmetic", None), torch.dtype):
        return own
    inner = getattr(denoiser, "network", None) or getattr(denoiser, "denoiser", None)
    if inner is not None:
        return arithmetic(inner)
    own = placement(denoiser)[1]
    return own if own in (torch.bfloat16, torch.float16) else None


def described(x: Tensor) -> str:
    return f"{tuple(x.shape)} {name_of(x.dtype)}"


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
