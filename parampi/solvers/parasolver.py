"""Picard sweeps from a noise-aware first guess."""

from dataclasses import dataclass

from parampi.samplers import StepMap
from parampi.solvers.base import Solver, check_choices, register
from parampi.solvers.linear_models import Guess, LinearModel, Named, frozen_guess, linear_model
from parampi.solvers.picard import CHOICES


@register("parasolver")
@dataclass(frozen=True)
class ParaSolver(Solver):
    """Picard sweeps over a sliding window whose points enter with the sampler's own steps, taken with the true noises and with
    the denoised field frozen at the latest one known, as in ParaSolver (Lu, Zhu, Hou 2025, ICLR):

        g[i+1] = sum_l state[i,l] g[i-l] + (sum_l denoised_weight[i,l]) D_latest + sum_q noise[i,q] xi[i-q]

    Before the first round, where no denoised field is known, it is that of Gaussian data. `linear_model` is as in `Picard`; the
    published iteration is "identity".
    """

    linear_model: Named = "identity"

    def __post_init__(self) -> None:
        check_choices(self, {"linear_model": CHOICES["linear_model"]})

    def model(self, step_map: StepMap, sigma_data: float) -> LinearModel:
        return linear_model(self.linear_model, step_map, sigma_data)

    def first_guess(self, step_map: StepMap, sigma_data: float) -> Guess:
        return frozen_guess(step_map)
