"""What a solver is: the linear model of the step, the first guess and the way the window moves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers import StepMap

Advance = Literal["window", "block"]


@dataclass(frozen=True)
class AffineSteps:
    """Affine maps `g[i+1] = slopes[i] g[i] + noise[i] xi[i]`, one per step: both (N,), float64, on the CPU."""

    slopes: Tensor
    noise: Tensor


class Solver(Protocol):
    """How the points of a window are iterated. A solver never sees MPI; one sweep is

        x_new[i+1] = F_i(x_old) + A_i (x_new[i] - x_old[i])

    and its fixed point, the serial sampler's trajectory, does not depend on `A`. Frozen dataclasses whose fields are options.
    """

    @property
    def advance(self) -> Advance:
        """ "window": new points enter as points are accepted; "block": only when the whole block is accepted."""
        ...

    def window(self, requested: int | None, steps: int) -> int:
        """Number of points swept together, of `steps` in all."""
        ...

    def slopes(self, step_map: StepMap, sigma_data: float) -> Tensor:
        """`A_i` (N,), float64: the linear model of each step."""
        ...

    def first_guess(self, step_map: StepMap, sigma_data: float) -> AffineSteps:
        """How a point that enters the window is guessed from the point before it, without a network call."""
        ...


SOLVERS: dict[str, type] = {}
S = TypeVar("S", bound=type)


def register(name: str) -> Callable[[S], S]:
    """Make a solver known by name to configurations, to the command line and to the tests every solver must pass."""

    def add(cls: S) -> S:
        SOLVERS[name] = cls
        return cls

    return add


def check_window(requested: int | None, steps: int) -> int:
    """The number of points of a window: all of them for None; ConfigError unless it is positive."""
    if requested is not None and requested < 1:
        raise ConfigError(f"window = {requested} has no points; give at least 1, or null for all {steps} points at once")
    return min(requested or steps, steps)


def gaussian_slopes(step_map: StepMap, sigma_data: float) -> Tensor:
    """`A_i = dF_i/dx` (N,) for data that are N(0, sigma_data^2), where `D(x, s) = x sigma_data^2 / (sigma_data^2 + s^2)`."""
    variance = sigma_data**2
    return step_map.slopes(variance / (variance + step_map.sigmas[:-1] ** 2))


def scale_slopes(step_map: StepMap, sigma_data: float) -> Tensor:
    """Ratios (N,) of the scale `sqrt(sigma^2 + sigma_data^2)` from point to point: a state constant in VP coordinates."""
    scale = (step_map.sigmas**2 + sigma_data**2).sqrt()
    return scale[1:] / scale[:-1]


def no_noise(step_map: StepMap) -> Tensor:
    return torch.zeros_like(step_map.noise)
