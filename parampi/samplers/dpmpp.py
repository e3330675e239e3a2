"""DPM-Solver++, multistep: solvers of order 2 and 3 of the probability-flow equation, of order 1 and 2 of the reverse SDE.

With lambda = -log sigma and h_i = lambda_{i+1} - lambda_i, the exact solution of the probability-flow equation over a step is

    x_{i+1} = e^-h x_i + integral_0^h e^(s-h) D(lambda_i + s) ds,

and of the reverse SDE the same with e^-2h, 2 e^(2(s-h)) and noise of variance sigma_{i+1}^2 (1 - e^-2h). The solvers take for D
a polynomial in lambda through denoised fields that are known (Lu, Zhou, Bao, Chen, Li, Zhu 2022, arXiv:2211.01095). A last step
to sigma = 0, where h is infinite, is of first order: x = D.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, alias, check_grid, register
from parampi.samplers.ddim import DDIM
from parampi.samplers.exponential import log_steps, phi

FEW = 15
"""Number of steps below which `lower_order_final` applies."""
Form = Literal["midpoint", "heun"]


def check_option(sampler: object, option: str, *allowed: str) -> None:
    """Raise ConfigError for an option whose value is not allowed."""
    value = getattr(sampler, option)
    if value not in allowed:
        raise ConfigError(f"{type(sampler).__name__}'s {option} = {value!r} is not one of {', '.join(map(repr, allowed))}")


def slope_weight(form: str, h: Tensor, rate: float = 1.0) -> Tensor:
    """Return w: weight of the change of D over a step, `(1 - e^-(rate h)) / 2` for "midpoint" and `1 - (1 - e^-(rate h)) /
    (rate h)`, which is exact for a D linear in lambda, for "heun"."""
    return -torch.expm1(-rate * h) / 2 if form == "midpoint" else rate * h * phi(2, -rate * h)


@dataclass(frozen=True)
class Multistep:
    """Options of the multistep solvers.

    form               how the slope of D is weighted, "midpoint" or "heun"
    lower_order_final  the last steps fall to order 1 where there are fewer than 15
    euler_at_final     the last step is of order 1 whatever their number
    """

    form: Form = "midpoint"
    lower_order_final: bool = True
    euler_at_final: bool = False

    def __post_init__(self) -> None:
        check_option(self, "form", "midpoint", "heun")

    def orders(self, sigmas: Tensor, most: int) -> Tensor:
        """Return the order of every step (N,): it grows from 1 to `most`, and falls towards the end where the options say
        so."""
        count = len(sigmas) - 1
        order = torch.arange(1, count + 1).clamp(max=most)
        if self.lower_order_final and count < FEW:
            order = torch.minimum(order, torch.arange(count, 0, -1))
        if self.euler_at_final or sigmas[-1] == 0:
            order[-1] = 1
        return order


def second_order(sigmas: Tensor, order: Tensor, form: str, rate: float) -> Tensor:
    """Return the weights (N, 2) of the denoised fields of points i and i - 1, of order 2 where `order` is above 1, else of
    order 1."""
    h = log_steps(sigmas)
    slope = torch.zeros_like(h)
    slope[1:] = slope_weight(form, h, rate)[1:] * h[1:] / h[:-1]
    slope = torch.where(order >= 2, slope, 0.0)
    return torch.stack([-torch.expm1(-rate * h) + slope, -slope], dim=1)


@register("dpmpp_2m")
@dataclass(frozen=True)
class DPMpp2M(Multistep):
    """DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095, algorithm 2): D linear through this point and the one before,

        x_{i+1} = e^-h x_i + (1 - e^-h) D_i + w (D_i - D_{i-1}) h_i / h_{i-1},

    with w = (1 - e^-h) / 2 for form = "midpoint" and 1 - (1 - e^-h) / h for "heun". The first step is of first order, and so is
    the last one with `lower_order_final` if there are fewer than 15, with `euler_at_final`, and always if it goes to 0.
    Raises ConfigError for another form.
    """

    order: ClassVar[int] = 2

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio = sigmas[1:] / sigmas[:-1]
        denoised_weight = second_order(sigmas, self.orders(sigmas, 2), self.form, 1.0)
        return StepMap(sigmas, ratio, denoised_weight, torch.zeros_like(ratio))


@register("dpmpp_3m")
@dataclass(frozen=True)
class DPMpp3M(Multistep):
    """DPM-Solver++ 3M, the multistep solver with three denoised fields of Lu et al. 2022 (arXiv:2211.01095; the formula is in
    their code): with p = phi_2(-h) h = 1 - (1 - e^-h)/h and q = phi_3(-h) h = 1/2 - (h - 1 + e^-h)/h^2,

        x_{i+1} = e^-h x_i + (1 - e^-h) D_i + p E + q S,

    where E is h D' at this point, of the parabola through this point and the two before, and S comes from its second divided
    difference, [D_i, D_{i-1}, D_{i-2}] = D''/2. The weight q belongs to h^2 D'':

    curvature  "published": S = h^2 [D_i, D_{i-1}, D_{i-2}], half of what it should be, as in the authors' code and in
               diffusers'. Of order 2. "taylor": S = 2 h^2 [D_i, D_{i-1}, D_{i-2}], a parabola integrated exactly. Of order 3
               but for the first step, of first order, whose error is of second order and negligible if begun at a high level

    The first two steps are of lower order, and so are the last two with `lower_order_final` if there are fewer than 15, the
    last with `euler_at_final`, and always if it goes to 0. `form` is that of the steps of order 2. Raises ConfigError for
    options that are no choice.
    """

    curvature: Literal["published", "taylor"] = "published"
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option(self, "curvature", "published", "taylor")

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio, order = sigmas[1:] / sigmas[:-1], self.orders(sigmas, 3)
        lower = second_order(sigmas, order, self.form, 1.0)
        denoised_weight = torch.nn.functional.pad(lower, (0, 1))
        third = order == 3
        denoised_weight[third] = self.parabola(log_steps(sigmas))[third]
        return StepMap(sigmas, ratio, denoised_weight, torch.zeros_like(ratio))

    def parabola(self, h: Tensor) -> Tensor:
        """Return the weights (N, 3) of the denoised fields of points i, i - 1, i - 2; the first two rows are not to be used."""
        weights = torch.zeros(len(h), 3, dtype=h.dtype)
        near, far, length = h[1:-1] / h[2:], h[:-2] / h[2:], h[2:]
        second = length * phi(3, -length) * (2.0 if self.curvature == "taylor" else 1.0)
        first = length * phi(2, -length)
        # first times E and second times S, in the differences of neighbours, each over the distance of their points
        older = (first * near + second) / (near + far)
        by_near, by_far = (first + older) / near, -older / far
        weights[2:] = torch.stack([-torch.expm1(-length) + by_near, by_far - by_near, -by_far], dim=1)
        return weights


DPMppSDE = alias("dpmpp_sde", DDIM, eta=1.0)
"""SDE-DPM-Solver++ of order 1 (Lu et al. 2022, arXiv:2211.01095): the exact solution of the reverse SDE with D held,

    x_{i+1} = e^-2h x_i + (1 - e^-2h) D_i + sigma_{i+1} sqrt(1 - e^-2h) xi,

which is `DDIM(eta=1)`."""


@register("dpmpp_2m_sde")
@dataclass(frozen=True)
class DPMpp2MSDE(Multistep):
    """SDE-DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095): the reverse SDE with D linear through two points,

        x_{i+1} = e^-2h x_i + (1 - e^-2h) D_i + w (D_i - D_{i-1}) h_i / h_{i-1} + sigma_{i+1} sqrt(1 - e^-2h) xi,

    w = (1 - e^-2h) / 2 for form = "midpoint" and 1 - (1 - e^-2h) / 2h for "heun". Steps of first order as in `DPMpp2M`.
    Raises ConfigError for another form.
    """

    order: ClassVar[int] = 2

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio = sigmas[1:] / sigmas[:-1]
        denoised_weight = second_order(sigmas, self.orders(sigmas, 2), self.form, 2.0)
        return StepMap(sigmas, ratio**2, denoised_weight, sigmas[1:] * ((1 - ratio) * (1 + ratio)).sqrt())
