"""Guidance: denoisers made of a denoiser and something that is known beside it, a condition or observations.

The result is a denoiser like any other, so it works with every sampler and every solver. What is known about the guided one,
its device, dtype and sigma_data, is known about the result.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from parampi.diffusion.denoisers import Denoiser, placement
from parampi.errors import ConfigError


class Guided(nn.Module):
    """Base of all guidance: it wraps a denoiser and inherits the denoiser's device and dtypes."""

    def __init__(self, denoiser: Denoiser):
        super().__init__()
        if not callable(denoiser):
            raise ConfigError(f"a denoiser must be callable as denoiser(x, sigma); got {type(denoiser).__name__}")
        self.denoiser: Any = denoiser
        self.any_dtype = takes_any_dtype(denoiser)
        self.sigma_data: float | None = getattr(denoiser, "sigma_data", None)

    @property
    def device(self) -> torch.device:
        """The guided denoiser's."""
        return placement(self.denoiser)[0]

    @property
    def dtype(self) -> torch.dtype | None:
        """The guided denoiser's."""
        return placement(self.denoiser)[1]


class Conditioned(nn.Module):
    """A network that takes a condition, `network(x, time, condition)`, with conditions filled in: `network(x, time)`.

    Of several conditions each belongs to an equal part of the batch, in order. A condition is a tensor of any shape, without
    batch axis; floating ones are given to the network in x's dtype. To be put into a wrapper,
    `EpsilonDenoiser(Conditioned(...))`."""

    def __init__(self, network: Callable[[Tensor, Tensor, Tensor], Tensor], *conditions: Tensor | float):
        super().__init__()
        if not callable(network) or not conditions:
            raise ConfigError(
                f"Conditioned needs a network that is callable as network(x, time, condition) and at least one condition; "
                f"got {type(network).__name__} and {len(conditions)} conditions"
            )
        self.network: Any = network
        self.parts = len(conditions)
        for k, condition in enumerate(conditions):
            self.register_buffer(f"condition{k}", torch.as_tensor(condition), persistent=False)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return the network's output for x (B, *shape) and time (B,); B must be a multiple of the number of conditions."""
        rows, rest = divmod(len(x), self.parts)
        if rest:
            raise ConfigError(
                f"a network with {self.parts} conditions was given {len(x)} fields; let ClassifierFree(denoiser, None, ...) "
                "ask it, once with every condition for each field"
            )
        conditions = torch.cat([self.condition(k, x).expand(rows, *self.condition(k, x).shape) for k in range(self.parts)])
        output: Tensor = self.network(x, time, conditions)
        return output

    def condition(self, k: int, x: Tensor) -> Tensor:
        condition = self.get_buffer(f"condition{k}")
        return condition.to(x.dtype) if condition.is_floating_point() else condition


class ClassifierFree(Guided):
    """Classifier-free guidance: `D = D_u + w (D_c - D_u)` (Ho and Salimans 2022, arXiv 2207.12598, their w is ours minus 1).

    conditional    D_c
    unconditional  D_u; None where `conditional` answers for both: it is given the fields twice in one batch, first those with
                   and then those without condition, as `EpsilonDenoiser(Conditioned(network, condition, no_condition))` expects
    weight         w: 1 is the conditional denoiser, 0 the unconditional one, more than 1 overdoes the condition
    interval       noise levels `low < sigma <= high` at which w applies; elsewhere D = D_c (Kynkaanniemi, Aittala, Karras,
                   Laine, Aila and Lehtinen 2024, arXiv 2404.07724)

    Costs two evaluations per field. With two denoisers the unconditional one is not asked for batches that lie outside the
    interval as a whole. Raises ConfigError for a weight that is not finite and for an empty interval.
    """

    def __init__(
        self,
        conditional: Denoiser,
        unconditional: Denoiser | None,
        weight: float,
        interval: tuple[float, float] = (0.0, math.inf),
    ):
        super().__init__(conditional)
        if unconditional is not None and not callable(unconditional):
            raise ConfigError(f"a denoiser must be callable as denoiser(x, sigma); got {type(unconditional).__name__}")
        if not math.isfinite(weight):
            raise ConfigError(f"weight = {weight} must be a finite number; 1 is the conditional denoiser itself")
        if not 0 <= interval[0] < interval[1]:
            raise ConfigError(f"interval = {interval}: expected 0 <= low < high, noise levels between which guidance applies")
        self.unconditional: Any = unconditional
        self.weight, self.interval = float(weight), interval
        self.any_dtype = self.any_dtype and (unconditional is None or takes_any_dtype(unconditional))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D(x, sigma): x (B, *shape), sigma (B,)."""
        inside = (sigma > self.interval[0]) & (sigma <= self.interval[1])
        conditional: Tensor
        if self.unconditional is None:
            conditional, unconditional = self.denoiser(torch.cat([x, x]), torch.cat([sigma, sigma])).chunk(2)
        else:
            conditional = self.denoiser(x.clone(), sigma.clone())  # which may write into them
            if not bool(inside.any()):
                return conditional
            unconditional = self.unconditional(x, sigma)
        weight = torch.where(inside, self.weight, 1.0).to(x)
        # lerp is exact at both of its ends
        return torch.lerp(unconditional, conditional, column(weight, x))


def takes_any_dtype(denoiser: Denoiser) -> bool:
    return bool(getattr(denoiser, "any_dtype", False)) or placement(denoiser)[1] is None


def column(numbers: Tensor, like: Tensor) -> Tensor:
    """Return (B,) as (B, 1 ... 1), to broadcast over the rows of `like`."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))
