"""UniPC of order 2: a predictor of two points, and a corrector that uses the evaluation at the predicted state."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from parampi.samplers.base import StepMap, check_grid, register
from parampi.samplers.dpmpp import check_option
from parampi.samplers.exponential import log_steps, phi


@register("unipc")
@dataclass(frozen=True)
class UniPC:
    """Unified predictor-corrector of order 2 in data prediction (Zhao, Bai, Rao, Zhou, Lu 2023, arXiv:2302.04867).

    With h = lambda_{i+1} - lambda_i, predicted states x_i, at which the network is evaluated, and corrected ones xc_i,

        xc_i    = e^-h' xc_{i-1} + C_i(D_i, D_{i-1}, D_{i-2}),             h' the step before,
        x_{i+1} = e^-h xc_i + P_i(D_i, D_{i-1}),

    with P_i and C_i linear. Since x_i = e^-h' xc_{i-1} + P_{i-1}(D_{i-1}, D_{i-2}), the corrected state is x_i + C_i - P_{i-1},
    and predicted states alone make a chain: x_{i+1} = e^-h (x_i + C_i - P_{i-1}) + P_i. One evaluation per step.

    variant            B(h) of the paper: "bh1" is h, "bh2" is e^h - 1
    lower_order_final  the last step is of first order, as it always is if it goes to 0
    corrector          False for the predictor alone, UniP-2

    The first step is of first order. Of order 3 with the corrector but for a last step of first order, whose small error is of
    order 2. Raises ConfigError for another variant.
    """

    variant: Literal["bh1", "bh2"] = "bh2"
    lower_order_final: bool = True
    corrector: bool = True
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_option(self, "variant", "bh1", "bh2")

    def steps(self, sigmas: Tensor) -> StepMap:
        sigmas = check_grid(sigmas)
        ratio, h = sigmas[1:] / sigmas[:-1], log_steps(sigmas)
        second = torch.ones(len(h), dtype=torch.bool)
        second[0] = False
        if self.lower_order_final or sigmas[-1] == 0:
            second[-1] = False
        denoised_weight = self.predict(h, second)
        if self.corrector:
            change = self.correct(h, second) - shifted(denoised_weight)[:-1]
            denoised_weight = denoised_weight + torch.nn.functional.pad(ratio[1:, None] * change, (0, 0, 1, 0))
        return StepMap(sigmas, ratio, denoised_weight, torch.zeros_like(ratio))

    def scale(self, h: Tensor) -> Tensor:
        """Return B(-h): data prediction is integrated backwards."""
        return -h if self.variant == "bh1" else torch.expm1(-h)

    def predict(self, h: Tensor, second: Tensor) -> Tensor:
        """Return the weights P (N, 3) of D_i, D_{i-1}, D_{i-2} in x_{i+1}; of order 2 where `second`."""
        slope = torch.zeros_like(h)
        slope[1:] = -self.scale(h)[1:] / 2 * h[1:] / h[:-1]
        slope = torch.where(second, slope, 0.0)
        return torch.stack([slope - torch.expm1(-h), -slope, torch.zeros_like(h)], dim=1)

    def correct(self, h: Tensor, second: Tensor) -> Tensor:
        """Return the weights C (N - 1, 3) of D_i, D_{i-1}, D_{i-2} in the corrected states 1 ... N - 1; `second` is of the step
        to them.

        Of order 2 with rho_near + rho_far = -h phi_2(-h) and rho_near + far rho_far = -2 h phi_3(-h), far = -h_{i-2} / h_{i-1}.
        """
        h, second = h[:-1], second[:-1]
        far = -h.roll(1) / h  # that of the first step is not used
        once, twice = -h * phi(2, -h), -2 * h * phi(3, -h)
        rho_far = torch.where(second, (once - twice) / (1 - far), 0.0)
        near = torch.where(second, once - rho_far, self.scale(h) / 2)
        older = rho_far / far
        return torch.stack([-near, near + older - torch.expm1(-h), -older], dim=1)


def shifted(weights: Tensor) -> Tensor:
    """Return weights of (D_i, D_{i-1}, D_{i-2}) as weights of the next step's (D_{i+1}, D_i, D_{i-1}); the last is 0 before."""
    return torch.nn.functional.pad(weights[:, :-1], (1, 0))
