"""Linear models of the steps and first guesses of their states, from which solvers choose."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.samplers import StepMap
from parampi.samplers.base import taps_of

Named = Literal["gaussian", "identity", "noise", "data"]
FAR, FAR_STOCHASTIC = 1.5, 0.5
"""Distances in log sigma over which denoised fields of deterministic and of stochastic samplers are extrapolated."""


@dataclass(frozen=True)
class LinearModel:
    """Response of the steps to changes of the states they read, all float64 on the CPU.

    slopes    `A[i,l]` (N, K), the model of `dx[i+1]/dx[i-l]`
    response  (N,), the slope `dD/dx` that the model assumes at each point
    """

    slopes: Tensor
    response: Tensor

    @classmethod
    def of(cls, step_map: StepMap, response: Tensor) -> "LinearModel":
        """Return the steps' own slopes for a denoiser of these slopes (N,)."""
        return cls(step_map.slopes(response), response)


@dataclass(frozen=True)
class Trend:
    """Denoised fields of points that enter, extrapolated from those of the last points that the window has evaluated:

        E(s) = D + log(s / s_D) / log(s_D / s_D') (D - D')

    with D the last one and D' the last one before it at another noise level; without the second term unless `linear`. A guess
    takes the share `exp(-(log(s / s_D) / far)^4)` of it, and the rest of its linear model; all of it where `far` is infinite.
    """

    far: float
    linear: bool

    def share(self, ahead: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of what is extrapolated so far ahead in log sigma."""
        return np.exp(-((ahead / self.far) ** 4))


@dataclass(frozen=True)
class Guess:
    """First guess `g[i+1] = sum_l slopes[i,l] g[i-l] + pull[i] mean + sum_q noise[i,q] xi[i-q]` of points that enter a window.

    The mean is that of the data, 0 but where the lead time before in a roll-out tells more. slopes (N, K), noise (N, Q), pull
    (N,) or None for 0; all float64 on the CPU. With a `trend` the guess takes the denoised fields that it extrapolates in the
    place of its linear model's, as far ahead as it says.
    """

    slopes: Tensor
    noise: Tensor
    pull: Tensor | None = None
    trend: Trend | None = None


def linear_model(name: Named, step_map: StepMap, sigma_data: float) -> LinearModel:
    """Return the model of that name.

    "gaussian"  the steps' slopes for Gaussian data of variance sigma_data^2
    "noise"     theirs where the predicted noise `(x - D) / sigma` does not change: dD/dx = 1
    "data"      theirs where the denoised field does not change: dD/dx = 0
    "identity"  a state keeps its change in VP coordinates, `x / sqrt(sigma^2 + sigma_data^2)`
    """
    gaussian = gaussian_response(step_map, sigma_data)
    if name == "identity":
        return LinearModel(scale_slopes(step_map, sigma_data), gaussian)
    responses = {"gaussian": gaussian, "noise": torch.ones_like(gaussian), "data": torch.zeros_like(gaussian)}
    return LinearModel.of(step_map, responses[name])


def gaussian_response(step_map: StepMap, sigma_data: float) -> Tensor:
    """Return `dD/dx` (N,) for data that are N(0, sigma_data^2), where `D(x, s) = x sigma_data^2 / (sigma_data^2 + s^2)`."""
    variance = sigma_data**2
    return variance / (variance + step_map.sigmas[:-1] ** 2)


def scale_slopes(step_map: StepMap, sigma_data: float) -> Tensor:
    """Return slopes (N, K) that keep a state constant in VP coordinates: the ratio of `sqrt(sigma^2 + sigma_data^2)` to that of
    the nearest point before of the same kind, positions following positions and velocities velocities."""
    scale, steps = (step_map.sigmas**2 + sigma_data**2).sqrt(), step_map.steps
    kind = torch.cat([step_map.evaluated, torch.ones(1, dtype=torch.bool)])
    slopes, done = torch.zeros_like(step_map.state), torch.zeros(steps, dtype=torch.bool)
    for tap in range(min(step_map.taps, steps)):
        step = torch.arange(tap, steps)
        nearest = step[(kind[step + 1] == kind[step - tap]) & ~done[step]]
        slopes[nearest, tap] = scale[nearest + 1] / scale[nearest - tap]
        done[nearest] = True
    return slopes


def gaussian_guess(step_map: StepMap, sigma_data: float) -> Guess:
    """Return the guess of the sampler's own solution for Gaussian data of variance sigma_data^2, with the true noises."""
    response = gaussian_response(step_map, sigma_data)
    pull = (step_map.denoised_weight * (1 - taps_of(response, step_map.taps))).sum(1)
    return Guess(step_map.slopes(response), step_map.noise, pull)


def extrapolated_guess(step_map: StepMap, sigma_data: float) -> Guess:
    """Return the guess of the steps themselves with denoised fields that are extrapolated from the last two known, and with the
    true noises; far ahead, and before anything is known, that for Gaussian data."""
    return replace(gaussian_guess(step_map, sigma_data), trend=trend_of(step_map))


def trend_of(step_map: StepMap) -> Trend:
    """Return how far denoised fields of a sampler may be extrapolated. Those of a stochastic one are a martingale: what they
    changed last says nothing of the next change."""
    return Trend(*((FAR_STOCHASTIC, False) if step_map.stochastic else (FAR, True)))


def constant_guess(step_map: StepMap, sigma_data: float) -> Guess:
    """Return the guess that keeps a state in VP coordinates, without noise."""
    return Guess(scale_slopes(step_map, sigma_data), torch.zeros_like(step_map.noise))


def frozen_guess(step_map: StepMap) -> Guess:
    """Return the guess of the steps themselves with the latest denoised field known, and with the true noises."""
    return Guess(step_map.state, step_map.noise, trend=Trend(math.inf, linear=False))
