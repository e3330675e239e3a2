"""Heun's method, and the stochastic sampler of EDM that is built on it. The predictor is a point of its own."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, check_grid, register


@register("edm")
@dataclass(frozen=True)
class EDM:
    """The stochastic sampler of Karras, Aittala, Aila, Laine 2022 (arXiv:2206.00364, algorithm 2): before each step the noise
    level is raised from t_i to that_i by fresh noise, then a step of Heun's method goes from that_i to t_{i+1}:

        that_i = t_i + gamma_i t_i,   gamma_i = min(s_churn / N, sqrt(2) - 1) where s_tmin <= t_i <= s_tmax, else 0,
        xhat_i = x_i + s_noise sqrt(that_i^2 - t_i^2) xi,
        p = xhat_i + (t_{i+1} - that_i) dhat,           dhat = (xhat_i - D(xhat_i, that_i)) / that_i,
        x_{i+1} = xhat_i + (t_{i+1} - that_i) (dhat + (p - D(p, t_{i+1})) / t_{i+1}) / 2.

    A step to t = 0 is the predictor alone. The points are xhat_0, p_0, xhat_1, p_1, ...: two network evaluations per step but
    for one to 0, in the same round. The start is xhat_0 itself, noise of variance t_0^2 + s_noise^2 (that_0^2 - t_0^2).
    `s_churn = 0` is `Heun`. From the right start the marginals are right to second order; a wrong start is forgotten to first
    order. Raises ConfigError for options out of range.
    """

    s_churn: float = 40.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not (self.s_churn >= 0 and self.s_noise >= 0 and 0 <= self.s_tmin <= self.s_tmax):
            raise ConfigError(
                f"s_churn = {self.s_churn}, s_tmin = {self.s_tmin}, s_tmax = {self.s_tmax}, s_noise = {self.s_noise}; none may "
                "be negative, and s_tmin must not exceed s_tmax"
            )

    def steps(self, sigmas: Tensor) -> StepMap:
        levels = check_grid(sigmas)
        raised = levels * (1 + self.churn(levels))
        added = self.s_noise * (raised**2 - levels**2).clamp(min=0).sqrt()
        table, goals = Points(float(raised[0])), levels.tolist()
        for i, here in enumerate(raised[:-1].tolist()):
            last, there = i == len(levels) - 2, goals[i + 1]
            if there == 0:
                table.add(there, (0.0, 0.0), (1.0, 0.0))
                continue
            h = there - here
            table.add(there, (there / here, 0.0), (1 - there / here, 0.0))
            mean = (h / (2 * there), 1 + h / (2 * here)), (-h / (2 * there), -h / (2 * here))
            table.add(there if last else float(raised[i + 1]), *mean, 0.0 if last else float(added[i + 1]))
        start = math.hypot(float(levels[0]), float(added[0]))
        return table.step_map(start)

    def churn(self, levels: Tensor) -> Tensor:
        """gamma (N + 1,), 0 at the last level."""
        most = min(self.s_churn / (len(levels) - 1), math.sqrt(2) - 1)
        inside = (levels >= self.s_tmin) & (levels <= self.s_tmax)
        inside[-1] = False
        return most * inside.to(levels)


@register("heun")
@dataclass(frozen=True)
class Heun:
    """Heun's method for the probability-flow equation (Karras, Aittala, Aila, Laine 2022, arXiv:2206.00364, algorithm 1); the
    last step is Euler's where it goes to 0. See `EDM`, of which it is the case without churn."""

    order: ClassVar[int] = 2

    def steps(self, sigmas: Tensor) -> StepMap:
        return EDM(s_churn=0.0).steps(sigmas)


Pair = tuple[float, float]


class Points:
    """A table of steps that grows point by point, with two taps."""

    def __init__(self, first: float):
        self.levels, self.noise = [first], list[float]()
        self.state, self.drift = list[Pair](), list[Pair]()

    def add(self, level: float, state: Pair, drift: Pair, noise: float = 0.0) -> None:
        self.levels.append(level)
        self.state.append(state)
        self.drift.append(drift)
        self.noise.append(noise)

    def step_map(self, start: float) -> StepMap:
        numbers = [torch.tensor(n, dtype=torch.float64) for n in (self.levels, self.state, self.drift, self.noise)]
        return StepMap(numbers[0], numbers[1], numbers[2], numbers[3], start=start)
