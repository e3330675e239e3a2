"""First guesses of the points that enter windows, by one scan, without a network call."""

from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

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
    """First guess of points that enter.

    latest  (m, *shape) the latest denoised field known of each member, on every rank, where the guess reads it
            (`reads_latest`); before the first round that of Gaussian data
    """

    def __init__(self, slice_: Slice, noise: NoiseCache, iteration: Iteration, mode: Mode, leads: LeadConditions | None = None):
        self.slice, self.noise, self.iteration, self.mode, self.leads = slice_, noise, iteration, mode, leads
        self.reads_latest = bool((slice_.coefficients.guess_frozen != 0).any())
        self.latest = slice_.problem.start() * float(slice_.coefficients.response[0]) if self.reads_latest else torch.zeros(0)

    def fill(self, known: Integers) -> None:
        """Fill the points beyond each member's last known position from those before."""
        slice_ = self.slice
        slices, first = slice_.window.slices, int(known.min())
        if first >= slices.points:
            return
        lagged = self.lagged()
        # points that all members know are skipped, and so are the ranks that make no others
        begin = slices.owner(first)
        if slice_.group.rank >= begin:
            self.fill_from(begin, max(first - slice_.positions.start, 0), known, lagged)
        if self.iteration.passes_on:
            slice_.exchange_halo()

    def fill_from(self, begin: int, skip: int, known: Integers, lagged: list[Tensor] | None) -> None:
        """Fill them by a scan from the rank `begin` on, of all points of this rank but the first `skip`."""
        slice_ = self.slice
        skip = min(skip, len(slice_.positions))
        entry, x = self.context(begin, skip, known, lagged), slice_.window.x[skip:]
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
        steps = range(skip, len(slice_.positions))
        fresh: Tensor | float = 0.0 if self.noise.rows is None else self.noise.term(numbers.guess_noise, steps)
        if self.reads_latest:
            fresh = fresh + numbers.guess_frozen[0, skip:] * self.latest
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
            **self.between_leads(skip, enters),
        )

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
