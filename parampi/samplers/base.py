"""Equations that solvers solve, step maps above all; samplers, which make them from noise levels, and their registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from parampi.errors import ConfigError, blamed
from parampi.registry import Registry, require_object


@dataclass(frozen=True)
class Equations:
    """Equations for the states at the points of a grid of noise levels, one for each point but the first. Solvers solve them.

    sigmas  (N + 1,) noise level of each point, float64 on the CPU

    `causal` says whether every equation reads earlier points only, so that a serial run exists; then the equations are a
    `StepMap`.
    """

    causal: ClassVar[bool] = False
    refusal: ClassVar[str] = "these equations read later points too, which {solver} cannot solve; take a solver that can"
    """Message for a solver, by its name, that does not solve these equations."""

    sigmas: Tensor

    @property
    def step_map(self) -> "StepMap":
        """The equations as steps from point to point. Raises TypeError where they are not causal."""
        raise TypeError(f"{type(self).__name__} read later points too: there are no steps from point to point")

    @property
    def start_level(self) -> float:
        """Noise level of the start, `x[0] ~ N(0, start_level^2 + sigma_data^2)`."""
        return float(self.sigmas[0])

    @property
    def steps(self) -> int:
        """Number of equations N."""
        return len(self.sigmas) - 1

    @property
    def taps(self) -> int:
        """Points K, up to the one before the point made, that an engine keeps for an equation."""
        return 1

    @property
    def stochastic(self) -> bool:
        """Whether noise enters after the start."""
        return False

    @cached_property
    def evaluated(self) -> Tensor:
        """Which of the points 0 ... N - 1 the network is called for (N,)."""
        return torch.ones(self.steps, dtype=torch.bool)

    @property
    def evaluations(self) -> int:
        """Network evaluations per member of one pass over all points."""
        return int(self.evaluated.sum())


@dataclass(frozen=True)
class StepMap(Equations):
    """The steps of a sampler in EDM coordinates `x = x0 + sigma n`, as a stencil over points:

        x[i+1] = sum_l state[i,l] x[i-l] + denoised_weight[i,l] D(x[i-l], sigmas[i-l]) + sum_q noise[i,q] xi[i-q],

    for i = 0 ... N - 1, with `D` the denoiser and `xi[i]` standard normal, the noise of step i. Step i makes point i + 1. A
    stage of a step is a point of its own, and so is a velocity; a multistep sampler reads denoised fields of earlier points.

    sigmas           (N + 1,) noise level of each point
    state            (N, K) weight of the state at each point read, one number per step and tap; (N,) is taken as one tap. Taps
                     that would reach before point 0 are 0
    denoised_weight  (N, K) or (N,) weight of the denoised field at each point read
    noise            (N, Q) or (N,) weight of the noise of each step read; 0 before step 0
    start            noise level of the start; sigmas[0] by default
    blocks           (B,) ends of the blocks that a sampler has by nature, the last one N; None where it has none

    All numbers are float64 on the CPU.
    """

    causal: ClassVar[bool] = True

    state: Tensor
    denoised_weight: Tensor
    noise: Tensor
    start: float | None = None
    blocks: Tensor | None = None

    def __post_init__(self) -> None:
        tables = self.state, self.denoised_weight, self.noise
        state, denoised_weight, noise = ((table[:, None] if table.ndim == 1 else table).to(torch.float64) for table in tables)
        taps = max(state.shape[1], denoised_weight.shape[1])
        object.__setattr__(self, "state", widen(state, taps))
        object.__setattr__(self, "denoised_weight", widen(denoised_weight, taps))
        object.__setattr__(self, "noise", noise)

    @property
    def step_map(self) -> "StepMap":
        return self

    @property
    def start_level(self) -> float:
        return super().start_level if self.start is None else self.start

    @property
    def steps(self) -> int:
        return len(self.state)

    @property
    def taps(self) -> int:
        """Points K that a step reads: its own and the K - 1 before."""
        return self.state.shape[1]

    @property
    def stochastic(self) -> bool:
        return bool((self.noise != 0).any())

    @cached_property
    def evaluated(self) -> Tensor:
        """Which of the points 0 ... N - 1 the network is called for (N,): those whose denoised field some step reads."""
        read = torch.zeros(self.steps, dtype=torch.bool)
        for tap in range(self.taps):
            read[: self.steps - tap] |= self.denoised_weight[tap:, tap] != 0
        return read

    def slopes(self, denoiser_slopes: Tensor) -> Tensor:
        """Return `dx[i+1]/dx[i-l]` (N, K) where the denoiser's slope `dD/dx` at each point is the given number (N,)."""
        return self.state + self.denoised_weight * taps_of(denoiser_slopes, self.taps)


def widen(numbers: Tensor, taps: int) -> Tensor:
    """Return numbers (N, k) as (N, taps), the rest 0."""
    return torch.nn.functional.pad(numbers, (0, taps - numbers.shape[1]))


def taps_of(numbers: Tensor, taps: int) -> Tensor:
    """Return numbers (N,) of the points as their steps read them: (N, taps), entry [i, l] is numbers[i - l], 0 before point
    0."""
    return torch.stack([torch.nn.functional.pad(numbers, (tap, 0))[: len(numbers)] for tap in range(taps)], dim=1)


class Sampler(Protocol):
    """A frozen dataclass of options that makes the equations of its points from noise levels."""

    @property
    def order(self) -> int:
        """Order of convergence, in the step of log sigma, of the mean and variance it gives to Gaussian data."""

    def steps(self, sigmas: Tensor) -> Equations:
        """Return the step map, or other equations, on strictly decreasing noise levels (N + 1,), float64; the last may be 0."""
        ...


SAMPLERS = Registry("sampler")
register = SAMPLERS.register
lookup = SAMPLERS.lookup
alias = SAMPLERS.alias


def noise_levels(sigmas: Tensor | Sequence[float]) -> Tensor:
    """Return noise levels as float64 on the CPU. Raises ConfigError for what are no numbers."""
    try:
        if isinstance(sigmas, Tensor) and sigmas.is_complex():
            raise TypeError("they are complex")
        return torch.as_tensor(sigmas, dtype=torch.float64).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"sigmas of type {type(sigmas).__name__} are no list of noise levels ({reason}); give a tensor or a list of "
            "numbers, such as parampi.sigmas.karras(18)"
        ) from None


def check_sampler(sampler: Any) -> Sampler:
    """Return a sampler. Raises ConfigError, with what to give instead, for what is none: a class, a name, a solver."""
    give = require_object("sampler", sampler, "parampi.samplers.DDIM()")
    if not callable(getattr(sampler, "steps", None)):
        raise ConfigError(f"sampler = {sampler!r} is no sampler, for it has no method steps(sigmas); {give}")
    checked: Sampler = sampler
    return checked


def equations_of(sampler: Any, sigmas: Tensor | Sequence[float]) -> Equations:
    """Return the equations that a sampler makes of noise levels. Raises ConfigError for what is no sampler."""
    levels = sigmas if isinstance(sigmas, Tensor) and not sigmas.is_complex() else noise_levels(sigmas)
    with blamed(type(sampler).__name__):
        equations = check_sampler(sampler).steps(levels)
    if not isinstance(equations, Equations):
        made = type(equations).__name__
        raise ConfigError(f"{type(sampler).__name__}.steps returned a {made}; it must return a parampi.samplers.StepMap")
    return equations


def check_grid(sigmas: Tensor) -> Tensor:
    """Return the grid as float64 on the CPU. Raises ConfigError unless it is finite, positive (the last may be 0) and strictly
    decreasing."""
    sigmas = noise_levels(sigmas)
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
