"""The numbers of a sampler's steps, of all of them and of those in one rank's slice of the members' windows."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.problem import SamplingProblem
from parampi.samplers.base import taps_of
from parampi.solvers import Solver

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Coefficients:
    """Numbers per step and tap: (N, taps) on the CPU for all steps; (taps, n, m, 1 ... 1) beside the states for a slice.

    state, denoised_weight, noise        of the step map
    slopes                     of the solver's linear model
    guess_slopes, guess_noise  of its first guess; guess_pull, what it adds of the data's mean
    response                   slope of the denoiser at the step's own point that the linear model assumes
    levels                     noise levels of the points a step reads; the first is its own point's
    scale, scale_made          sqrt(sigma^2 + sigma_data^2) of the step's own point, and of the point it makes
    """

    state: Tensor
    denoised_weight: Tensor
    noise: Tensor
    slopes: Tensor
    guess_slopes: Tensor
    guess_noise: Tensor
    guess_pull: Tensor
    response: Tensor
    levels: Tensor
    scale: Tensor
    scale_made: Tensor

    @classmethod
    def of(cls, problem: SamplingProblem, solver: Solver) -> "Coefficients":
        """Return those of all N steps of a problem. Equations that are not causal are no steps: these have noise levels and
        scales, and no taps of all the rest."""
        equations, sigma_data = problem.equations, problem.sigma_data
        scale = (equations.sigmas[:, None] ** 2 + sigma_data**2).sqrt()
        ends = taps_of(equations.sigmas[:-1], equations.taps), scale[:-1], scale[1:]
        if not equations.causal:
            nothing = scale.new_zeros(equations.steps, 0)
            return cls(*(nothing,) * 8, *ends)
        step_map = equations.step_map
        model, guess = solver.model(step_map, sigma_data), solver.first_guess(step_map, sigma_data)
        pull = torch.zeros_like(guess.slopes[:, 0]) if guess.pull is None else guess.pull
        guesses = guess.slopes, guess.noise, pull[:, None]
        maps = step_map.state, step_map.denoised_weight, step_map.noise, model.slopes
        return cls(*maps, *guesses, model.response[:, None], *ends)

    @cached_property
    def table(self) -> Tensor:
        """All numbers of a step one after another, (sum of the taps, N)."""
        return torch.cat([getattr(self, one.name) for one in fields(self)], dim=1).T.contiguous()

    @cached_property
    def taps(self) -> list[int]:
        """Taps of each kind of numbers."""
        return [getattr(self, one.name).shape[1] for one in fields(self)]

    def at(self, steps: Integers, active: Tensor | None, like: Tensor) -> "Coefficients":
        """Return those of the steps (n, m) of a chain, in the dtype of `like`, on its device, shaped to go with it; 0 unless
        `active`, None for everywhere."""
        found = torch.from_numpy(self.table.numpy().take(steps % self.table.shape[1], axis=1))
        numbers = (found if active is None else found * active).to(like, non_blocking=True)
        return Coefficients(*torch.split(numbers.view(*numbers.shape, *(1 for _ in like.shape[2:])), self.taps))
