"""Picard sweeps, over a sliding window or over fixed blocks."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from parampi.samplers import Equations, StepMap
from parampi.solvers.base import Solver, alias, check_choices, equal_blocks, register
from parampi.solvers.linear_models import (
    Guess,
    LinearModel,
    Named,
    constant_guess,
    extrapolated_guess,
    frozen_guess,
    gaussian_guess,
    linear_model,
)
from parampi.solvers.linear_sweeps import MeasuredSweeps
from parampi.solvers.share_rule.rule import rule_for
from parampi.solvers.stop_rules import Rule
from parampi.solvers.sweep import Iteration

CHOICES = {
    "advance": ("window", "block"),
    "linear_model": ("gaussian", "identity", "noise", "data"),
    "guess": ("extrapolated", "gaussian", "constant", "frozen"),
}


@register("picard")
@dataclass(frozen=True)
class Picard(Solver):
    """Fixed-point sweeps with one number `A` per step and tap.

    advance       "window" lets new points in as points are accepted, after every round (ParaDiGMS: Shih, Belkhale, Ermon,
                  Sadigh, Anari 2023, arXiv:2305.16317); "block" only when the whole block is accepted (as in PIADM: Chen,
                  Ren, Ying, Rotskoff 2024, arXiv:2405.15986).
    linear_model  "identity": A = 1 in variance-preserving coordinates `x / sqrt(sigma^2 + sigma_data^2)`, the published Picard
                  iteration. "gaussian": A is the step's slope for Gaussian data of variance sigma_data^2. The two agree to
                  first order for deterministic samplers; for stochastic ones the second knows that a step forgets. "noise" and
                  "data": the slope where the predicted noise, or the denoised field, is kept from the sweep before.
    guess         of points that enter the window, from the last ones known, without a network call. "extrapolated": the
                  sampler's steps with the true noises and with denoised fields that are extrapolated from the last two of the
                  window (`Trend`); far ahead, and before any is known, "gaussian": the sampler's own solution for Gaussian data
                  of variance sigma_data^2. "constant": the same state in variance-preserving coordinates, as published.
                  "frozen": the sampler's steps with the true noises and the latest denoised field.

    `Picard(linear_model="identity", guess="constant")` is ParaDiGMS's iteration. Raises ConfigError for an unknown choice.
    """

    advance: Literal["window", "block"] = "window"
    linear_model: Named = "gaussian"
    guess: Literal["extrapolated", "gaussian", "constant", "frozen"] = "extrapolated"

    def __post_init__(self) -> None:
        check_choices(self, CHOICES)

    def ends(self, requested: int | None, equations: Equations) -> Tensor | None:
        size = self.window(requested, equations)
        return equal_blocks(size, equations.steps) if self.advance == "block" else None

    def model(self, step_map: StepMap, sigma_data: float) -> LinearModel:
        return linear_model(self.linear_model, step_map, sigma_data)

    def first_guess(self, step_map: StepMap, sigma_data: float) -> Guess:
        if self.guess == "frozen":
            return frozen_guess(step_map)
        guesses = {"extrapolated": extrapolated_guess, "gaussian": gaussian_guess, "constant": constant_guess}
        return guesses[self.guess](step_map, sigma_data)

    def rule(self, equations: Equations, sigma_data: float, tolerance: float) -> Rule:
        return rule_for(equations, self.model(equations.step_map, sigma_data).slopes, sigma_data, tolerance)

    def iteration(self, equations: Equations, sigma_data: float) -> Iteration:
        return MeasuredSweeps()


ParaSolver = alias("parasolver", Picard, linear_model="identity", guess="frozen")
"""Sweeps over a sliding window whose points enter with the sampler's own steps, taken with the true noises and with the
denoised field frozen at the latest one known, as in ParaSolver (Lu, Zhu, Hou 2025, ICLR):

    g[i+1] = sum_l state[i,l] g[i-l] + (sum_l denoised_weight[i,l]) D_latest + sum_q noise[i,q] xi[i-q].

Before the first round, where no denoised field is known, it is that of Gaussian data."""
