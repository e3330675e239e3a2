"""A denoiser as the engine calls it: in chunks, in its own dtype, with each field's condition, counted and timed."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from parampi.diffusion.call_clock import CallClock
from parampi.diffusion.call_queue import CallQueue, queue_beside
from parampi.diffusion.denoisers import ConditionalDenoiser, Denoiser, placement
from parampi.errors import ConfigError


@dataclass(frozen=True)
class BatchConditions:
    """Conditions (m, ...) of m members, and which of them belongs to each of B fields, (B,)."""

    conditions: Tensor
    columns: Tensor

    def of(self, part: slice) -> "BatchConditions":
        return BatchConditions(self.conditions, self.columns[part])

    def rows(self) -> Tensor:
        """Return the conditions (B, ...)"""
        return self.conditions[self.columns]


class BatchedDenoiser:
    """Denoiser that evaluates `D(x, sigma)`, or `D(x, sigma, condition)`, for any number of fields.

    batch   most fields in one call (memory); None for no limit.
    padded  every call has exactly `batch` fields, the last one filled up with copies. Kernels choose their order of summation
            by the shape of a call, so equal shapes make the bits of one field independent of how many others there are.
    """

    def __init__(self, denoiser: Denoiser | ConditionalDenoiser, batch: int | None = None, padded: bool = False):
        if batch is not None and batch < 1:
            raise ConfigError(f"network_batch = {batch}; give at least one field per network call, or null for no limit")
        self.denoiser: Callable[..., Tensor] = denoiser
        self.padded = padded
        self.batch = batch or (1 if padded else None)
        self.device, dtype = placement(denoiser)
        self.dtype = None if getattr(denoiser, "any_dtype", False) else dtype
        self.clock, self.queue, self.apart = CallClock(self.device), CallQueue(), False

    @property
    def seconds(self) -> float:
        """Seconds of all calls so far."""
        return self.clock.seconds

    def beside(self) -> Self:
        """Return the same, whose calls run beside what the caller does next: their fields may be read after
        `queue.wait(mark, fields)`, with the `queue.mark()` that was taken when the call returned. Both have one clock."""
        other = copy(self)
        other.queue, other.apart = queue_beside(self.device), True
        return other

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: Tensor, conditions: BatchConditions | None = None) -> Tensor:
        """Return D (B, *shape) in x's dtype, for x (B, *shape) and sigma (B,)."""
        size = self.batch or max(len(x), 1)
        with self.queue.running(read_in_a_call(x, sigma, conditions)), self.clock.running():
            if 0 < len(x) <= size and not self.apart:
                return self.checked(self.denoiser(*self.arguments(x, sigma, conditions)), x)
            # copied one by one, and before the next call: a network that is compiled may return the same memory in every call
            result = x.new_empty(x.shape)
            for i in range(0, len(x), size):
                part = slice(i, i + size)
                arguments = self.arguments(x[part], sigma[part], conditions and conditions.of(part))
                result[part] = self.checked(self.denoiser(*arguments), x[part])
            return result

    @torch.no_grad()
    def derivative(self, x: Tensor, sigma: Tensor, direction: Tensor, conditions: BatchConditions | None = None) -> Tensor:
        """Return `dD/dx` times a direction, both (B, *shape) like x: one forward-mode product, by automatic differentiation."""
        size = self.batch or max(len(x), 1)
        parts = [slice(i, i + size) for i in range(0, len(x), size)]
        with self.queue.running((direction, *read_in_a_call(x, sigma, conditions))), self.clock.running():
            chunks = [self.tangent(x[part], sigma[part], direction[part], conditions and conditions.of(part)) for part in parts]
            result = torch.cat(chunks) if chunks else x.clone()
        self.queue.wait(self.queue.mark(), result)
        return result

    def tangent(self, x: Tensor, sigma: Tensor, direction: Tensor, conditions: BatchConditions | None) -> Tensor:
        def denoise(state: Tensor) -> Tensor:
            return self.checked(self.denoiser(*self.arguments(state, sigma, conditions)), state)

        product: Tensor = torch.func.jvp(denoise, (x,), (direction,))[1]
        return product

    def arguments(self, x: Tensor, sigma: Tensor, conditions: BatchConditions | None) -> tuple[Tensor, ...]:
        """Return the denoiser's arguments for fields x: filled up with copies, in the network's own dtype, and in
        memory of their own, into which a network may write."""
        count, dtype, states, levels = len(x), x.dtype, x, sigma
        if self.padded:
            # a fresh copy, too: libraries also choose kernels by the alignment of the memory
            rows = torch.arange(self.batch or 1, device=x.device).clamp(max=count - 1)
            x, sigma = x[rows], sigma[rows]
            conditions = conditions and BatchConditions(conditions.conditions, conditions.columns[rows])
        inner = self.dtype or dtype
        # half precision could not tell neighbouring noise levels apart
        level = sigma.to(torch.promote_types(inner, torch.float32))
        return own(x.to(inner), states), own(level, levels), *(() if conditions is None else (conditions.rows(),))

    def checked(self, result: Tensor, x: Tensor) -> Tensor:
        """Return the fields of x out of what the denoiser returned, in x's dtype. Raises ConfigError for anything else."""
        shape = (self.batch or 1 if self.padded else len(x), *x.shape[1:])
        if not isinstance(result, Tensor) or result.shape != shape:
            got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ConfigError(
                f"the denoiser returned {got} for fields of shape {tuple(shape)}; it must return E[x0 | x] in x's shape"
            )
        if not result.is_floating_point():
            raise ConfigError(f"the denoiser returned {result.dtype}; it must return real numbers, E[x0 | x] in x's dtype")
        return result[: len(x)].to(x.dtype)


def read_in_a_call(x: Tensor, sigma: Tensor, conditions: BatchConditions | None) -> tuple[Tensor, ...]:
    """Return the tensors that a call reads."""
    return (x, sigma) if conditions is None else (x, sigma, conditions.conditions, conditions.columns)


def own(argument: Tensor, source: Tensor) -> Tensor:
    """Return an argument, copied where it is the memory of what it was made of."""
    return argument.clone() if argument is source else argument
