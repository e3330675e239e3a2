"""What a sampler is: the coefficients of its step map, and a registry of the samplers there are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from parampi.errors import ConfigError


@dataclass(frozen=True)
class StepMap:
    """The steps of a sampler on a grid of noise levels, in EDM coordinates `x = x0 + sigma n`.

        F_i(x) = state[i] x[i] + drift[i] D(x[i], sigmas[i]) + noise[i] xi[i],        i = 0 ... N - 1

    with `D` the denoiser and `xi[i]` standard normal. All entries are float64 on the CPU; `sigmas` has N + 1 entries, one per
    point, the others N, one per step. `F_i` maps point i to point i + 1.
    """

    sigmas: Tensor
    state: Tensor
    drift: Tensor
    noise: Tensor

    @property
    def steps(self) -> int:
        return len(self.state)

    @property
    def stochastic(self) -> bool:
        return bool((self.noise != 0).any())

    def slopes(self, denoiser_slopes: Tensor) -> Tensor:
        """`dF_i/dx_i` (N,) where the denoiser's slope `dD/dx` at each point is the given number (N,)."""
        return self.state + self.drift * denoiser_slopes


class Sampler(Protocol):
    """A frozen dataclass whose fields are the sampler's options."""

    order: ClassVar[int]
    """Order of convergence, in the step of log sigma, of the mean and variance it gives to Gaussian data."""

    def steps(self, sigmas: Tensor) -> StepMap:
        """The step map on a strictly decreasing grid (N + 1,) of noise levels, float64; the last may be 0."""
        ...


SAMPLERS: dict[str, type] = {}
S = TypeVar("S", bound=type)


def register(name: str) -> Callable[[S], S]:
    """Make a sampler known by name to configurations, to the command line and to the tests every sampler must pass."""

    def add(cls: S) -> S:
        SAMPLERS[name] = cls
        return cls

    return add


def check_grid(sigmas: Tensor) -> Tensor:
    """The grid as float64 on the CPU; ConfigError unless it is finite, positive (the last may be 0) and strictly decreasing."""
    sigmas = torch.as_tensor(sigmas, dtype=torch.float64).cpu()
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise ConfigError(f"sigmas has shape {tuple(sigmas.shape)}; give a list of at least two noise levels")
    wrong = ~(sigmas[1:] < sigmas[:-1]) | (sigmas[1:] < 0) | ~sigmas[:-1].isfinite()
    if wrong.any():
        i = int(wrong.int().argmax())
        raise ConfigError(
            f"sigmas must decrease strictly from point to point and end at or above 0, but sigmas[{i}] = {sigmas[i]:.6g} "
            f"is followed by sigmas[{i + 1}] = {sigmas[i + 1]:.6g}; sort them in decreasing order and drop repeated ones"
        )
    return sigmas
