"""The serial sampler, as the same scan with a window of one point."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers import StepMap
from parampi.solvers.base import Advance, AffineSteps, no_noise, register, scale_slopes


@register("serial")
@dataclass(frozen=True)
class Serial:
    """One point a round: `x[i+1] = F_i(x)`. As many rounds as steps; exact, whatever the tolerance."""

    advance: ClassVar[Advance] = "window"

    def window(self, requested: int | None, steps: int) -> int:
        if requested not in (None, 1):
            raise ConfigError(
                f"window = {requested} makes no sense for the serial solver, whose window is one point; set it to null (None)"
            )
        return 1

    def slopes(self, step_map: StepMap, sigma_data: float) -> Tensor:
        return scale_slopes(step_map, sigma_data)

    def first_guess(self, step_map: StepMap, sigma_data: float) -> AffineSteps:
        return AffineSteps(scale_slopes(step_map, sigma_data), no_noise(step_map))
