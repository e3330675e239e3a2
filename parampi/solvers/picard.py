"""Picard sweeps, over a sliding window or over fixed blocks."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers import StepMap
from parampi.solvers.base import Advance, AffineSteps, check_window, gaussian_slopes, no_noise, register, scale_slopes

CHOICES = {"advance": ("window", "block"), "linear_model": ("gaussian", "identity"), "guess": ("gaussian", "constant")}


@register("picard")
@dataclass(frozen=True)
class Picard:
    """Fixed-point sweeps with one number `A_i` per step.

    advance       "window" lets new points in as points are accepted, after every round (ParaDiGMS: Shih, Belkhale, Ermon,
                  Sadigh, Anari 2023, arXiv:2305.16317); "block" only when the whole block is accepted (as in PIADM: Chen,
                  Ren, Ying, Rotskoff 2024, arXiv:2405.15986).
    linear_model  "identity": A = 1 in variance-preserving coordinates `x / sqrt(sigma^2 + sigma_data^2)`, the published Picard
                  iteration. "gaussian": A is the step's slope for Gaussian data of variance sigma_data^2. The two agree to
                  first order for deterministic samplers; for stochastic ones the second knows that a step forgets.
    guess         of points that enter the window, from the last one known. "constant": the same state in variance-preserving
                  coordinates, as published. "gaussian": the sampler's own solution for Gaussian data of variance sigma_data^2
                  with the true noises, which needs no network call.

    `Picard(linear_model="identity", guess="constant")` is ParaDiGMS's iteration. Raises ConfigError for an unknown choice.
    """

    advance: Advance = "window"
    linear_model: Literal["gaussian", "identity"] = "gaussian"
    guess: Literal["gaussian", "constant"] = "gaussian"

    def __post_init__(self) -> None:
        for option, choices in CHOICES.items():
            if getattr(self, option) not in choices:
                raise ConfigError(
                    f"Picard's {option} = {getattr(self, option)!r} is not one of {', '.join(map(repr, choices))}"
                )

    def window(self, requested: int | None, steps: int) -> int:
        return check_window(requested, steps)

    def slopes(self, step_map: StepMap, sigma_data: float) -> Tensor:
        model = gaussian_slopes if self.linear_model == "gaussian" else scale_slopes
        return model(step_map, sigma_data)

    def first_guess(self, step_map: StepMap, sigma_data: float) -> AffineSteps:
        if self.guess == "gaussian":
            return AffineSteps(gaussian_slopes(step_map, sigma_data), step_map.noise)
        return AffineSteps(scale_slopes(step_map, sigma_data), no_noise(step_map))
