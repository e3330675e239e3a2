"""The serial sampler, as the same scan with a window of one point."""

from dataclasses import dataclass

from parampi.errors import ConfigError
from parampi.samplers import Equations, StepMap
from parampi.solvers.base import Solver, register
from parampi.solvers.linear_models import Guess, constant_guess


@register("serial")
@dataclass(frozen=True)
class Serial(Solver):
    """The serial sampler, one point a round: `x[i+1] = F_i(x)`. As many rounds as evaluations; exact, whatever the
    tolerance."""

    def window(self, requested: int | None, equations: Equations) -> int:
        if requested not in (None, 1):
            raise ConfigError(
                f"window = {requested} makes no sense for the serial solver, whose window is one point; set it to null (None)"
            )
        return 1

    def first_guess(self, step_map: StepMap, sigma_data: float) -> Guess:
        return constant_guess(step_map, sigma_data)
