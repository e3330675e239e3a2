"""Churn: noise that raises the level before each step, as Karras et al. 2022 do."""

import math
from dataclasses import dataclass

from torch import Tensor

from parampi.errors import ConfigError


@dataclass(frozen=True)
class Churn:
    """Options of churn: before step i of N the noise level is raised by fresh noise (Karras, Aittala, Aila, Laine 2022,
    arXiv:2206.00364, algorithm 2),

        that_i = t_i + gamma_i t_i,   gamma_i = min(s_churn / N, sqrt(2) - 1) where s_tmin <= t_i <= s_tmax, else 0,
        xhat_i = x_i + s_noise sqrt(that_i^2 - t_i^2) xi.

    Without `capped`, gamma_i = s_churn / N however large, as physicsnemo's `stochastic_sampler` has it.

    The noise is that of the step that makes xhat_i, so that x_i is no point and churn costs no evaluation.
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    capped: bool = True

    def __post_init__(self) -> None:
        finite = math.isfinite(self.s_churn) and math.isfinite(self.s_noise) and math.isfinite(self.s_tmin)
        if not (finite and self.s_churn >= 0 and self.s_noise >= 0 and 0 <= self.s_tmin <= self.s_tmax):
            raise ConfigError(
                f"s_churn = {self.s_churn}, s_tmin = {self.s_tmin}, s_tmax = {self.s_tmax}, s_noise = {self.s_noise}; none may "
                "be negative, s_tmin must not exceed s_tmax, and s_tmax alone may be infinite"
            )

    def raised(self, levels: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return that (N + 1,), equal to t at the last level; the noise that is added there (N + 1,); and the level of the
        start, which is xhat_0: sqrt(t_0^2 + s_noise^2 (that_0^2 - t_0^2))."""
        gamma = self.gamma(levels)
        added = self.s_noise * levels * (gamma * (2 + gamma)).sqrt()
        return levels * (1 + gamma), added, math.hypot(float(levels[0]), float(added[0]))

    def gamma(self, levels: Tensor) -> Tensor:
        """Return gamma (N + 1,), 0 at the last level."""
        most = self.s_churn / (len(levels) - 1)
        most = min(most, math.sqrt(2) - 1) if self.capped else most
        inside = (levels >= self.s_tmin) & (levels <= self.s_tmax)
        inside[-1] = False
        return most * inside.to(levels)
