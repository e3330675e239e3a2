"""The noise of a slice's steps: kept while they stay in it, made from the counters when they enter."""

import numpy as np
import torch
from torch import Tensor

from parampi.basis.rows import pieces
from parampi.engine.slice import Integers, Slice
from parampi.parallel import rows_at


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
        shape = (len(self.slice.positions) + self.before, *window.x.shape[1:])
        steps = torch.from_numpy(start) + torch.arange(shape[0])[:, None]
        missing = (steps < torch.from_numpy(stop)) & (steps >= 0)
        xi = self.keep(shape, missing, start, stop)
        if missing.any():
            for part in pieces(xi):
                rows, columns = missing[part].nonzero(as_tuple=True)
                places = tuple(index.to(xi.device, non_blocking=True) for index in (rows, columns))
                if len(rows):
                    xi[part][places] = problem.noise(steps[part][rows, columns], columns)
        self.rows, self.span = xi, np.stack([start, stop])

    def keep(self, shape: tuple[int, ...], missing: Tensor, start: Integers, stop: Integers) -> Tensor:
        """Return rows of a shape with those that were there before, which are marked as not missing; 0 elsewhere."""
        if self.rows is None:
            return self.slice.window.x.new_zeros(shape)
        begin, end = np.maximum(start, self.span[0]), np.minimum(stop, self.span[1])
        own = [(m, int(begin[m]), int(end[m])) for m in np.flatnonzero(begin < end).tolist()]
        for m, first, last in own:
            missing[first - start[m] : last - start[m], m] = False
        return rows_at(self.rows, self.span[0], start, own, shape[0], reuse=True)

    def term(self, weights: Tensor, steps: range) -> Tensor:
        """Return sum_q weights[q] xi[i - q] of some steps, (len(steps), m, *shape); weights (Q, n, m, 1 ... 1)."""
        assert self.rows is not None
        taps = len(weights)
        total: Tensor | None = None
        for tap in range(taps):
            shift = taps - 1 - tap
            part = weights[tap, steps.start : steps.stop] * self.rows[steps.start + shift : steps.stop + shift]
            total = part if total is None else total.add_(part)
        assert total is not None
        return total
