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

    Shares vary slowly: they are kept on a grid half as fine, of means over cells of neighbouring points, where the basis has
    one. `beyond` (n, m, *coarse) is the share there, less 1.
    """

    def __init__(self, basis: Basis, enabled: bool = True):
        coarse = basis.halved() if enabled else None
        self.basis, self.grid = basis, coarse or basis
        self.cells = [fine // size for fine, size in zip(basis.shape, self.grid.shape, strict=True)]
        widths = [WIDTH / cell for cell in self.cells[1:]]
        self.average = self.grid.smoothing(widths if coarse else WIDTH) if enabled else None
        self.beyond: Tensor | None = None
        self.points = float(torch.Size(basis.shape).numel())

    @property
    def known(self) -> bool:
        return self.beyond is not None

    def learned(
        self, expected: Tensor, observed: Tensor, square: Tensor, flat: Tensor, disturbed: Tensor | float = 0.0
    ) -> Tensor:
        """Return `beyond` as changes of the denoised fields show it: those that the model predicts, in modes (n, m, M), and
        those observed (n, m, *shape).

        `square` (n, m, 1) is the squared norm of those predicted, `flat` (n, m, 1) what of it is rounding, and `disturbed`
        (n, m, 1) the square of what other causes may have changed.
        """
        number = torch.where(square > flat, (RIDGE * square + disturbed) / self.points, torch.inf)
        weight = number.reshape(*number.shape[:2], *(1 for _ in self.basis.shape)).to(expected.dtype)
        a = self.basis.inverse(expected)
        # stacked within the points, so that a basis works on both at once
        both = torch.stack([self.means(a * observed), self.means(a.mul_(a))], dim=2)
        both = self.averaged(both)
        share, below = both[:, :, 0], both[:, :, 1].clamp_(min=0)
        share = share.add_(weight).div_(below.add_(weight)).clamp_(0, MOST).sub_(1)
        return share.masked_fill_(weight == torch.inf, 0.0)

    def averaged(self, fields: Tensor) -> Tensor:
        """Return Gaussian averages of fields (..., *coarse)."""
        assert self.average is not None
        return self.grid.inverse(self.grid.forward(fields) * self.average.to(fields))

    def means(self, fields: Tensor) -> Tensor:
        """Return the means (n, m, *coarse) over cells of fields (n, m, *shape)."""
        for axis, cell in enumerate(self.cells, start=2):
            if cell == 2:
                parts = in_cells(fields, axis)
                fields = parts.select(axis + 1, 0).add(parts.select(axis + 1, 1)).mul_(0.5)
        return fields

    def scaled(self, fields: Tensor, part: slice = slice(None)) -> Tensor:
        """Multiply the fields (n, m, *shape) of a part of the points by the shares less 1, in place."""
        assert self.beyond is not None
        beyond, last = self.beyond[part], len(self.cells) + 1
        if self.cells[-1] == 2:
            beyond = beyond[..., None].expand(*beyond.shape, 2).flatten(last)
        cells = fields
        for axis in range(last - 1, 1, -1):
            if self.cells[axis - 2] == 2:
                cells, beyond = in_cells(cells, axis), beyond.unsqueeze(axis + 1)
        cells.mul_(beyond)
        return fields

    def extra(self, response: Tensor, part: slice = slice(None)) -> Tensor:
        """Return the response to a change beyond the model's `response` (n, m, M) of a part of the points, in modes."""
        return self.basis.forward(self.scaled(self.basis.inverse(response), part))


def in_cells(fields: Tensor, axis: int) -> Tensor:
    """Return fields whose axis is split into cells of two points."""
    return fields.view(*fields.shape[:axis], fields.shape[axis] // 2, 2, *fields.shape[axis + 1 :])
