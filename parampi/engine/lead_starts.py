"""The starts of lead times that the steps of a slice read, in the places of the ends of those before."""

from dataclasses import dataclass

import torch
from torch import Tensor

from parampi.engine.problem import SamplingProblem
from parampi.parallel import Window


@dataclass(frozen=True)
class LeadStarts:
    """Starts of lead times after the first.

    reads   (K, n, m) which steps read one at which tap
    rows    rows and columns (k,) of a window's states where they belong, on the CPU; `places` the same beside the states
    states  (k, *shape)
    """

    reads: Tensor
    rows: tuple[Tensor, Tensor]
    places: tuple[Tensor, Tensor]
    states: Tensor

    @classmethod
    def of(cls, problem: SamplingProblem, steps: Tensor, active: Tensor, window: Window) -> "LeadStarts | None":
        """Return those that steps (n, m) read, where they are active; None for none."""
        if problem.leads is None or not len(steps):
            return None
        count, taps, device = problem.equations.steps, window.taps, window.x.device
        tap = torch.arange(taps).view(-1, 1, 1)
        reads = (steps % count == tap) & (steps >= count) & active
        if not bool(reads.any()):
            return None
        places = sorted({(j + taps - 1 - t, column) for t, j, column in reads.nonzero().tolist()})
        rows, columns = found = torch.tensor(places).T
        points = steps[0, columns] + rows - (taps - 1)
        states = problem.starts(points // count, columns)
        beside = tuple(found.to(device, non_blocking=True))
        return cls(reads.to(device, non_blocking=True), (rows, columns), (beside[0], beside[1]), states)

    def put_into(self, x: Tensor) -> Tensor:
        """Return a copy of a window's states with the starts in their places."""
        x = x.clone()
        x[self.places] = self.states
        return x

    def spread(self, shape: tuple[int, ...]) -> Tensor:
        """Return the starts (n, m, *shape) at the steps of their lead times that read them, 0 elsewhere."""
        rows, columns = self.rows
        taps, device = len(self.reads), self.states.device
        spread = self.states.new_zeros((*shape, *self.states.shape[1:]))
        for tap in range(taps):
            at = rows + tap - (taps - 1)
            inside = ((at >= 0) & (at < shape[0])).nonzero()[:, 0]
            step, column, start = torch.stack([at[inside], columns[inside], inside]).to(device, non_blocking=True)
            spread[step, column] = self.states[start]
        return spread

    def where(self, like: Tensor) -> Tensor:
        """Return which steps read a start at which tap, to go with numbers (K, n, m, ...); or (1, n, m, ...) at the first."""
        return self.reads[: len(like)].view(*self.reads[: len(like)].shape, *(1 for _ in like.shape[3:]))
