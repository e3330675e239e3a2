"""One rank's slice of the windows: states, coefficients and noise of its points, and first guesses for those that enter."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.coefficients import Coefficients
from parampi.engine.problem import SamplingProblem
from parampi.parallel import Group, Mode, Slices, Window, affine_scan, exchange_halo, halo_points, move, redistribute
from parampi.solvers import GuessContext, Iteration, Solver

Integers = NDArray[np.int64]


class Slice:
    """What one rank holds of its group's windows. `slide` moves all of them at once.

    window    states, see `parampi.parallel.Window`
    here      coefficients (taps, n, m, 1 ... 1) of the slice's steps
    active    (n, m) which of these belong to a window: members' windows differ in length; `asked`: where the network is called
    xi        (Q - 1 + n, m, *shape) noise of the steps and of those before; None for deterministic samplers
    denoised  (K - 1 + n, m, *shape) denoised fields of the last round, from K - 1 points before the slice's first on
    """

    def __init__(
        self, chain: SamplingProblem, solver: Solver, iteration: Iteration, group: Group, size: int, ends: Tensor | None,
        mode: Mode
    ):  # fmt: skip
        self.chain, self.iteration, self.group, self.mode, self.size = chain, iteration, group, mode, size
        self.ends = None if ends is None else ends.numpy()
        self.coefficients = Coefficients.of(chain, solver)
        self.evaluated = chain.equations.evaluated
        self.keeps_latest = bool((self.coefficients.guess_frozen != 0).any())
        first, taps = np.zeros(len(chain.members), np.int64), chain.equations.taps
        x = chain.start()[None]
        self.latest = x[0] * float(self.coefficients.response[0]) if self.keeps_latest else torch.zeros_like(x[0])
        x = torch.cat([torch.zeros_like(x).expand(taps - 1, *x.shape[1:]), x])
        self.window = Window(first, Slices(0, group.size), x, taps)
        self.denoised = torch.zeros_like(x[1:])
        self.xi: Tensor | None = None
        self.noise_span = np.zeros((2, len(first)), np.int64)
        self.slide(first)

    @property
    def lengths(self) -> Integers:
        """Points (m,) that each member's window sweeps; 0 for members that are finished."""
        return self.lengths_at(self.window.first)

    def lengths_at(self, first: Integers) -> Integers:
        room = np.minimum(self.size, self.chain.steps - first)
        if self.ends is None:
            return room
        following = np.searchsorted(self.ends, first, side="right")
        return np.minimum(room, np.append(self.ends, self.chain.steps)[following] - first)

    @property
    def positions(self) -> range:
        return self.window.slices.of(self.group.rank)

    @property
    def steps(self) -> Tensor:
        """Indices (n, m) of the slice's steps; those at or beyond N belong to no window."""
        p = torch.arange(self.positions.start, self.positions.stop)
        return p[:, None] + torch.from_numpy(self.window.first)

    def slide(self, first: Integers) -> None:
        """Let the windows begin at `first`: move states, make noise, and guess the points that are new."""
        old, lengths = self.window, np.minimum(self.lengths, self.window.slices.points)
        slices = Slices(int(self.lengths_at(first).max(initial=0)), self.group.size)
        self.window = move(self.group, old, first, slices)
        if old.slices.points and self.keeps_latest:
            self.latest = self.latest_of(old, lengths)
        if old.taps > 1:
            self.denoised = self.behind(old)
        self.gather_coefficients()
        self.xi = self.noise()
        self.guess(old.first + lengths - first)

    def moved(self, rows: Tensor, old: Window) -> Tensor:
        """Rows (n, m, ...) of the points that a rank made in old windows, as rows of those it makes now; 0 for new ones."""
        rank, new = self.group.rank, self.window
        begin = old.first + old.slices.of(rank).start + 1

        def made(window: Window, rank: int) -> tuple[Integers, Integers]:
            mine = window.slices.of(rank)
            return window.between(mine.start + 1, mine.stop + 1)

        owned, wanted = (lambda r: made(old, r)), (lambda r: made(new, r))
        return redistribute(self.group, rows, begin, owned, wanted, len(self.positions))

    def latest_of(self, old: Window, lengths: Integers) -> Tensor:
        """The denoised field (m, *shape) at the last evaluated point of each member's old window, on every rank."""
        asked = np.maximum.accumulate(np.where(self.evaluated.numpy(), np.arange(self.chain.steps), -1))
        last = asked[np.clip(old.first + lengths - 1, 0, None)]
        begin = old.first + old.slices.of(self.group.rank).start + 1 - old.taps
        rows = redistribute(self.group, self.denoised, begin, old.evaluated_points, lambda rank: (last, last + 1), 1)
        return rows[0]

    def behind(self, old: Window) -> Tensor:
        """Denoised fields (K - 1, m, *shape) of the frozen points behind the new windows, on rank 0; 0 on others."""
        new, taps = self.window, old.taps
        begin = old.first + old.slices.of(self.group.rank).start + 1 - taps

        def wanted(rank: int) -> tuple[Integers, Integers]:
            return new.between(1 - taps, 0 if rank == 0 else 1 - taps)

        return redistribute(self.group, self.denoised, begin, old.evaluated_points, wanted, taps - 1)

    def gather_coefficients(self) -> None:
        active = torch.arange(self.positions.start, self.positions.stop)[:, None] < torch.from_numpy(self.lengths)
        steps = self.steps
        self.here = self.coefficients.at(steps, active, self.window.x)
        device = self.window.x.device
        self.asked = (active & self.evaluated[steps.clamp(max=self.chain.steps - 1)]).to(device)
        self.active = active.to(device)

    def noise(self) -> Tensor | None:
        """xi of the slice's steps: kept where this rank had them before, else made from the counters."""
        if not self.chain.equations.stochastic:
            return None
        before = self.chain.step_map.noise.shape[1] - 1
        rows, count = len(self.positions) + before, self.active.sum(0).cpu().numpy()
        start = self.window.first + self.positions.start - before
        stop = np.where(count > 0, start + before + count, start)
        xi = self.window.x.new_zeros((rows, *self.window.x.shape[1:]))
        steps = torch.from_numpy(start) + torch.arange(rows)[:, None]
        missing = (steps < torch.from_numpy(stop)) & (steps >= 0)
        begin, end = np.maximum(start, self.noise_span[0]), np.minimum(stop, self.noise_span[1])
        for m in np.flatnonzero(begin < end) if self.xi is not None else ():
            here = slice(begin[m] - start[m], end[m] - start[m])
            xi[here, m] = self.xi[begin[m] - self.noise_span[0, m] : end[m] - self.noise_span[0, m], m]  # type: ignore[index]
            missing[here, m] = False
        if missing.any():
            places, columns = missing.nonzero(as_tuple=True)
            xi[places.to(xi.device), columns.to(xi.device)] = self.chain.noise(steps[places, columns], columns)
        self.noise_span = np.stack([start, stop])
        return xi

    def noise_term(self, weights: Tensor, skip: int = 0) -> Tensor | float:
        """sum_q weights[q] xi[i - q] (n - skip, m, *shape) of all steps but the first `skip`; weights (Q, n, m, 1 ... 1)."""
        if self.xi is None:
            return 0.0
        taps = len(weights)
        total = weights[0, skip:] * self.xi[taps - 1 + skip :]
        for tap in range(1, taps):
            total += weights[tap, skip:] * self.xi[taps - 1 - tap + skip : len(self.xi) - tap]
        return total

    def guess(self, known: Integers) -> None:
        """Fill the points behind each member's last known position from those before, by one scan, without a network call."""
        # what every member knows need not be scanned; but other ranks may wait for what comes before it
        skip = min(int(known.min()), len(self.positions)) if self.group.size == 1 else 0
        x, here, active_ranks = self.window.x[skip:], self.here, self.window.slices.active_ranks
        behind = torch.arange(self.positions.start + skip, self.positions.stop)[:, None] >= torch.from_numpy(known)
        fresh = self.noise_term(here.guess_noise, skip)
        if self.keeps_latest:
            fresh = fresh + here.guess_frozen[0, skip:] * self.latest
        entry = GuessContext(
            x, behind.to(x.device).view(here.levels[0, skip:].shape), self.steps[skip:], fresh, here.guess_slopes[:, skip:],
            here.state[:, skip:], here.denoised_weight[:, skip:], here.levels[:, skip:],
            scan=lambda slopes, values, first: affine_scan(self.group, slopes, values, first, active_ranks, self.mode),
        )  # fmt: skip
        x[:] = self.iteration.guess(entry)
        if self.iteration.passes_on:
            exchange_halo(self.group, self.window)

    def evaluate(self) -> Tensor:
        """The denoised fields (n, m, *shape) at the slice's points; `denoised` gets them with those of the points before."""
        window, taps = self.window, self.window.taps
        fresh = self.chain.denoise(window.x[taps - 1 : -1], self.here.levels[0].view(self.active.shape), self.asked)
        if taps == 1:
            self.denoised = fresh
            return fresh
        rank, active_ranks = self.group.rank, window.slices.active_ranks
        rows = torch.cat([self.denoised[: taps - 1], fresh])
        if active_ranks > 1:
            begin = window.between(self.positions.start + 1 - taps, 0)[0]
            wanted = halo_points(window, 1 - taps, 0)
            before = redistribute(self.group, rows, begin, window.evaluated_points, wanted, taps - 1)
            if 0 < rank < active_ranks:
                rows[: taps - 1] = before
        self.denoised = rows
        return fresh

    def mapped(self) -> Tensor:
        """`F_i` (n, m, *shape) of the states and the denoised fields."""
        x, here, taps = self.window.x, self.here, self.window.taps
        rows = len(x)
        value = here.state[0] * x[taps - 1 : rows - 1]
        value += here.denoised_weight[0] * self.denoised[taps - 1 :]
        for tap in range(1, taps):
            value += here.state[tap] * x[taps - 1 - tap : rows - 1 - tap]
            value += here.denoised_weight[tap] * self.denoised[taps - 1 - tap : rows - 1 - tap]
        if self.xi is not None:
            value += self.noise_term(here.noise)
        return value
