"""DPM-Solver++: multistep solvers of order 2 and 3, the singlestep solver of order 2, and the solvers of the reverse SDE.

With lambda = -log sigma and h_i = lambda_{i+1} - lambda_i, the exact solution of the probability-flow equation over a step is

    x_{i+1} = e^-h x_i + integral_0^h e^(s-h) D(lambda_i + s) ds,

and the solvers take for D a polynomial through denoised fields that are known (Lu, Zhou, Bao, Chen, Li, Zhu 2022,
arXiv:2211.01095). A last step to sigma = 0, where h is infinite, is of first order: x = D.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, check_grid, register
from parampi.samplers.ddim import DDIM

FEW = 15
"""Steps below which `lower_order_final` counts."""
Form = Literal["midpoint", "heun"]


def check_form(sampler: object, form: str) -> None:
    if form not in ("midpoint", "heun"):
        raise ConfigError(f"{type(sampler).__name__}'s form = {form!r} is not one of 'midpoint', 'heun'")


def linear_weight(form: str, h: float, rate: float = 1.0) -> float:
    """Weight of the slope of D over a step, in units of h: `1 - (1 - e^-(rate h)) / (rate h)` for "heun", which is exact for a
    D linear in lambda, and `(1 - e^-(rate h)) / 2` for "midpoint"."""
    full = float(-torch.expm1(torch.tensor(-rate * h, dtype=torch.float64)))
    return full / 2 if form == "midpoint" else 1 - full / (rate * h)


def orders(count: int, most: int, sigmas: Tensor, lower_order_final: bool) -> list[int]:
    """The order of every step of a multistep solver: it grows from 1, and is lower towards the end where asked for."""
    found = [min(i + 1, most) for i in range(count)]
    if lower_order_final and count < FEW:
        found = [min(order, count - i) for i, order in enumerate(found)]
    if sigmas[-1] == 0:
        found[-1] = 1
    return found


@register("dpmpp_2m")
@dataclass(frozen=True)
class DPMpp2M:
    """DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095, algorithm 2): D linear through this point and the one before,

        x_{i+1} = e^-h x_i + (1 - e^-h) D_i + w (D_i - D_{i-1}) h_i / h_{i-1},

    with w = (1 - e^-h) / 2 for form = "midpoint" and 1 - (1 - e^-h) / h for "heun". The first step is of first order, and with
    `lower_order_final` the last one too if there are fewer than 15 (always if it goes to 0).
    """

    form: Form = "midpoint"
    lower_order_final: bool = True
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_form(self, self.form)

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio, h = sigmas[1:] / sigmas[:-1], -sigmas.log().diff()
        drift = torch.zeros(len(h), 2, dtype=torch.float64)
        drift[:, 0] = 1 - ratio
        for i, order in enumerate(orders(len(h), 2, sigmas, self.lower_order_final)):
            if order == 2:
                weight = linear_weight(self.form, float(h[i])) * h[i] / h[i - 1]
                drift[i] += torch.stack([weight, -weight])
        return StepMap(sigmas, ratio, drift, torch.zeros_like(ratio))


@register("dpmpp_3m")
@dataclass(frozen=True)
class DPMpp3M:
    """DPM-Solver++ of order 3, multistep (Lu et al. 2022, arXiv:2211.01095): D a parabola through this point and two before,

        x_{i+1} = e^-h x_i + (1 - e^-h) D_i + (1 - (1 - e^-h)/h) E + (1/2 - (h - 1 + e^-h)/h^2) S,

    with E and S the differences h D' and h^2 D''/2 at this point. The first two steps are of lower order, and with
    `lower_order_final` the last two if there are fewer than 15 (the last always if it goes to 0). The first step, of first
    order, leaves an error of second order: that is the `order` of the whole.
    """

    lower_order_final: bool = True
    order: ClassVar[int] = 2

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio, h = sigmas[1:] / sigmas[:-1], -sigmas.log().diff()
        drift = torch.zeros(len(h), 3, dtype=torch.float64)
        drift[:, 0] = 1 - ratio
        for i, order in enumerate(orders(len(h), 3, sigmas, self.lower_order_final)):
            if order > 1:
                first = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64) * h[i] / h[i - 1]
                drift[i] += parabola(h, i, first) if order == 3 else linear_weight("midpoint", float(h[i])) * first
        return StepMap(sigmas, ratio, drift, torch.zeros_like(ratio))


def parabola(h: Tensor, i: int, first: Tensor) -> Tensor:
    """Weights (3,) of the denoised fields of points i, i - 1, i - 2 beyond the first order."""
    near, far = h[i - 1] / h[i], h[i - 2] / h[i]
    second = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64) / far
    slope = first + near / (near + far) * (first - second)
    curvature = (first - second) / (near + far)
    full = -torch.expm1(-h[i])
    weights: Tensor = (1 - full / h[i]) * slope + (0.5 - (h[i] - full) / h[i] ** 2) * curvature
    return weights


@register("dpmpp_2s")
@dataclass(frozen=True)
class DPMpp2S:
    """DPM-Solver++ 2S (Lu et al. 2022, arXiv:2211.01095, algorithm 1): a first-order step to a stage u between two points, then
    D linear through both,

        u = (sigma_u / sigma_i) x_i + (1 - sigma_u / sigma_i) D_i,
        x_{i+1} = e^-h x_i + (1 - e^-h) D_i + w (D_u - D_i) h / (lambda_u - lambda_i),

    w as in `DPMpp2M`. The stage is a point of its own.

    stages  "midpoint": one in the middle, in log sigma, of every step between levels of the grid. "grid": every other level
            of the grid is a stage, so that a grid of N steps costs N evaluations; a step that is left over is of first order,
            and so are the last two of an even number

    A step to 0 is of first order.
    """

    form: Form = "midpoint"
    stages: Literal["midpoint", "grid"] = "midpoint"
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_form(self, self.form)
        if self.stages not in ("midpoint", "grid"):
            raise ConfigError(f"DPMpp2S's stages = {self.stages!r} is not one of 'midpoint', 'grid'")

    def steps(self, sigmas: Tensor) -> StepMap:
        levels, stage = self.points(check_grid(sigmas))
        count = len(levels) - 1
        state, drift = torch.zeros(count, 2, dtype=torch.float64), torch.zeros(count, 2, dtype=torch.float64)
        for i in range(count):
            if not stage[i]:
                ratio = levels[i + 1] / levels[i]
                state[i, 0], drift[i, 0] = ratio, 1 - ratio
                continue
            ratio, h = levels[i + 1] / levels[i - 1], float((levels[i - 1] / levels[i + 1]).log())
            weight = linear_weight(self.form, h) * h / float((levels[i - 1] / levels[i]).log())
            state[i, 1], drift[i, 0], drift[i, 1] = ratio, weight, 1 - ratio - weight
        return StepMap(levels, state, drift, torch.zeros(count, dtype=torch.float64))

    def points(self, sigmas: Tensor) -> tuple[Tensor, list[bool]]:
        """The levels of all points, and which of them are stages."""
        if self.stages == "grid":
            pairs = (len(sigmas) - 2) // 2
            stage = [False, True] * pairs
            return sigmas, stage + [False] * (len(sigmas) - len(stage))
        levels, stage = [], []
        for here, there in pairwise(sigmas):
            middle = [(here * there).sqrt()] if there > 0 else []
            levels += [here, *middle]
            stage += [False, *(True for _ in middle)]
        return torch.stack([*levels, sigmas[-1]]), [*stage, False]


@register("dpmpp_sde")
@dataclass(frozen=True)
class DPMppSDE(DDIM):
    """SDE-DPM-Solver++ of order 1 (Lu et al. 2022, arXiv:2211.01095): the exact solution of the reverse SDE with D held,

        x_{i+1} = e^-2h x_i + (1 - e^-2h) D_i + sigma_{i+1} sqrt(1 - e^-2h) xi,

    which is DDPM: `DDIM(eta=1)`.
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        if self.eta != 1:
            raise ConfigError(f"eta = {self.eta}; dpmpp_sde is the case eta = 1, take ddim for others")


@register("dpmpp_2m_sde")
@dataclass(frozen=True)
class DPMpp2MSDE:
    """SDE-DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095): the reverse SDE with D linear through two points,

        x_{i+1} = e^-2h x_i + (1 - e^-2h) D_i + w (D_i - D_{i-1}) h_i / h_{i-1} + sigma_{i+1} sqrt(1 - e^-2h) xi,

    w = (1 - e^-2h) / 2 for form = "midpoint" and 1 - (1 - e^-2h) / 2h for "heun". Steps of first order as in `DPMpp2M`.
    """

    form: Form = "midpoint"
    lower_order_final: bool = True
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_form(self, self.form)

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio, h = sigmas[1:] / sigmas[:-1], -sigmas.log().diff()
        drift = torch.zeros(len(h), 2, dtype=torch.float64)
        drift[:, 0] = (1 - ratio) * (1 + ratio)
        noise = sigmas[1:] * drift[:, 0].sqrt()
        for i, order in enumerate(orders(len(h), 2, sigmas, self.lower_order_final)):
            if order == 2:
                weight = linear_weight(self.form, float(h[i]), 2.0) * h[i] / h[i - 1]
                drift[i] += torch.stack([weight, -weight])
        return StepMap(sigmas, ratio**2, drift, noise)
