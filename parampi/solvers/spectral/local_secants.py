"""Secants point by point of the grid: where in a field the denoiser answers more, and where less, than the model says."""

import torch
from torch import Tensor

from parampi.basis import Basis

WIDTH = 2.0
"""Of the average over neighbouring points of the grid, its standard deviation."""
RIDGE = 0.05
"""Weight, relative to the mean over the field, of what the model says."""
MOST = 2.0
"""Of a share of what the model says."""


class LocalSecants:
    """A network's answer to a change differs from place to place: it is strong where a structure is being decided and weak
    where it stands. With `a` what the model of the modes makes of the last change of a state and `b` what came of it, fields
    both,

        share = (<a b> + w) / (<a a> + w),        <.> a Gaussian average over neighbouring points of the grid

    says how much of the model's answer each place gives. w is a share of the field's mean of `a a`, so that places where
    nothing has moved are left to the model. The answer to a change that the model takes for `v` is `share v`.
    """

    def __init__(self, basis: Basis, wanted: bool = True):
        self.basis, self.average = basis, basis.smoothing(WIDTH) if wanted else None
        self.beyond: Tensor | None = None
        self.points = float(torch.Size(basis.shape).numel())

    @property
    def known(self) -> bool:
        return self.beyond is not None

    def learn(self, expected: Tensor, found: Tensor, flat: Tensor) -> None:
        """From changes (n, m, M) of the denoised fields, in modes: those the model expected, and those found. `flat` (n, m, 1):
        squares that are rounding."""
        if self.average is None:
            return
        basis = self.basis
        square = basis.shell_sums(expected**2).sum(-1, keepdim=True)
        weight = self.fieldwise(torch.where(square > flat, RIDGE * square / self.points, torch.inf)).to(expected.dtype)
        a, b = basis.inverse(expected), basis.inverse(found)
        share = (self.averaged(a * b) + weight) / (self.averaged(a * a).clamp(min=0) + weight)
        self.beyond = torch.where(weight < torch.inf, share.clamp(0, MOST) - 1, 0.0)

    def averaged(self, fields: Tensor) -> Tensor:
        assert self.average is not None
        return self.basis.inverse(self.basis.forward(fields) * self.average.to(fields))

    def fieldwise(self, numbers: Tensor) -> Tensor:
        """(n, m, 1 ... 1) of (n, m, 1)."""
        return numbers.reshape(*numbers.shape[:2], *(1 for _ in self.basis.shape))

    def extra(self, answer: Tensor) -> Tensor:
        """What the answer to a change has beyond the model's `answer` (n, m, M), in modes."""
        assert self.beyond is not None
        return self.basis.forward(self.beyond * self.basis.inverse(answer))
