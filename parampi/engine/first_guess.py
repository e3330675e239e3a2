"""First guesses of the points that enter windows, by one scan, without a network call."""

from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from parampi.basis.rows import pieces
from parampi.engine.latest_fields import LatestFields
from parampi.engine.lead_conditions import LeadConditions
from parampi.engine.noise_cache import NoiseCache
from parampi.engine.slice import Integers, Slice
from parampi.parallel import Mode, affine_scan, scan_in_place
from parampi.solvers import GuessContext, Iteration


class LeadGuess(TypedDict, total=False):
    """The part of a `GuessContext` that only roll-outs have."""

    restarts: Tensor
    starts: Tensor
    drawn: Tensor
    expects: Tensor


class FirstGuess:
    """First guess of points that enter; `latest` are the fields that it extrapolates, None for a guess that does not."""

    def __init__(
        self,
        slice_: Slice,
        noise: NoiseCache,
        iteration: Iteration,
        mode: Mode,
        latest: LatestFields | None = None,
        leads: LeadConditions | None = None,
    ):
        self.slice, self.noise, self.iteration, self.mode = slice_, noise, iteration, mode
        self.latest, self.leads = latest, leads

    def fill(self, known: Integers) -> None:
        """Fill the points beyond each member's last known position from those before."""
        slice_ = self.slice
        slices, first = slice_.window.slices, int(known.min())
        if first >= slices.points:
            return
        lagged = self.lagged()
        # points that all members know are skipped, and so are the ranks that make no others
        begin = slices.owner(first)
        if self.latest:
            self.latest.fetch(begin)
        if slice_.group.rank >= begin:
            skip = min(max(first - slice_.positions.start, 0), len(slice_.positions))
            self.fill_from(skip, known, self.context(begin, skip, known, lagged))
        if self.iteration.passes_on:
            slice_.exchange_halo()

    def fill_from(self, skip: int, known: Integers, entry: GuessContext) -> None:
        """Fill them by a scan of all points of this rank but the first `skip`."""
        slice_, x = self.slice, self.slice.window.x[skip:]
        guess = self.iteration.guess(entry)
        if slice_.problem.leads is None:
            x[:] = guess
        else:
            made_by = torch.arange(len(x)) + slice_.positions.start + skip - slice_.window.taps
            enters = made_by[:, None] >= torch.from_numpy(known)
            if bool((enters.all(1) == enters.any(1)).all()):
                new = len(x) - int(enters.all(1).sum())
                x[new:] = guess[new:]
            else:
                enters = enters.to(x.device, non_blocking=True)
                x[:] = torch.where(enters.view(*enters.shape, *(1 for _ in x.shape[2:])), guess, x)

    def lagged(self) -> list[Tensor] | None:
        """Return what the iteration's guess reads of its memory, as steps read it at each tap; None for nothing."""
        rows = self.iteration.memory.get(self.iteration.guess_reads) if self.leads else None
        if rows is None:
            return None
        return [self.slice.around(rows, tap, -tap) if tap else rows for tap in range(self.slice.window.taps)]

    def context(self, begin: int, skip: int, known: Integers, lagged: list[Tensor] | None) -> GuessContext:
        slice_, numbers = self.slice, self.slice.numbers
        entering = np.arange(slice_.positions.start + skip, slice_.positions.stop)[:, None] >= known
        enters = torch.from_numpy(entering)
        fresh, shares = self.fresh(skip)
        group, active_ranks, mode = slice_.group, slice_.window.slices.active_ranks, self.mode

        def scan(slopes: Tensor, values: Tensor, first: Tensor) -> Tensor:
            return affine_scan(group, slopes, values, first, active_ranks, mode, begin)

        def in_place(slopes: Tensor, y: Tensor) -> None:
            if begin <= group.rank < active_ranks:
                scan_in_place(group, slopes, y, active_ranks, mode, begin)

        return GuessContext(
            x=slice_.read[skip:],
            enters=enters.to(slice_.window.x.device, non_blocking=True).view(numbers.levels[0, skip:].shape),
            all_enter=bool(entering.all()),
            begins=group.rank == begin,
            steps=slice_.lead_steps[skip:],
            fresh=fresh,
            slopes=numbers.guess_slopes[:, skip:],
            state=numbers.state[:, skip:],
            denoised_weight=numbers.denoised_weight[:, skip:],
            levels=numbers.levels[:, skip:],
            scan=scan,
            scan_in_place=in_place,
            pull=numbers.guess_pull[:, skip:],
            lagged=None if lagged is None else [rows[skip:] for rows in lagged],
            shares=shares,
            **self.between_leads(skip, enters),
        )

    def fresh(self, skip: int) -> tuple[Tensor | float, Tensor | None]:
        """Return what steps take of the noise and of the latest fields, extrapolated to the points that they read, and the
        shares (K, n, m, 1 ... 1) of these; None for nothing of them."""
        noise, numbers, steps = self.noise, self.slice.numbers, self.slice.steps[skip:].numpy()
        fresh: Tensor | float = 0.0
        if noise.rows is not None:
            fresh = noise.term(numbers.guess_noise, range(skip, skip + len(steps)))
        latest = self.latest.give() if self.latest else None
        if self.latest is None or latest is None or not len(steps):
            return fresh, None
        made = self.latest.weights_at(steps)
        if not made.shares.any():
            return fresh, None
        weights = np.concatenate([made.shares, made.before[None], made.last[None]])
        weighed = torch.from_numpy(weights).to(latest, non_blocking=True).view(*weights.shape, *(1 for _ in latest.shape[2:]))
        # by plain products and sums: the bits of a point do not depend on how many there are
        if isinstance(fresh, Tensor):
            total, missing = fresh, range(2)
        else:
            total, missing = weighed[-1] * latest[1], range(1)
        for part in pieces(total):
            for one in missing:
                total[part] += weighed[one - 2, part] * latest[one]
        return total, weighed[:-2]

    def between_leads(self, skip: int, enters: Tensor) -> LeadGuess:
        """Return what points (n, m) that enter are guessed from beside the points before them, in a roll-out."""
        slice_, leads = self.slice, self.leads
        between: LeadGuess = {}
        if leads is None or not enters.any():
            return between
        if slice_.starts is not None:
            between["restarts"] = slice_.starts.where(slice_.numbers.levels)[:, skip:]
            between["starts"] = slice_.starts.spread(slice_.steps.shape)[skip:]
        expected = leads.expected(slice_.steps[skip:], enters & slice_.active[skip:])
        if expected is not None:
            between["drawn"], between["expects"] = expected
        return between
