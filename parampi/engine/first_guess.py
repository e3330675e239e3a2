"""First guesses of the points that enter windows, by one scan, without a network call."""

import torch
from torch import Tensor

from parampi.engine.noise_cache import NoiseCache
from parampi.engine.slice import Integers, Slice
from parampi.parallel import Mode, affine_scan
from parampi.solvers import GuessContext, Iteration


class FirstGuess:
    """First guess of points that enter.

    latest  (m, *shape) the latest denoised field known of each member, on every rank, where the guess reads it
            (`reads_latest`); before the first round that of Gaussian data
    """

    def __init__(self, slice_: Slice, noise: NoiseCache, iteration: Iteration, mode: Mode):
        self.slice, self.noise, self.iteration, self.mode = slice_, noise, iteration, mode
        self.reads_latest = bool((slice_.coefficients.guess_frozen != 0).any())
        start = slice_.problem.start()
        self.latest = start * float(slice_.coefficients.response[0]) if self.reads_latest else torch.zeros_like(start)

    def fill(self, known: Integers) -> None:
        """Fill the points beyond each member's last known position from those before."""
        slice_ = self.slice
        # points that all members know are skipped; but other ranks may wait for what comes before them
        skip = min(int(known.min()), len(slice_.positions)) if slice_.group.size == 1 else 0
        entry = self.context(skip, known)
        entry.x[:] = self.iteration.guess(entry)
        if self.iteration.passes_on:
            slice_.exchange_halo()

    def context(self, skip: int, known: Integers) -> GuessContext:
        slice_, numbers = self.slice, self.slice.numbers
        enters = torch.arange(slice_.positions.start + skip, slice_.positions.stop)[:, None] >= torch.from_numpy(known)
        fresh = self.noise.term(numbers.guess_noise, skip)
        if self.reads_latest:
            fresh = fresh + numbers.guess_frozen[0, skip:] * self.latest
        group, active_ranks, mode = slice_.group, slice_.window.slices.active_ranks, self.mode

        def scan(slopes: Tensor, values: Tensor, first: Tensor) -> Tensor:
            return affine_scan(group, slopes, values, first, active_ranks, mode)

        return GuessContext(
            x=slice_.window.x[skip:],
            enters=enters.to(slice_.window.x.device).view(numbers.levels[0, skip:].shape),
            steps=slice_.steps[skip:],
            fresh=fresh,
            slopes=numbers.guess_slopes[:, skip:],
            state=numbers.state[:, skip:],
            denoised_weight=numbers.denoised_weight[:, skip:],
            levels=numbers.levels[:, skip:],
            scan=scan,
        )
