"""A denoiser as the engine calls it: in chunks, in its own dtype, counted and timed."""

import time

import torch
from torch import Tensor

from parampi.diffusion.denoiser import Denoiser, placement
from parampi.errors import ConfigError


class Network:
    """Evaluates `D(x, sigma)` for any number of fields.

    batch   most fields in one call (memory); None for no limit.
    padded  every call has exactly `batch` fields, the last one filled up with copies. Kernels choose their order of summation
            by the shape of a call, so equal shapes make the bits of one field independent of how many others there are.
    """

    def __init__(self, denoiser: Denoiser, batch: int | None = None, padded: bool = False):
        if batch is not None and batch < 1:
            raise ConfigError(f"network_batch = {batch}; give at least one field per network call, or null for no limit")
        self.denoiser, self.padded = denoiser, padded
        self.batch = batch or (1 if padded else None)
        self.device, dtype = placement(denoiser)
        self.dtype = None if getattr(denoiser, "any_dtype", False) else dtype
        self.seconds = 0.0

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D (B, *shape) in x's dtype, for x (B, *shape) and sigma (B,)."""
        begin = time.perf_counter()
        size = self.batch or max(len(x), 1)
        if 0 < len(x) <= size:
            result = self.call(x, sigma)
        else:
            # copied one by one: a network that is compiled may return the same memory in every call
            result = x.new_empty(x.shape)
            for i in range(0, len(x), size):
                result[i : i + size] = self.call(x[i : i + size], sigma[i : i + size])
        if result.is_cuda:
            torch.cuda.synchronize(result.device)
        self.seconds += time.perf_counter() - begin
        return result

    @torch.no_grad()
    def derivative(self, x: Tensor, sigma: Tensor, direction: Tensor) -> Tensor:
        """`dD/dx` times a direction, both (B, *shape) like x: one forward-mode product, by automatic differentiation."""
        begin = time.perf_counter()
        size = self.batch or max(len(x), 1)
        chunks = [self.tangent(*(t[i : i + size] for t in (x, sigma, direction))) for i in range(0, len(x), size)]
        result = torch.cat(chunks) if chunks else x.clone()
        if result.is_cuda:
            torch.cuda.synchronize(result.device)
        self.seconds += time.perf_counter() - begin
        return result

    def tangent(self, x: Tensor, sigma: Tensor, direction: Tensor) -> Tensor:
        product: Tensor = torch.func.jvp(lambda state: self.call(state, sigma), (x,), (direction,))[1]
        return product

    def call(self, x: Tensor, sigma: Tensor) -> Tensor:
        count, dtype = len(x), x.dtype
        if self.padded:
            # a fresh copy, too: libraries also choose kernels by the alignment of the memory
            rows = torch.arange(self.batch or 1, device=x.device).clamp(max=count - 1)
            x, sigma = x[rows], sigma[rows]
        inner = self.dtype or dtype
        # half precision could not tell neighbouring noise levels apart
        result = self.denoiser(x.to(inner), sigma.to(torch.promote_types(inner, torch.float32)))
        if not isinstance(result, Tensor) or result.shape != x.shape:
            got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ConfigError(
                f"the denoiser returned {got} for fields of shape {tuple(x.shape)}; it must return E[x0 | x] in x's shape"
            )
        return result[:count].to(dtype)
