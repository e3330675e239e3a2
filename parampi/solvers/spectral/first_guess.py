"""First guesses by the spectral model: the sampler's own solution for its Gaussian data."""

from abc import abstractmethod

import torch
from torch import Tensor

from parampi.basis.rows import pieces
from parampi.solvers.spectral.model import SpectralModel
from parampi.solvers.spectral.secants import Kept, ratio_of
from parampi.solvers.sweep import GuessContext, Iteration


class ModelGuess(Iteration):
    """Base of iterations whose points enter with the solution for the data of a model.

    most     largest response
    centred  whether the model's mean is 0
    handed   the last numbers (m, learns) of a verdict, and the variances (m, S) that they say points inherit
    """

    model: SpectralModel
    most: float
    centred: bool
    handed: tuple[Tensor, Tensor] | None = None

    @abstractmethod
    def placed(self, like: Tensor) -> None:
        """Move the model's tables to the device and dtype of the fields."""

    def flat(self, numbers: Tensor) -> Tensor:
        """Return (..., 1) of numbers (..., 1 ... 1) beside fields."""
        return numbers.flatten(numbers.ndim - len(self.model.basis.shape))

    def guess(self, entry: GuessContext) -> Tensor:
        """Return the sampler's own solution for the model's Gaussian data, with the true noises."""
        self.placed(entry.x)
        taps, basis, weight = len(entry.state), self.model.basis, self.flat(entry.denoised_weight)
        response, mean = self.guess_response(entry), self.guess_mean(entry)
        if entry.shares is not None:
            weight = weight * (1 - self.flat(entry.shares))
        values: Tensor | float = self.fresh(entry)
        if mean is not None:
            # one after another: a kernel's sum may choose its order by the shape
            values = values + sum(weight * (1 - response)) * mean
        starts = None if entry.starts is None else basis.forward(entry.starts)
        slopes, values = entry.restarted(response.mul_(weight).add_(self.flat(entry.state)), values, starts)
        z = entry.x.new_empty((*entry.x.shape[:2], basis.modes))
        z[:taps] = basis.forward(entry.x[:taps]) if entry.begins else 0.0
        z[taps:] = values
        del response, values
        if not entry.all_enter:
            enters = self.flat(entry.enters)
            slopes = torch.where(enters, slopes, 0.0)
            for part in pieces(enters.expand(z[taps:].shape)):
                known = basis.forward(entry.x[taps:][part])
                z[taps:][part] = torch.where(enters[part], z[taps:][part], known)
        entry.scan_in_place(slopes, z)
        del slopes
        guess = entry.x.clone()
        for part in pieces(guess[taps:]):
            made = basis.inverse(z[taps:][part])
            guess[taps:][part] = made if entry.all_enter else torch.where(entry.enters[part], made, guess[taps:][part])
        return guess

    def fresh(self, entry: GuessContext) -> Tensor | float:
        """Return what the noise and extrapolated fields give (n, m, M)."""
        return self.model.basis.forward(entry.fresh) if isinstance(entry.fresh, Tensor) else entry.fresh

    def guess_mean(self, entry: GuessContext) -> Tensor | None:
        """Return the mean (M,) or (n, m, M) of what is expected; None for 0."""
        if entry.drawn is not None and entry.expects is not None:
            return torch.where(self.flat(entry.expects), self.model.basis.forward(entry.drawn), self.model.mean)
        return self.model.mean if self.centred is False else None

    def guess_response(self, entry: GuessContext) -> Tensor:
        """Return the response (K, n, m, M) at the points that the steps read: the model's, and what points inherit."""
        levels = self.flat(entry.levels)
        prior = self.model.response(levels, self.inherited(entry.x.device) if self.learns else None)
        for tap, numbers in enumerate(entry.lagged or []):
            kept = Kept(numbers, self.model.basis.shells)
            own = self.model.learned(levels[tap], ratio_of(kept.ratio), self.most)
            prior[tap] = torch.where(kept.heir > 0, own, prior[tap])
        return prior

    def inherited(self, device: torch.device) -> Tensor:
        """Return the variances (m, S) that new points inherit, relative to the model's."""
        if self.handed is None or not torch.equal(self.handed[0], self.learned):
            factors = torch.where(self.learned == 0, 1.0, self.learned).to(device, non_blocking=True)
            self.handed = self.learned.clone(), self.model.bands.spread(factors)
        return self.handed[1]
