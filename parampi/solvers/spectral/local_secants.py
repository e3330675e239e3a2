"""Secants point by point of the grid: where in a field the denoiser responds more, and where less, than the model predicts."""

import torch
from torch import Tensor

from parampi.basis import Basis

WIDTH = 2.0
"""Standard deviation of the average over neighbouring points, in points of the grid."""
RIDGE = 0.05
"""Weight of the model, relative to the mean square of the field."""
MOST = 2.0
"""Largest ratio of a local response to the model's."""


class LocalSecants:
    """Ratios of a network's response to the model's, place by place of a field.

    A network's response to a change is strong where a structure is being decided and weak where it stands. With `a` the change
    of the denoised field that the model of the modes predicts from the last change of a state, and `b` the one observed,

        share = (<a b> + w) / (<a a> + w),        <.> a Gaussian average over neighbouring points of the grid

    is the ratio at each place. w is a share of the field's mean of `a a`, so that the model counts where nothing has moved. A
    response that the model predicts as `v` is `share v`. `enabled` is False for a model of the modes alone.
    """

    def __init__(self, basis: Basis, enabled: bool = True):
        self.basis, self.average = basis, basis.smoothing(WIDTH) if enabled else None
        self.beyond: Tensor | None = None
        self.points = float(torch.Size(basis.shape).numel())

    @property
    def known(self) -> bool:
        return self.beyond is not None

    def learn(self, expected: Tensor, observed: Tensor, square: Tensor, flat: Tensor, disturbed: Tensor | float = 0.0) -> None:
        """Learn from changes (n, m, M) of the denoised fields, in modes: those that the model predicts, and those observed.

        `square` (n, m, 1) is the squared norm of those predicted, `flat` (n, m, 1) what of it is rounding, and `disturbed`
        (n, m, 1) the square of what other causes may have changed.
        """
        basis = self.basis
        weight = self.fieldwise(torch.where(square > flat, (RIDGE * square + disturbed) / self.points, torch.inf)).to(
            expected.dtype
        )
        a, b = basis.inverse(expected), basis.inverse(observed)
        share = (self.averaged(a * b) + weight) / (self.averaged(a * a).clamp(min=0) + weight)
        self.beyond = torch.where(weight < torch.inf, share.clamp(0, MOST) - 1, 0.0)

    def averaged(self, fields: Tensor) -> Tensor:
        assert self.average is not None
        return self.basis.inverse(self.basis.forward(fields) * self.average.to(fields))

    def fieldwise(self, numbers: Tensor) -> Tensor:
        """Return (n, m, 1 ... 1) of (n, m, 1)."""
        return numbers.reshape(*numbers.shape[:2], *(1 for _ in self.basis.shape))

    def extra(self, response: Tensor) -> Tensor:
        """Return the response to a change beyond the model's `response` (n, m, M), in modes."""
        assert self.beyond is not None
        return self.basis.forward(self.beyond * self.basis.inverse(response))
