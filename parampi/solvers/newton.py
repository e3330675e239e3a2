"""Newton's method for the whole trajectory, with the denoiser's own derivative as the linear model."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers import Equations
from parampi.solvers.base import Solver, check_choices, register
from parampi.solvers.linear_sweeps import linear_correction
from parampi.solvers.sweep import Iteration, Sweep

LARGEST = 4096
"""Largest field, in numbers, for which the full Jacobian is formed."""


@register("newton")
@dataclass(frozen=True)
class Newton(Solver):
    """Sweeps with the steps' own Jacobians, `A[i,l] = state[i,l] + denoised_weight[i,l] dD/dx(x_old[i-l])`, by forward-mode
    products (DEER: Lim, Zhu, Selfridge, Kasim 2023, arXiv:2309.12252; quasi-DEER: Gonzalez, Warrington, Smith, Linderman 2024,
    arXiv:2407.19115). A reference: it shows how many rounds the nonlinearity needs where the linear model is perfect.

    jacobian  "diagonal": the diagonal of dD/dx, estimated as the mean of `v * (dD/dx v)` over `probes` vectors v of signs
              (Bekas, Kokiopoulou, Saad 2007), which is exact where dD/dx is diagonal; "exact": all of it, one product per
              number of the field (at most 4096), and ranks scan one after the other
    probes    products per point and sweep for "diagonal"

    Products are network evaluations and are counted as such. The diagonal is clamped to [0, 1], where that of exact denoisers
    of log-concave data lies: an estimate beyond would make the scan grow. Raises ConfigError for options or fields that are
    out of range.
    """

    jacobian: Literal["diagonal", "exact"] = "diagonal"
    probes: int = 1

    def __post_init__(self) -> None:
        check_choices(self, {"jacobian": ("diagonal", "exact")})
        if self.probes < 1:
            raise ConfigError(f"Newton's probes = {self.probes}; take at least one derivative per point")

    def check(self, equations: Equations, shape: tuple[int, ...], window: int | None = None) -> None:
        size = math.prod(shape)
        if self.jacobian == "exact" and size > LARGEST:
            raise ConfigError(
                f"Newton's exact Jacobian of fields of {size} numbers has {size}^2 entries per point; take jacobian: diagonal, "
                f"or fields of at most {LARGEST} numbers"
            )

    def iteration(self, equations: Equations, sigma_data: float) -> Iteration:
        return ExactNewton() if self.jacobian == "exact" else DiagonalNewton(self.probes)


class DiagonalNewton(Iteration):
    """Newton sweeps with the diagonal of dD/dx, one number per point of the field."""

    def __init__(self, probes: int):
        super().__init__()
        self.probes = probes

    def derivatives_per_point(self, shape: tuple[int, ...]) -> int:
        return self.probes

    def sweep(self, sweep: Sweep) -> Tensor:
        diagonal = torch.zeros_like(sweep.mapped)
        for probe in range(self.probes):
            direction = signs(probe, sweep.mapped)
            diagonal += direction * directional_derivatives(sweep, direction)
        diagonal = (diagonal / self.probes).clamp(0, 1)
        taps = range(sweep.taps)
        slopes = torch.stack([sweep.state[t] + sweep.denoised_weight[t] * earlier(sweep, diagonal, t) for t in taps])
        return linear_correction(sweep, slopes, sweep.scan(slopes, sweep.mapped - sweep.old))


class ExactNewton(Iteration):
    """Newton sweeps with all of dD/dx, one matrix per point."""

    def derivatives_per_point(self, shape: tuple[int, ...]) -> int:
        return math.prod(shape)

    def sweep(self, sweep: Sweep) -> Tensor:
        taps = range(sweep.taps)
        matrices = jacobians(sweep)
        read = [earlier(sweep, matrices, tap) for tap in taps]

        def linear(j: int, y: Tensor) -> Tensor:
            """Return the change (m, *shape) that step j makes of changes (K, m, *shape) of the states it reads."""
            total = torch.zeros_like(y[-1])
            for tap in taps:
                change = y[-1 - tap]
                product = self.each(torch.matmul, read[tap][j][None], change.flatten(1)[None, ..., None]).view(change.shape)
                total += sweep.state[tap, j] * change + sweep.denoised_weight[tap, j] * product
            return total

        y = sweep.operators(linear, sweep.mapped - sweep.old)
        for j in range(len(sweep.mapped)):
            sweep.mapped[j] += linear(j, y[j : j + sweep.taps])
        return sweep.mapped


def earlier(sweep: Sweep, rows: Tensor, tap: int) -> Tensor:
    """Return the rows (n, m, ...) at the points that the steps read at a tap, from those at the steps' own points."""
    return sweep.lagged(rows, tap) if tap else rows


def jacobians(sweep: Sweep) -> Tensor:
    """Return dD/dx (n, m, d, d) at the points evaluated, 0 elsewhere, column by column."""
    shape, size = sweep.mapped.shape, sweep.mapped[0:1, 0:1].numel()
    matrices = sweep.mapped.new_zeros((*shape[:2], size, size))
    for column in range(size):
        direction = sweep.mapped.new_zeros((*shape[:2], size))
        direction[..., column] = 1
        matrices[..., column] = directional_derivatives(sweep, direction.view(shape)).flatten(2)
    return matrices


def signs(probe: int, like: Tensor) -> Tensor:
    """Return a field of +1 and -1, the same for all points and members and for any ranks, expanded to rows (n, m, *shape)."""
    generator = torch.Generator().manual_seed(probe)
    field = 2 * torch.randint(0, 2, like.shape[2:], generator=generator) - 1
    return field.to(like, non_blocking=True).expand_as(like)


def directional_derivatives(sweep: Sweep, directions: Tensor) -> Tensor:
    """Return dD/dx v (n, m, *shape) at the points evaluated, 0 elsewhere, for directions v (n, m, *shape)."""
    result, places = torch.zeros_like(sweep.mapped), sweep.places
    if len(places[0]):
        x, sigmas = sweep.before(sweep.x, 0)[places], sweep.sigmas.view(sweep.steps.shape)[places]
        result[places] = sweep.derivative(x, sigmas, directions[places])
    return result
