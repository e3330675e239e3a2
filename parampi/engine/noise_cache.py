"""The noise of a slice's steps: kept while they stay in it, made from the counters when they enter."""

import numpy as np
import torch
from torch import Tensor

from parampi.engine.slice import Integers, Slice


class NoiseCache:
    """Noise xi of a slice's steps.

    rows  (Q - 1 + n, m, *shape) noise of the steps and of those before; None for deterministic samplers
    span  (2, m) begin and end of the steps whose rows are kept
    """

    def __init__(self, slice_: Slice):
        self.slice = slice_
        equations = slice_.problem.equations
        self.stochastic = bool(equations.stochastic)
        self.before = equations.step_map.noise.shape[1] - 1 if self.stochastic else 0
        self.forget()

    def forget(self) -> None:
        self.rows: Tensor | None = None
        self.span = np.zeros((2, len(self.slice.problem.members)), np.int64)

    def update(self) -> None:
        """Get the noise of the steps that the slice has now."""
        problem, window = self.slice.problem, self.slice.window
        if not self.stochastic:
            return
        count = self.slice.active.sum(0).numpy()
        start = window.first + self.slice.positions.start - self.before
        stop = np.where(count > 0, start + self.before + count, start)
        xi = window.x.new_zeros((len(self.slice.positions) + self.before, *window.x.shape[1:]))
        steps = torch.from_numpy(start) + torch.arange(len(xi))[:, None]
        missing = (steps < torch.from_numpy(stop)) & (steps >= 0)
        self.keep(xi, missing, start, stop)
        if missing.any():
            rows, columns = missing.nonzero(as_tuple=True)
            places = tuple(index.to(xi.device, non_blocking=True) for index in (rows, columns))
            xi[places] = problem.noise(steps[rows, columns], columns)
        self.rows, self.span = xi, np.stack([start, stop])

    def keep(self, xi: Tensor, missing: Tensor, start: Integers, stop: Integers) -> None:
        """Copy the rows that were there before, and mark them as not missing."""
        if self.rows is None:
            return
        begin, end = np.maximum(start, self.span[0]), np.minimum(stop, self.span[1])
        for m in np.flatnonzero(begin < end):
            kept = slice(begin[m] - start[m], end[m] - start[m])
            xi[kept, m] = self.rows[begin[m] - self.span[0, m] : end[m] - self.span[0, m], m]
            missing[kept, m] = False

    def term(self, weights: Tensor, skip: int = 0) -> Tensor | float:
        """Return sum_q weights[q] xi[i - q] (n - skip, m, *shape) of all steps but the first `skip`; weights
        (Q, n, m, 1 ... 1)."""
        if self.rows is None:
            return 0.0
        taps = len(weights)
        total = weights[0, skip:] * self.rows[taps - 1 + skip :]
        for tap in range(1, taps):
            total += weights[tap, skip:] * self.rows[taps - 1 - tap + skip : len(self.rows) - tap]
        return total
