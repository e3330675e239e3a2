"""Heun's method, and the stochastic sampler of EDM that is built on it. The predictor is a point of its own."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from parampi.samplers.base import StepMap, check_grid, register
from parampi.samplers.churn import Churn


@register("edm")
@dataclass(frozen=True)
class EDM(Churn):
    """The stochastic sampler of Karras, Aittala, Aila, Laine 2022 (arXiv:2206.00364, algorithm 2): before each step the noise
    level is raised from t_i to that_i by fresh noise, then a step of Heun's method goes from that_i to t_{i+1}:

        that_i = t_i + gamma_i t_i,   gamma_i = min(s_churn / N, sqrt(2) - 1) where s_tmin <= t_i <= s_tmax, else 0,
        xhat_i = x_i + s_noise sqrt(that_i^2 - t_i^2) xi,
        p = xhat_i + (t_{i+1} - that_i) dhat,           dhat = (xhat_i - D(xhat_i, that_i)) / that_i,
        x_{i+1} = xhat_i + (t_{i+1} - that_i) (dhat + (p - D(p, t_{i+1})) / t_{i+1}) / 2.

    A step to t = 0 is the predictor alone. The points are xhat_0, p_0, xhat_1, p_1, ...: two network evaluations per step but
    for one to 0, in the same round. The start is xhat_0 itself, noise of variance t_0^2 + s_noise^2 (that_0^2 - t_0^2).
    `s_churn = 0` is `Heun`. `order` is that of the marginals where gamma_i = s_churn / N, with more steps than at the bound of
    sqrt(2) - 1. Raises ConfigError for options out of range.
    """

    s_churn: float = 40.0
    order: ClassVar[int] = 2

    def steps(self, sigmas: Tensor) -> StepMap:
        levels = check_grid(sigmas)
        raised, added, start = self.raised(levels)
        current, following = raised[:-1], levels[1:]
        predictor, mean = euler_row(current, following), heun_row(current, following)
        state, denoised_weight = (in_turn(a, b) for a, b in zip(predictor, mean, strict=True))
        points = torch.cat([in_turn(current, following), levels[-1:]])
        noise = in_turn(torch.zeros_like(current), added[1:])
        last = len(noise) - int(levels[-1] == 0)
        return StepMap(points[: last + 1], state[:last], denoised_weight[:last], noise[:last], start=start)


@register("heun")
@dataclass(frozen=True)
class Heun:
    """Heun's method for the probability-flow equation (Karras, Aittala, Aila, Laine 2022, arXiv:2206.00364, algorithm 1); the
    last step is Euler's where it goes to 0. See `EDM`, of which it is the case without churn."""

    order: ClassVar[int] = 2

    def steps(self, sigmas: Tensor) -> StepMap:
        return EDM(s_churn=0.0).steps(sigmas)


def euler_row(current: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    """Return `state` and `denoised_weight` (N, 2) of the steps to the predictors, from the point before them."""
    none = torch.zeros_like(current)
    return torch.stack([following / current, none], dim=1), torch.stack([(current - following) / current, none], dim=1)


def heun_row(current: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    """Return `state` and `denoised_weight` (N, 2) of the steps to the ends, from the predictor and the point before it."""
    slopes = torch.stack([(following - current) / (2 * following), (following - current) / (2 * current)], dim=1)
    return slopes + torch.tensor([0.0, 1.0], dtype=current.dtype), -slopes


def in_turn(first: Tensor, second: Tensor) -> Tensor:
    """Return rows of two tensors (N, ...) one after the other, (2 N, ...)."""
    return torch.stack([first, second], dim=1).flatten(0, 1)
