"""The denoised fields at the ends of windows, from which points that enter are guessed."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.slice import Integers, Slice
from parampi.parallel import PointRanges, Ranks, Window, redistribute
from parampi.samplers import StepMap
from parampi.solvers.linear_models import Trend

Floats = NDArray[np.float64]
ALIKE = 1e-6
"""Distance in log sigma within which two noise levels are the same."""
FARTHEST = 100.0
"""Most times their own distance that two fields are extrapolated: what is not settled in them grows with it."""


@dataclass(frozen=True)
class LatestWeights:
    """Weights of the latest denoised fields in steps: `shares` (K, n, m) of what is extrapolated, at the points that they read,
    and weights (n, m) of the field `last` evaluated and of that `before` it. All float64 on the CPU."""

    shares: Floats
    last: Floats
    before: Floats


class LatestFields:
    """Denoised fields at the last two noise levels that each member's window has evaluated, (2, m, *shape), the last second.

    A rank copies those that it has when they are evaluated (`take`); when windows have moved, those ranks get them whose points
    enter (`fetch`). Before the first round, and in windows that end with the chain, there are none; but a trend that is never
    forgotten (`far` infinite) begins with those of Gaussian data.

    last, before  points (m,) of the two; the second -1 where the window has only one noise level
    """

    def __init__(self, slice_: Slice, trend: Trend):
        self.slice, self.trend = slice_, trend
        equations = slice_.problem.equations
        step_map: StepMap = equations.step_map
        self.levels = np.log(np.maximum(step_map.sigmas[:-1].numpy(), np.finfo(np.float64).tiny))
        self.weights = step_map.denoised_weight.numpy()
        self.last_at, self.before_at = places_before(self.levels, slice_.reads_network)
        self.begin()

    def begin(self) -> None:
        """Forget all fields: members that begin are guessed next."""
        self.old: Window | None = None
        self.fields: Tensor | None = None
        self.last = self.before = np.full(len(self.slice.problem.members), -1)
        if np.isinf(self.trend.far):
            start = self.slice.problem.start() * float(self.slice.coefficients.response[0])
            self.fields, self.last = torch.stack([start, start]), np.zeros_like(self.last)

    # ------------------------------------------------------------------ where they come from

    def take(self, rows: Tensor) -> None:
        """Copy those that this rank has, of rows (K - 1 + n, m, *shape) from K - 1 points before its slice's first on."""
        slice_ = self.slice
        window, steps = slice_.window, len(self.levels)
        self.old, self.fields = None, None
        ends = window.first + slice_.lengths
        if ((ends == slice_.reach.chain) | (slice_.lengths == 0)).all():
            return
        lead, place = np.divmod(np.maximum(ends - 1, 0), steps)
        at, oldest = self.last_at[place], window.first + 1 - window.taps  # no rank has fields of points before
        before, lead = self.before_at[at], lead * steps
        self.last = np.where(slice_.lengths > 0, lead + at, -1)
        self.before = np.where((self.last >= 0) & (before >= 0) & (lead + before >= oldest), lead + before, -1)
        self.old = window
        self.copy(rows, np.stack([self.before, self.last]), oldest + slice_.positions.start)

    def copy(self, rows: Tensor, points: Integers, begin: Integers) -> None:
        """Copy the fields of points (2, m) that this rank has, of rows (n, m, *shape) that begin at points (m,)."""
        places, owned = points - begin, self.owns(self.slice.group.rank, points)
        if owned.all() and (places == places[:, :1]).all():
            self.fields = torch.stack([rows[place] for place in places[:, 0].tolist()])
        elif owned.any():
            self.fields = rows.new_zeros((2, *rows.shape[1:]))
            which, columns = owned.nonzero()
            indices = np.stack([which, places[which, columns], columns])
            which, place, column = torch.from_numpy(indices).to(rows.device, non_blocking=True)
            self.fields[which, column] = rows[place, column]

    def owns(self, rank: Ranks, points: Integers) -> NDArray[np.bool_]:
        """Return which of the points (..., m) a rank has evaluated; or, of points (m,), each of several ranks (r, 1)."""
        assert self.old is not None
        begin, end = self.old.evaluated_points(rank)
        owned: NDArray[np.bool_] = (begin <= points) & (points < end) & (points >= 0)
        return owned

    def fetch(self, begin: int) -> None:
        """Get the fields to the active ranks from `begin` on, whose points enter. Collective."""
        slice_ = self.slice
        group, active_ranks = slice_.group, slice_.window.slices.active_ranks
        if self.old is None:
            return

        def owned(rank: Ranks) -> PointRanges:
            return np.where(self.owns(rank, self.before), 0, 1), np.where(self.owns(rank, self.last), 2, 1)

        def needed(rank: Ranks) -> PointRanges:
            reads = np.greater_equal(rank, begin) & np.less(rank, active_ranks) & (self.last >= 0)
            return np.zeros_like(reads, dtype=np.int64), np.where(reads, 2, 0)

        rows, at = slice_.window.x if self.fields is None else self.fields, np.zeros_like(self.last)
        if group.size > 1:
            self.fields = redistribute(group, rows, at, owned=owned, needed=needed, count=2)

    def give(self) -> Tensor | None:
        """Return the fields (2, m, *shape) and keep them no longer; None where there are none."""
        fields, self.fields = self.fields, None
        return fields

    # ------------------------------------------------------------------ what steps take of them

    def weights_at(self, steps: Integers) -> LatestWeights:
        """Return what steps (n, m) of a chain take of the latest fields."""
        count, total = len(self.levels), np.zeros((2, *steps.shape))
        shares = np.zeros((self.weights.shape[1], *steps.shape))
        lead, place = np.divmod(steps, count)
        known = (self.last >= 0) & ((self.last // count == lead) | np.isinf(self.trend.far))
        level, two = self.levels[self.last % count], self.before >= 0
        spacing = np.where(two, level - self.levels[self.before % count], 1.0)
        for tap in range(len(shares)):
            ahead = self.levels[np.maximum(place - tap, 0)] - level
            shares[tap] = np.where(known, np.where(steps - tap > self.last, self.trend.share(ahead), 1.0), 0.0)
            # between and beyond the two fields: where they are known, they are taken as they are
            ratio = np.where(two & (self.trend.linear | (steps - tap <= self.last)), np.minimum(ahead / spacing, FARTHEST), 0.0)
            taken = self.weights[place, tap] * shares[tap]
            total += taken * np.stack([1 + ratio, -ratio])
        return LatestWeights(shares, *total)


def places_before(levels: Floats, evaluated: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Return for each place of a chain the last one up to it that is evaluated, and the last evaluated one before it at another
    noise level, -1 where there is none."""
    last = np.maximum.accumulate(np.where(evaluated, np.arange(len(levels)), -1))
    before = np.full(len(levels), -1)
    for place in range(len(levels)):
        at = last[place - 1] if place else -1
        while at >= 0 and abs(levels[at] - levels[place]) <= ALIKE:
            at = last[at - 1] if at else -1
        before[place] = at
    return last, before
