"""Sweeps by one scan with a linear model of one number per step and tap."""

import torch
from torch import Tensor

from parampi.basis.rows import pieces
from parampi.solvers.sweep import Iteration, Sweep


class LinearSweeps(Iteration):
    """Sweeps by one scan: `x_new[i+1] = F_i(x_old) + sum_l A[i,l] (x_new[i-l] - x_old[i-l])`."""

    def sweep(self, sweep: Sweep) -> Tensor:
        return swept_in_place(sweep, residuals(sweep))


class MeasuredSweeps(LinearSweeps):
    """The same sweeps, which also measure what a `ShareRule` reads."""

    def sweep(self, sweep: Sweep) -> Tensor:
        size = mean_squares(sweep, sweep.denoised)  # first: a sweep gives back the denoised fields' memory
        y = residuals(sweep)
        self.stop_statistics = torch.stack([mean_squares(sweep, y[sweep.taps :]), size])
        return swept_in_place(sweep, y)


def residuals(sweep: Sweep) -> Tensor:
    """Return the residuals `F(x_old) - x_old` of the points made, with room for what comes in: (K + n, m, *shape). The denoised
    fields are given back."""
    mapped = sweep.mapped
    sweep.forget()
    y = torch.empty_like(sweep.x)
    torch.sub(mapped, sweep.old, out=y[sweep.taps :])
    return y


def mean_squares(sweep: Sweep, fields: Tensor) -> Tensor:
    """Return mean squares (n, m), float64, of fields (n, m, *shape)."""
    return sweep.products(fields, fields) / max(fields[0:1, 0:1].numel(), 1)


def swept_in_place(sweep: Sweep, y: Tensor) -> Tensor:
    """Return the new states that the linear model makes of residuals, see `residuals`; in the memory of the step map's values,
    which are lost as the residuals are. Beside those the states are all that is kept of a window meanwhile."""
    new = sweep.mapped
    sweep.scan_in_place(sweep.slopes, y)
    if sweep.taps == 1:
        return new.add_(sweep.before(y, 0).mul_(sweep.slopes[0]))
    for part in pieces(new):
        new[part] += model_of_changes(sweep, sweep.slopes, y, part)
    return new


def linear_correction(sweep: Sweep, slopes: Tensor, y: Tensor) -> Tensor:
    """Return the step map's values, corrected by a linear model for the changes y (K + n, m, *shape) of what the steps read."""
    new = model_of_changes(sweep, slopes, y)
    new += sweep.mapped
    return new


def model_of_changes(sweep: Sweep, slopes: Tensor, y: Tensor, part: slice = slice(None)) -> Tensor:
    """Return what a linear model makes of changes y (K + n, m, *shape) of what steps read, for a part of the n steps."""
    total = slopes[0][part] * sweep.before(y, 0)[part]
    for tap in range(1, sweep.taps):
        total += slopes[tap][part] * sweep.before(y, tap)[part]
    return total
