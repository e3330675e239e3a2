"""New states in the places of the old ones, and how far from these they are."""

import torch
from torch import Tensor

from parampi.basis.rows import pieces
from parampi.engine.evaluation import DenoisedFields
from parampi.engine.reductions import inner_products
from parampi.engine.slice import Slice
from parampi.parallel import Mode
from parampi.solvers import Iteration, Sweep, linear_correction


class StateUpdate:
    """The end of a sweep on one rank: its new states take the places of the old ones, which are then lost."""

    def __init__(self, slice_: Slice, denoised: DenoisedFields, iteration: Iteration, mode: Mode):
        self.slice, self.denoised, self.iteration, self.mode = slice_, denoised, iteration, mode

    def measured(self, sweep: Sweep, new: Tensor) -> list[Tensor]:
        """Take new states (n, m, *shape), and those that other ranks made. Returns numbers (1, n, m): relative changes of the
        points that the steps read, norms of those of the points made, which tell whether fields are finite, and relative losses
        where there may be any."""
        norms, losses = self.take(sweep, new)
        return [self.relative(norms[None, :-1], self.slice.numbers.scale), norms[None, 1:], *losses]

    def take(self, sweep: Sweep, new: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return norms (n + 1, m) of the changes from the point on that the first step reads, and losses."""
        slice_, taps, parts = self.slice, self.slice.window.taps, pieces(new)
        if len(parts) == 1 or taps > 1 or self.iteration.loses:
            return self.take_at_once(sweep, new)
        states = slice_.window.x
        before, made, norms = states[:1].clone(), states[1:], list[Tensor]()
        for part in parts:
            norms.append(self.norms(new[part] - made[part]))
            made[part] = new[part]
        slice_.exchange_halo()
        return torch.cat([self.norms(states[:1] - before), *norms]), []

    def take_at_once(self, sweep: Sweep, new: Tensor) -> tuple[Tensor, list[Tensor]]:
        slice_, taps, losses = self.slice, self.slice.window.taps, list[Tensor]()
        old = slice_.window.x
        slice_.window.x = torch.cat([old[:taps], new])
        slice_.exchange_halo()
        change = slice_.window.x - old
        if taps > 1:
            self.denoised.correct(self.iteration.response(sweep, slice_.changes_read(change)))
        if self.iteration.loses:
            loss = new - linear_correction(sweep, sweep.slopes, change)
            losses.append(self.relative(self.norms(loss)[None], slice_.numbers.scale_made))
        return self.norms(change[taps - 1 :]), losses

    def norms(self, fields: Tensor) -> Tensor:
        """Return root mean squares (n, m), float64, of fields (n, m, *shape)."""
        total = self.iteration.each(torch.sqrt, inner_products(fields, fields, self.mode))
        mean: Tensor = total / fields[0:1, 0:1].numel() ** 0.5
        return mean

    def relative(self, norms: Tensor, scale: Tensor) -> Tensor:
        """Return norms (1, n, m) on the scale (1, n, m, 1 ... 1) of their points."""
        scales = scale.view(norms.shape).double()
        # positions beyond a member's window have scale 0
        return torch.where(scales > 0, norms / scales, 0.0)
