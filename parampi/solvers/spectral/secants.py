"""Secant ratios of the shells' responses: what a sweep has shown of them, point by point."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from parampi.solvers.spectral.model import SpectralModel

DISTURBED = 4.0
"""Weight of the squares of changes of the end before a lead time, which change the network's condition."""
HEIRS = 0.7
"""Weight of ratios that are inherited from the lead time before, relative to the mean of the denominators."""
LARGEST = 1e3
"""Largest factor by which secants may change the model."""
GROWN = 1e9
"""Growth of the square of a residual above which the learned ratios are dropped."""
FLAT = 1e-26
"""Largest squares of changes, relative to those of the states, that are rounding."""


@dataclass
class Seen:
    """Residual and change that a sweep sees, in modes (n, m, M): `defect`, with its squares per shell (n, m, S) and in all
    (n, m, 1), and the change `dd` of the denoised field, 0 for new points; `db` (n, m, *shape) is the same at the points of the
    grid. These two are let go once they are learned from."""

    defect: Tensor
    squares: Tensor
    total: Tensor
    dd: Tensor | None = None
    db: Tensor | None = None


@dataclass(frozen=True)
class Kept:
    """Numbers that points keep of their shells from sweep to sweep: one tensor (n, m, 3 + 3 S), float64, and its parts.

    swept      (n, m, 1) 1 where they were swept before
    heir       (n, m, 1) 1 where they have inherited ratios of the lead time before
    residual   (n, m, 1) square of the last residual
    ratio      (n, m, S) of the learned response to the model's; 0 for new points, which stands for 1, or what they inherit
    disturbed  (n, m, S) squares of what the end before their lead time has changed
    moved      (n, m, S) squares of the last change of the steps' own points
    """

    numbers: Tensor
    shells: int

    def after(self, active: Tensor, residual: Tensor, ratio: Tensor, moved: Tensor) -> Tensor:
        """Return the numbers after a sweep of the points (n, m, 1) that are active."""
        return torch.cat([active, self.heir, residual, ratio, torch.zeros_like(self.disturbed), moved], dim=-1)

    @classmethod
    def nothing(cls, like: Tensor, shells: int) -> Self:
        """Return what points keep that were never swept; `like` (n, m, ...)."""
        return cls(like.new_zeros((*like.shape[:2], 3 + 3 * shells), dtype=torch.float64), shells)

    @property
    def swept(self) -> Tensor:
        return self.numbers[..., 0:1]

    @property
    def heir(self) -> Tensor:
        return self.numbers[..., 1:2]

    @property
    def residual(self) -> Tensor:
        return self.numbers[..., 2:3]

    @property
    def ratio(self) -> Tensor:
        return self.numbers[..., 3 : 3 + self.shells]

    @property
    def disturbed(self) -> Tensor:
        return self.numbers[..., 3 + self.shells : 3 + 2 * self.shells]

    @property
    def moved(self) -> Tensor:
        return self.numbers[..., 3 + 2 * self.shells :]

    def inherit(self, handed_on: Tensor, disturbances: Tensor) -> None:
        """Take ratios (n, m, S) that are handed on, where they are positive, and what ends before have changed."""
        heirs = handed_on > 0
        self.ratio.copy_(torch.where(heirs, handed_on, self.ratio))
        self.heir.copy_(torch.maximum(self.heir, heirs.any(-1, keepdim=True).to(self.numbers)))
        self.disturbed.copy_(disturbances)


def ratio_of(stored: Tensor) -> Tensor:
    """Return ratios (n, m, S) as they are kept, where 0 stands for 1."""
    return torch.where(stored == 0, 1.0, stored)


@dataclass(frozen=True)
class Shown:
    """Evidence of a sweep on responses, per shell (n, m, S) and in all (n, m, 1).

    above     sums of the products of changes of denoised fields and states
    below     sums of the model's response times the squares of changes of states, and in all
    squares   of changes of denoised fields less what inherited ratios say; None where nothing disturbs them
    """

    above: Tensor
    below: Tensor
    total: Tensor
    squares: Tensor | None

    def ratio(self, kept: Kept, inherited: Tensor, freedom: Tensor, *, ridge: float, scale: Tensor) -> Tensor:
        """Return the secant ratios (n, m, S); those `inherited` where nothing has moved. `scale` (n, m, 1) of the points."""
        weight = torch.where(kept.heir > 0, HEIRS, ridge) * self.total * (freedom / freedom.sum())
        if self.squares is not None:
            # what the condition may have changed, but no more than is unexplained
            unexplained = torch.minimum(kept.disturbed, self.squares)
            weight = weight + DISTURBED * unexplained * kept.moved / self.below.clamp(min=1e-300)
        moved = self.below > FLAT * freedom * scale.double() ** 2
        learned = (self.above + weight * inherited).div_(torch.where(moved, self.below + weight, 1.0))
        return torch.where(moved, learned, inherited).clamp_(1 / LARGEST, LARGEST)


def shown(model: SpectralModel, levels: Tensor, dx: Tensor, dd: Tensor, kept: Kept, inherited: Tensor | None) -> Shown:
    """Return what changes dx and dd (n, m, M) of states and denoised fields show; `inherited` ratios where something disturbs
    them. Its `total` is still to be summed."""
    basis = model.basis
    above = basis.shell_sums(dd * dx)
    response = None if model.of_shells is not None else model.response(levels)
    below = model.shell_response(levels) * kept.moved if response is None else basis.shell_sums(response * dx * dx)
    if inherited is None:
        return Shown(above, below, below, None)
    expected = (model.response(levels) if response is None else response) * basis.spread(inherited.to(dx.dtype))
    return Shown(above, below, below, basis.shell_sums((dd - expected * dx) ** 2))
