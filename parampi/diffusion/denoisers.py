"""Denoisers: what a network predicts, turned into `D(x, sigma) -> E[x0 | x = x0 + sigma n]`.

A wrapper holds the user's network and is itself a torch.nn.Module, so `.to(...)` and `.eval()` reach the network. The network
runs in its own dtype; D is put together in x's dtype. Where sigma is 0, D is x itself whatever the network says.

Variance-preserving (VP) networks see `y = alpha x = alpha x0 + alpha sigma n` with `alpha = 1/sqrt(1 + sigma^2)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from parampi.diffusion import clocks
from parampi.diffusion.channel_scales import SigmaData, along, as_scale
from parampi.diffusion.sigmas import VPTimes
from parampi.errors import ConfigError

Network = Callable[..., Tensor]
"""network(x, time), or network(x, time, condition)."""


class Denoiser(Protocol):
    """Anything that maps noisy fields x (B, *shape) at noise levels sigma (B,) to the expected clean fields (B, *shape)."""

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        """Return E[x0 | x0 + sigma n = x], in x's dtype and on its device."""


class ConditionalDenoiser(Protocol):
    """A denoiser that also reads a condition (B, ...) of each field."""

    def __call__(self, x: Tensor, sigma: Tensor, condition: Tensor, /) -> Tensor:
        """Return E[x0 | x0 + sigma n = x, condition], in x's dtype and on its device."""


class _Wrapper(nn.Module, ABC):
    """A network, the dtype it runs in, and two rules: what it is called with, and how its output becomes a denoised field."""

    any_dtype = True
    """Takes x of any dtype, whatever the network's own."""

    def __init__(self, network: Network, network_dtype: torch.dtype | None, sigma_data: SigmaData):
        super().__init__()
        if not callable(network):
            raise ConfigError(f"a network must be callable as network(x, time); got {type(network).__name__}")
        self.network: Any = network
        self.network_dtype = network_dtype
        self.sigma_data = as_scale(sigma_data)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return D(x, sigma), or D(x, sigma, condition): x (B, *shape), sigma (B,), condition (B, ...)."""
        if sigma.shape != x.shape[:1]:
            raise ConfigError(f"sigma needs one noise level for each of the {len(x)} fields; got shape {tuple(sigma.shape)}")
        level = sigma.to(x).reshape(-1, *[1] * (x.ndim - 1))
        clean = level == 0
        # The network is called at an ordinary noise level there, since log(0) and the like would make NaN out of 0 * inf.
        level = torch.where(clean, torch.ones_like(level), level)
        inputs, time = self._inputs(x, level)
        output = self.network(*self._arguments(inputs, time, condition))
        if not isinstance(output, Tensor) or output.shape != x.shape:
            returned = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ConfigError(
                f"the network must return a tensor of its input's shape {tuple(x.shape)}, but returned {returned}; "
                "wrap it in a function that selects the prediction"
            )
        if not output.is_floating_point():
            raise ConfigError(f"the network must return real numbers, but returned {output.dtype}; give it a real output")
        return torch.where(clean, x, self._denoised(x, level, output.to(x.dtype)))

    @abstractmethod
    def _inputs(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Return the network's input (B, *shape) and its time, for positive noise levels (B, 1, ..., 1) in x's dtype."""

    @abstractmethod
    def _denoised(self, x: Tensor, level: Tensor, output: Tensor) -> Tensor:
        """Return D out of the network's output, in x's dtype."""

    def _arguments(self, inputs: Tensor, time: Tensor, condition: Tensor | None) -> tuple[Tensor, ...]:
        """Return the network's arguments in its own dtype."""
        dtype = self.network_dtype or _floating_dtype(self.network) or inputs.dtype
        # Half precision cannot tell the training times 998 and 999 apart: the time stays in single precision there.
        times = time.flatten().to(torch.promote_types(dtype, torch.float32)).clone()
        if condition is None:
            return inputs.to(dtype), times
        return inputs.to(dtype), times, condition.to(dtype) if condition.is_floating_point() else condition


class EDMDenoiser(_Wrapper):
    """EDM preconditioning: `D = c_skip x + c_out F(c_in x, time)`, where the time is log(sigma)/4 if it is not another.

    `c_skip = s^2/(sigma^2 + s^2)`, `c_out = sigma s/sqrt(sigma^2 + s^2)`, `c_in = 1/sqrt(sigma^2 + s^2)` with s = `sigma_data`.
    Karras, Aittala, Aila and Laine 2022 (arXiv 2206.00364), table 1. `sigma_data` must be the value used in training; it
    may be one for each channel.
    """

    def __init__(
        self,
        network: Network,
        sigma_data: SigmaData = 0.5,
        network_dtype: torch.dtype | None = None,
        time: Callable[[Tensor], Tensor] | None = None,
    ):
        """network(inputs, c_noise): (B, *shape) and (B,) to (B, *shape). time: c_noise of a noise level, (B,) to (B,)."""
        super().__init__(network, network_dtype, sigma_data)
        self.time = time

    def _inputs(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        scale = (level**2 + along(self.sigma_data, x) ** 2).sqrt()
        return x / scale, level.log() / 4 if self.time is None else self.time(level.flatten())

    def _denoised(self, x: Tensor, level: Tensor, output: Tensor) -> Tensor:
        spread = along(self.sigma_data, x)
        scale = (level**2 + spread**2).sqrt()
        return (spread / scale) ** 2 * x + level * spread / scale * output


class _TimeConditioned(_Wrapper):
    """Base of the denoisers whose networks take a training time: those of VP and VE diffusion."""

    def __init__(
        self,
        network: Network,
        time: Callable[[Tensor], Tensor] | None = None,
        *,
        scaled_input: bool = True,
        network_dtype: torch.dtype | None = None,
        sigma_data: SigmaData = 1.0,
    ):
        """network(inputs, t): (B, *shape) and (B,) to (B, *shape).

        time: the training time of a noise level, (B,) to (B,), by default that of the linear-beta VP schedule with 1000 times.
        scaled_input: whether the network sees alpha x (VP) or x itself (VE).
        """
        super().__init__(network, network_dtype, sigma_data)
        self.time = VPTimes() if time is None else time
        self.scaled_input = scaled_input

    def _inputs(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        # the network may write into what it is given
        return x * _alpha(level) if self.scaled_input else x.clone(), self.time(level.flatten())


class EpsilonDenoiser(_TimeConditioned):
    """Noise prediction, `eps = E[n | x]`: `D = x - sigma eps` (Ho, Jain and Abbeel 2020, arXiv 2006.11239)."""

    def _denoised(self, x: Tensor, level: Tensor, output: Tensor) -> Tensor:
        return x - level * output


class VelocityDenoiser(_TimeConditioned):
    """Velocity prediction, `v = E[alpha n - alpha sigma x0 | x]`: `D = alpha^2 x - alpha sigma v`.

    Salimans and Ho 2022 (arXiv 2202.00512), appendix D, with their noise level sigma equal to alpha times ours.
    """

    def _denoised(self, x: Tensor, level: Tensor, output: Tensor) -> Tensor:
        alpha = _alpha(level)
        return alpha**2 * x - alpha * level * output


class DataDenoiser(_TimeConditioned):
    """Prediction of the clean field itself: `D` is the network's output."""

    def _denoised(self, x: Tensor, level: Tensor, output: Tensor) -> Tensor:
        return output


class ScoreDenoiser(_TimeConditioned):
    """Score prediction, `s = grad log p` of the density of the network's own input (Song et al. 2021, arXiv 2011.13456).

    By Tweedie's formula `D = (y + (alpha sigma)^2 s)/alpha = x + alpha sigma^2 s` for a VP network that sees y = alpha x, and
    `D = x + sigma^2 s` for a VE network that sees x (`scaled_input=False`).
    """

    def _denoised(self, x: Tensor, level: Tensor, output: Tensor) -> Tensor:
        weight = level**2 * _alpha(level) if self.scaled_input else level**2
        return x + weight * output


class PreconditionedDenoiser(_TimeConditioned):
    """A network that is a denoiser itself, whatever is inside of it: `D(x, sigma)` is its output.

    It is called with x as it is, and with sigma if it has no other `time`.
    """

    def __init__(
        self,
        network: Network,
        time: Callable[[Tensor], Tensor] | None = None,
        *,
        network_dtype: torch.dtype | None = None,
        sigma_data: SigmaData = 1.0,
    ):
        """network(x, sigma): (B, *shape) and (B,) to (B, *shape)."""
        own = clocks.sigma() if time is None else time
        super().__init__(network, own, scaled_input=False, network_dtype=network_dtype, sigma_data=sigma_data)

    def _denoised(self, x: Tensor, level: Tensor, output: Tensor) -> Tensor:
        return output


class FlowDenoiser(_TimeConditioned):
    """Velocity along the straight line `x_t = (1 - t) x0 + t n`, `v = E[n - x0 | x_t]` at `t = sigma / (1 + sigma)`:
    `D = x_t - t v`, with `x_t = x / (1 + sigma)`.

    Lipman et al. 2023 (arXiv 2210.02747), Liu, Gong and Liu 2023 (arXiv 2209.03003). `data_at`: the time at which the flow is
    data; at 1 the network predicts `x0 - n` along `x_t = t x0 + (1 - t) n`.
    """

    def __init__(
        self,
        network: Network,
        time: Callable[[Tensor], Tensor] | None = None,
        *,
        data_at: int = 0,
        network_dtype: torch.dtype | None = None,
        sigma_data: SigmaData = 1.0,
    ):
        """network(x_t, t): (B, *shape) and (B,) to (B, *shape). time: what the network is told of a noise level, t if None."""
        if data_at not in (0, 1):
            raise ConfigError(f"data_at = {data_at} must be 0 or 1: the time at which the flow is data")
        own = clocks.flow(data_at=data_at) if time is None else time
        super().__init__(network, own, network_dtype=network_dtype, sigma_data=sigma_data)
        self.sign = 1.0 if data_at == 0 else -1.0

    def _inputs(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        return x / (1 + level), self.time(level.flatten())

    def _denoised(self, x: Tensor, level: Tensor, output: Tensor) -> Tensor:
        return (x - self.sign * level * output) / (1 + level)


def placement(denoiser: object) -> tuple[torch.device, torch.dtype | None]:
    """Return the device and floating dtype of its parameters or buffers, else of its own attributes.

    Wrapped networks are looked into. What says nothing about itself is (cpu, None).
    """
    tensors = _tensors(denoiser)
    if tensors:
        return tensors[0].device, _floating_dtype(denoiser)
    if isinstance(denoiser, _Wrapper):
        return placement(denoiser.network)
    device, dtype = getattr(denoiser, "device", None), getattr(denoiser, "dtype", None)
    place = torch.device(device) if isinstance(device, torch.device | str | int) else torch.device("cpu")
    return place, dtype if isinstance(dtype, torch.dtype) else None


def scale_of(denoiser: object, sigma_data: SigmaData | None) -> float:
    """Return the standard deviation of the data: the one given, the denoiser's own, or 1; of several channels as one number
    that knows them. Raises ConfigError unless it is positive and finite."""
    own = getattr(denoiser, "sigma_data", None) if sigma_data is None else sigma_data
    return 1.0 if own is None else as_scale(own)


def _alpha(level: Tensor) -> Tensor:
    return 1 / (1 + level**2).sqrt()


def _tensors(module: object) -> list[Tensor]:
    return list(chain(module.parameters(), module.buffers())) if isinstance(module, nn.Module) else []


def _floating_dtype(module: object) -> torch.dtype | None:
    """Return the dtype of the first floating parameter or buffer, if there is one."""
    return next((tensor.dtype for tensor in _tensors(module) if tensor.is_floating_point()), None)
