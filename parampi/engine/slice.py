"""One rank's slice of the windows: where it lies, its states, and how rows of points come and go when windows slide."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.coefficients import Coefficients
from parampi.engine.problem import SamplingProblem
from parampi.engine.state import EngineState, PointRows
from parampi.parallel import Group, PointRanges, Slices, Window, exchange_halo, move, redistribute

Integers = NDArray[np.int64]


class Slice:
    """One rank's part of its group's windows. `slide` moves all of them at once.

    window     states, see `parampi.parallel.Window`
    numbers    coefficients (taps, n, m, 1 ... 1) of the slice's steps
    active     (n, m) which of these belong to a window: members' windows differ in length
    evaluated  (n, m) at which of the steps' own points the network is called
    """

    def __init__(self, problem: SamplingProblem, coefficients: Coefficients, group: Group, *, size: int, ends: Tensor | None):
        self.problem, self.coefficients, self.group, self.size = problem, coefficients, group, size
        self.ends = None if ends is None else ends.numpy()
        self.reads_network = problem.equations.evaluated
        taps, x = problem.equations.taps, problem.start()[None]
        x = torch.cat([torch.zeros_like(x).expand(taps - 1, *x.shape[1:]), x])
        self.set_window(Window(np.zeros(len(problem.members), np.int64), Slices(0, group.size), x, taps))

    # ------------------------------------------------------------------ geometry

    @property
    def lengths(self) -> Integers:
        """Points (m,) that each member's window sweeps; 0 for members that are finished."""
        return self.lengths_at(self.window.first)

    def lengths_at(self, first: Integers) -> Integers:
        room = np.minimum(self.size, self.problem.steps - first)
        if self.ends is None:
            return room
        following = np.searchsorted(self.ends, first, side="right")
        return np.minimum(room, np.append(self.ends, self.problem.steps)[following] - first)

    def slices_at(self, first: Integers) -> Slices:
        """Return how windows that begin at `first` are shared out."""
        return Slices(int(self.lengths_at(first).max(initial=0)), self.group.size)

    @property
    def positions(self) -> range:
        return self.window.slices.of(self.group.rank)

    @property
    def steps(self) -> Tensor:
        """Indices (n, m) of the slice's steps; those at or beyond N belong to no window."""
        p = torch.arange(self.positions.start, self.positions.stop)
        return p[:, None] + torch.from_numpy(self.window.first)

    def slide(self, first: Integers) -> Window:
        """Let the windows begin at `first`, and return the old ones; states of points that are new are 0."""
        old = self.window
        self.set_window(move(self.group, old, first, self.slices_at(first)))
        return old

    def set_window(self, window: Window) -> None:
        """Take a window, and gather the coefficients of its steps."""
        self.window = window
        active = torch.arange(self.positions.start, self.positions.stop)[:, None] < torch.from_numpy(self.lengths)
        steps = self.steps
        self.numbers = self.coefficients.at(steps, active, window.x)
        evaluated = active & self.reads_network[steps.clamp(max=self.problem.steps - 1)]
        self.active, self.evaluated = active.to(window.x.device), evaluated.to(window.x.device)

    # ------------------------------------------------------------------ rows of other ranks

    def exchange_halo(self) -> None:
        """Give each rank the states that its first step reads and other ranks made."""
        exchange_halo(self.group, self.window)

    def moved(self, rows: Tensor, old: Window) -> Tensor:
        """Return rows (n, m, ...) of the points that a rank made in old windows, as those it makes now; 0 for new ones."""
        begin = old.first + old.slices.of(self.group.rank).start + 1
        new = self.window
        return redistribute(
            self.group,
            rows,
            begin,
            owned=lambda rank: produced_points(old, rank),
            needed=lambda rank: produced_points(new, rank),
            count=len(self.positions),
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
        """Return the states."""
        return PointRows(self.window.x, self.window.held_points(self.group.rank)[0])

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


def produced_points(window: Window, rank: int, before: int = 0, after: int = 0) -> PointRanges:
    """Return the points that a rank makes, and so many before and after."""
    mine = window.slices.of(rank)
    return window.between(mine.start + 1 - before, mine.stop + 1 + after)
