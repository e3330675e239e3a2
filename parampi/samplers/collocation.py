"""Collocation: the probability-flow equation itself, through points on both sides."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers.base import Equations, check_grid, register

ORDERS = (2, 4, 6)


@dataclass(frozen=True)
class CollocationEquations(Equations):
    """Equations of collocation: each integrates the polynomial through `order` denoised fields on both of its sides.

    How the rest of a step is integrated belongs to the solver, whose linear model is part of it: see `Collocation` for the
    equations, and `parampi.solvers.spectral.quadrature` for their weights.
    """

    refusal: ClassVar[str] = (
        "Collocation's steps read points on both sides, which {solver} cannot solve; take the solver Spectral (solver: "
        "{{name: spectral}})"
    )

    order: int = 4


@register("collocation")
@dataclass(frozen=True)
class Collocation:
    """Collocation for the probability-flow equation, exponentially fitted to a Gaussian model of the data.

    With `t = -log sigma` and the model's `L = c / (c + sigma^2)` in each mode, `dx/dt = D - x = (L - 1) x + rho`, where
    `rho = D - L x` is small for data that are nearly Gaussian. Each step integrates the polynomial through `rho` at `order`
    points, as many after as before it where there are, against the exact propagator of the rest,

        x[i+1] = Phi(i+1, i) x[i] + sum_j W[i,j] rho_j,     Phi(b, a) = sqrt((c + sigma_b^2) / (c + sigma_a^2)).

    A point that comes later costs nothing in a sweep over all points, but no sampler that goes from point to point can read it:
    there is no serial run, and no window but that of all points. The error is that of the equation's solution for the noise
    levels given, of this order in the steps of log sigma. Solved by `Spectral`, whose mean and spectrum the model is.

    order  2, 4 or 6; ConfigError for another one, or for fewer points than that
    """

    order: Literal[2, 4, 6] = 4

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ConfigError(f"Collocation's order = {self.order} is not one of 2, 4, 6")

    def steps(self, sigmas: Tensor) -> CollocationEquations:
        sigmas = check_grid(sigmas)
        if len(sigmas) <= self.order:
            raise ConfigError(
                f"Collocation of order {self.order} reads {self.order} points at each step, but there are only "
                f"{len(sigmas) - 1} steps; take more, or a lower order"
            )
        return CollocationEquations(sigmas, self.order)
