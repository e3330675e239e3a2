"""UniPC of order 2: a predictor of two points, and a corrector that uses the evaluation at the predicted state."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import StepMap, check_grid, register


@register("unipc")
@dataclass(frozen=True)
class UniPC:
    """Unified predictor-corrector of order 2 in data prediction (Zhao, Bai, Rao, Zhou, Lu 2023, arXiv:2302.04867).

    With h = lambda_{i+1} - lambda_i, predicted states x_i, at which the network is evaluated, and corrected ones xc_i,

        xc_i    = e^-h' xc_{i-1} + C(D_{i-2}, D_{i-1}, D_i),             h' the step before,
        x_{i+1} = e^-h xc_i + P(D_{i-1}, D_i),

    with P and C linear. Since x_i = e^-h' xc_{i-1} + P'(D_{i-2}, D_{i-1}), the corrected state is x_i + C - P', and predicted
    states alone make a chain: x_{i+1} = e^-h (x_i + C - P') + P. One evaluation per step.

    variant            "bh1": B(h) = h, or "bh2": B(h) = e^h - 1, as published
    lower_order_final  the last step is of first order if it goes to 0, and with fewer than 15 steps where this is set
    """

    variant: Literal["bh1", "bh2"] = "bh2"
    lower_order_final: bool = True
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.variant not in ("bh1", "bh2"):
            raise ConfigError(f"UniPC's variant = {self.variant!r} is not one of 'bh1', 'bh2'")

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio, h = sigmas[1:] / sigmas[:-1], -sigmas.log().diff()
        count = len(h)
        orders = [min(i + 1, 2) for i in range(count)]
        if self.lower_order_final or sigmas[-1] == 0:
            orders[-1] = 1
        drift = torch.stack([self.predictor(h, i, orders[i]) for i in range(count)])
        for i in range(1, count):
            before = self.predictor(h, i - 1, orders[i - 1]).roll(1)
            drift[i] += ratio[i] * (self.corrector(h, i, orders[i - 1]) - before)
        return StepMap(sigmas, ratio, drift, torch.zeros_like(ratio))

    def scale(self, h: Tensor) -> Tensor:
        """B, for data prediction: of -h."""
        return -h if self.variant == "bh1" else torch.expm1(-h)

    def predictor(self, h: Tensor, i: int, order: int) -> Tensor:
        """Weights (3,) of D_i, D_{i-1}, D_{i-2} in x_{i+1}, from the corrected state i."""
        weights = torch.zeros(3, dtype=torch.float64)
        weights[0] = -torch.expm1(-h[i])
        if order == 2:
            slope = self.scale(h[i]) * 0.5 * h[i] / h[i - 1]
            weights[0] -= slope
            weights[1] += slope
        return weights

    def corrector(self, h: Tensor, i: int, order: int) -> Tensor:
        """Weights (3,) of D_i, D_{i-1}, D_{i-2} in the corrected state i, from the corrected state i - 1."""
        step = h[i - 1]
        scale, full = self.scale(step), torch.expm1(-step)
        weights = torch.zeros(3, dtype=torch.float64)
        weights[1] = -full
        if order == 1:
            weights += -scale * 0.5 * torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
            return weights
        far = -h[i - 2] / step
        first = (full / -step - 1) / scale
        second = 2 * ((full / -step - 1) / -step - 0.5) / scale
        # rho_far + rho_near = first, far rho_far + rho_near = second
        rho_far = (first - second) / (1 - far)
        rho_near = first - rho_far
        weights += -scale * rho_near * torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
        weights += -scale * rho_far / far * torch.tensor([0.0, -1.0, 1.0], dtype=torch.float64)
        return weights
