"""The denoised fields of a slice: which are evaluated, those of points before, and the step map that reads them."""

import numpy as np
import torch
from torch import Tensor

from parampi.basis.rows import pieces
from parampi.engine.noise_cache import NoiseCache
from parampi.engine.problem import FieldBatch
from parampi.engine.slice import Integers, Slice
from parampi.engine.state import EngineState, PointRows
from parampi.parallel import PointRanges, Ranks, Window, halo_points, redistribute


class DenoisedFields:
    """Denoised fields of the last round: `rows` (K - 1 + n, m, *shape), from K - 1 points before the slice's first on.

    `read` are the states (K + n, m, *shape) as the slice's steps read them in this round.
    """

    def __init__(self, slice_: Slice):
        self.slice = slice_
        self.rows = torch.zeros_like(slice_.window.x[1:])
        self.read = slice_.window.x

    def batch(self) -> FieldBatch:
        """Return the fields of the slice that the network evaluates."""
        slice_, taps = self.slice, self.slice.window.taps
        self.read = slice_.read
        x, places = self.read[taps - 1 : -1], slice_.places
        sigmas = slice_.numbers.levels[0].view(slice_.evaluated.shape)
        if slice_.all_evaluated:
            return FieldBatch(x.flatten(0, 1), sigmas.flatten(), places[1])
        return FieldBatch(x[places], sigmas[places], places[1])

    def enter(self, denoised: Tensor) -> None:
        """Take a batch's denoised fields (B, *shape), and those that other ranks have of the points before; 0 where none was
        evaluated."""
        slice_, taps = self.slice, self.slice.window.taps
        window = slice_.window
        if slice_.all_evaluated:
            fresh = denoised.view(window.x[taps:].shape)
        else:
            fresh = torch.zeros_like(window.x[taps:])
            fresh[slice_.places] = denoised
        if taps == 1:
            self.rows = fresh
            return
        rank, active_ranks = slice_.group.rank, window.slices.active_ranks
        rows = torch.cat([self.rows[: taps - 1], fresh])
        if active_ranks > 1:
            begin = window.between(slice_.positions.start + 1 - taps, 0)[0]
            halo = halo_points(window, 1 - taps, 0)
            before = redistribute(slice_.group, rows, begin, owned=window.evaluated_points, needed=halo, count=taps - 1)
            if 0 < rank < active_ranks:
                rows[: taps - 1] = before
        self.rows = rows

    @property
    def fresh(self) -> Tensor:
        """The fields (n, m, *shape) of the slice's own points."""
        return self.rows[self.slice.window.taps - 1 :]

    def forget(self) -> None:
        """Give the memory of the fields back, where nothing reads them any more."""
        if self.slice.window.taps == 1:
            self.rows = self.rows.new_empty((0, *self.rows.shape[1:]))

    def mapped(self, noise: NoiseCache) -> Tensor:
        """Return the step map's values `F_i` (n, m, *shape) of the states and the denoised fields."""
        x, numbers, taps = self.read, self.slice.numbers, self.slice.window.taps
        values = torch.empty_like(x[taps:])
        for part in pieces(values):
            value, steps = values[part], range(len(values))[part]
            for tap in range(taps):
                before = slice(taps - 1 - tap + steps.start, taps - 1 - tap + steps.stop)
                if tap:
                    value += numbers.state[tap, part] * x[before]
                else:
                    torch.mul(numbers.state[0, part], x[before], out=value)
                value += numbers.denoised_weight[tap, part] * self.rows[before]
            if noise.rows is not None:
                value += noise.term(numbers.noise, steps)
        return values

    def correct(self, response: Tensor) -> None:
        """Add what the fields of the slice's own points are assumed to answer to the sweep, where later steps read them."""
        self.rows[self.slice.window.taps - 1 :] += response

    # ------------------------------------------------------------------ when windows slide

    def begin_of(self, window: Window) -> Integers:
        """Return the points (m,) of the first rows in a window."""
        return window.held_points(self.slice.group.rank)[0]

    def slide(self, old: Window) -> None:
        """Keep the fields of the K - 1 frozen points before the windows, on rank 0; all else is 0."""
        new, taps = self.slice.window, old.taps
        if taps == 1:
            return

        def frozen(rank: Ranks) -> PointRanges:
            return new.between(1 - taps, np.where(np.equal(rank, 0), 0, 1 - taps))

        begin = self.begin_of(old)
        owned, count = old.evaluated_points, taps - 1
        self.rows = redistribute(self.slice.group, self.rows, begin, owned=owned, needed=frozen, count=count)

    # ------------------------------------------------------------------ state

    def state(self) -> PointRows:
        """Return the fields of the frozen points before the windows, on rank 0; other ranks have none."""
        count = self.slice.window.taps - 1 if self.slice.group.rank == 0 else 0
        return PointRows(self.rows[:count], self.slice.window.first + 1 - self.slice.window.taps)

    def span(self, first: Integers) -> PointRanges:
        """Return the frozen points before windows that begin at `first`, on rank 0."""
        begin = first + 1 - self.slice.window.taps
        return begin, first if self.slice.group.rank == 0 else begin

    def load(self, state: EngineState) -> None:
        """Take the fields of the frozen points."""
        x, taps = self.slice.window.x, self.slice.window.taps
        self.rows = x.new_zeros((taps - 1, *x.shape[1:]))
        if taps > 1 and self.slice.group.rank == 0:
            self.rows[:] = state.fields["denoised"].first_rows(taps - 1)
