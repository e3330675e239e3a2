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

    def __init__(self, place: Slice, noise: NoiseCache, iteration: Iteration, mode: Mode):
        self.place, self.noise, self.iteration, self.mode = place, noise, iteration, mode
        self.reads_latest = bool((place.coefficients.guess_frozen != 0).any())
        start = place.problem.start()
        self.latest = start * float(place.coefficients.response[0]) if self.reads_latest else torch.zeros_like(start)

    def fill(self, known: Integers) -> None:
        """Fill the points beyond each member's last known position from those before."""
        place = self.place
        # points that all members know are skipped; but other ranks may wait for what comes before them
        skip = min(int(known.min()), len(place.positions)) if place.group.size == 1 else 0
        entry = self.context(skip, known)
        entry.x[:] = self.iteration.guess(entry)
        if self.iteration.passes_on:
            place.exchange_halo()

    def context(self, skip: int, known: Integers) -> GuessContext:
        place, numbers = self.place, self.place.numbers
        enters = torch.arange(place.positions.start + skip, place.positions.stop)[:, None] >= torch.from_numpy(known)
        fresh = self.noise.term(numbers.guess_noise, skip)
        if self.reads_latest:
            fresh = fresh + numbers.guess_frozen[0, skip:] * self.latest
        group, active_ranks, mode = place.group, place.window.slices.active_ranks, self.mode

        def scan(slopes: Tensor, values: Tensor, first: Tensor) -> Tensor:
            return affine_scan(group, slopes, values, first, active_ranks, mode)

        return GuessContext(
            x=place.window.x[skip:],
            enters=enters.to(place.window.x.device).view(numbers.levels[0, skip:].shape),
            steps=place.steps[skip:],
            fresh=fresh,
            slopes=numbers.guess_slopes[:, skip:],
            state=numbers.state[:, skip:],
            denoised_weight=numbers.denoised_weight[:, skip:],
            levels=numbers.levels[:, skip:],
            scan=scan,
        )
