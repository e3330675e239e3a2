"""One rank's slice of the windows: where it lies, its states, and how rows of points come and go when windows slide."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.coefficients import Coefficients
from parampi.engine.lead_starts import LeadStarts
from parampi.engine.problem import SamplingProblem
from parampi.engine.state import EngineState, PointRows
from parampi.engine.window_reach import WindowReach
from parampi.parallel import Group, PointRanges, Ranks, Slices, Window, exchange_halo, move, redistribute, redistribute_all

Integers = NDArray[np.int64]


class Slice:
    """One rank's part of its group's windows. `slide` moves all of them at once.

    In a roll-out a window reaches over the ends of lead times. The row of a point where one ends is the state of that end; the
    step that goes on from it reads the start of the next lead time, which is noise and does not change (`starts`).

    window     states, see `parampi.parallel.Window`
    lengths    points (m,) that each member's window sweeps; 0 for members that are finished
    positions  of the window that this rank has
    steps      indices (n, m) of the slice's steps, on the CPU; those at or beyond the chain's end belong to no window
    lead_steps the same within their lead times, as solvers number them; the chain's last one at and beyond its end
    numbers    coefficients (taps, n, m, 1 ... 1) of the slice's steps
    active     (n, m) which of these belong to a window, on the CPU: members' windows differ in length
    evaluated  (n, m) at which of the steps' own points the network is called, on the CPU
    all_active, all_evaluated  whether they all are
    places     rows and columns (k,) of these, beside the states, where an index is no reason to wait for a GPU
    starts     the starts of lead times after the first that the slice's steps read
    """

    def __init__(self, problem: SamplingProblem, coefficients: Coefficients, group: Group, reach: WindowReach):
        self.problem, self.coefficients, self.group, self.reach = problem, coefficients, group, reach
        self.reads_network = problem.equations.evaluated.numpy()
        taps, x = problem.equations.taps, problem.start()[None]
        x = torch.cat([torch.zeros_like(x).expand(taps - 1, *x.shape[1:]), x])
        self.set_window(Window(np.zeros(len(problem.members), np.int64), Slices(0, group.size), x, taps))

    # ------------------------------------------------------------------ geometry

    def lengths_at(self, first: Integers) -> Integers:
        return self.reach.lengths(first)

    def slices_at(self, first: Integers) -> Slices:
        """Return how windows that begin at `first` are shared out."""
        return Slices(int(self.lengths_at(first).max(initial=0)), self.group.size)

    def slide(self, first: Integers) -> Window:
        """Let the windows begin at `first`, and return the old ones; states of points that are new are 0."""
        old = self.window
        self.set_window(move(self.group, old, first, self.slices_at(first)))
        return old

    def set_window(self, window: Window) -> None:
        """Take a window, and gather the coefficients of its steps."""
        self.window, self.positions = window, window.slices.of(self.group.rank)
        self.lengths = self.lengths_at(window.first)
        # on the host by NumPy, which is quicker with few numbers
        position = np.arange(self.positions.start, self.positions.stop)[:, None]
        steps, active = position + window.first, position < self.lengths
        lead_steps = np.minimum(steps, self.reach.chain - 1) % self.reach.steps
        evaluated = active & self.reads_network[steps % len(self.reads_network)]
        self.all_active, self.all_evaluated = bool(active.all()), bool(evaluated.all())
        self.steps, self.active = torch.from_numpy(steps), torch.from_numpy(active)
        self.lead_steps, self.evaluated = torch.from_numpy(lead_steps), torch.from_numpy(evaluated)
        self.numbers = self.coefficients.at(steps, None if self.all_active else self.active, window.x)
        rows, columns = evaluated.nonzero()
        places = torch.from_numpy(np.stack([rows, columns])).to(window.x.device, non_blocking=True)
        self.places = places[0], places[1]
        self.starts = LeadStarts.of(self.problem, self.steps, self.active, window)

    @property
    def scaled(self) -> Tensor:
        """`active` (n, m) beside the states: elsewhere the scale is 0."""
        return self.numbers.scale.view(self.active.shape) > 0

    @property
    def read(self) -> Tensor:
        """States (K + n, m, *shape) as the slice's steps read them: in the places of ends, the starts of lead times."""
        return self.window.x if self.starts is None else self.starts.put_into(self.window.x)

    def unless_start(self, numbers: Tensor) -> Tensor:
        """Return numbers (K, n, m, ...) of the points that steps read, 0 for starts of lead times: these do not change."""
        return numbers if self.starts is None else numbers.masked_fill(self.starts.where(numbers), 0.0)

    @property
    def moves(self) -> Tensor | None:
        """Where (n, m, 1) steps belong to a window and their own points change; None for everywhere."""
        if self.starts is None:
            return None if self.all_active else self.scaled[..., None]
        return (self.scaled & ~self.starts.reads[0])[..., None]

    def changes_read(self, change: Tensor) -> Tensor:
        """Return the changes (n, m, *shape) of the steps' own points, of the changes of all rows."""
        own = change[self.window.taps - 1 : -1]
        return own if self.starts is None else own.masked_fill(self.starts.where(own[None])[0], 0.0)

    # ------------------------------------------------------------------ rows of other ranks

    def exchange_halo(self) -> None:
        """Give each rank the states that its first step reads and other ranks made."""
        exchange_halo(self.group, self.window)

    def moved(self, several: Sequence[Tensor], old: Window) -> list[Tensor]:
        """Return rows (n, m, ...) of the points that a rank made in old windows, as those it makes now; 0 for new ones. Their
        memory may be used again."""
        new = self.window
        return redistribute_all(
            self.group,
            several,
            old.first + old.slices.of(self.group.rank).start + 1,
            owned=lambda rank: produced_points(old, rank),
            needed=lambda rank: produced_points(new, rank),
            count=len(self.positions),
            reuse=True,
        )

    def around(self, rows: Tensor, before: int, after: int) -> Tensor:
        """Return rows (n, ...) of the points made, with those of so many points before and after; 0 outside the window."""
        window = self.window
        begin, count = produced_points(window, self.group.rank)[0], before + len(self.positions) + after
        return redistribute(
            self.group,
            rows,
            begin,
            owned=lambda rank: produced_points(window, rank),
            needed=lambda rank: produced_points(window, rank, before, after),
            count=count,
        )

    # ------------------------------------------------------------------ state

    def state(self) -> PointRows:
        """Return the states; none on ranks without points, to which nobody sends those that others make."""
        rows = self.window.x if self.positions or self.group.rank == 0 else self.window.x[:0]
        return PointRows(rows, self.window.held_points(self.group.rank)[0])

    def span(self, first: Integers) -> PointRanges:
        """Return the points whose states this rank holds where windows begin at `first`; none beyond a window's end."""
        mine, taps = self.slices_at(first).of(self.group.rank), self.window.taps
        begin = first + mine.start + 1 - taps
        return begin, np.minimum(begin + taps + len(mine), first + self.lengths_at(first) + 1)

    def load(self, state: EngineState) -> None:
        """Take the states of members that have begun; the others' windows are at their start, and still to be guessed."""
        first = state.integers("first")
        slices, taps, start = self.slices_at(first), self.window.taps, self.problem.start()
        mine = slices.of(self.group.rank)
        x = state.fields["x"].first_rows(taps + len(mine)).to(start)
        if mine.start == 0:
            x[taps - 1, ~state.begun] = start[~state.begun]
        self.set_window(Window(first, slices, x, taps))


def produced_points(window: Window, rank: Ranks, before: int = 0, after: int = 0) -> PointRanges:
    """Return the points that a rank makes, and so many before and after; or those of each of several ranks (r, 1)."""
    start, stop = window.slices.bounds(rank)
    return window.between(start + 1 - before, stop + 1 + after)
