"""The linear model of the denoiser that is diagonal in a basis."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from parampi.basis import Basis
from parampi.solvers.spectral.bands import Bands

EQUAL = 1e-12
"""Largest relative difference of the variances of a shell's modes that is rounding."""


@dataclass(frozen=True, eq=False)
class SpectralModel:
    """Gaussian data that are independent in the modes of a basis: `D(x, s) = mean + c / (c + s^2) (x - mean)`.

    variance c (M,) and mean (M,) of the modes, float64; c in units of what white noise of unit variance has there. Where the
    variances are only `assumed`, points that enter windows inherit those that the window has shown.
    """

    basis: Basis
    variance: Tensor
    mean: Tensor
    assumed: bool = False

    @cached_property
    def of_shells(self) -> Tensor | None:
        """The variances (S,) of the shells, float64, where all modes of each have the same; None where they differ."""
        shells, _ = self.shells()
        alike = (self.basis.spread(shells) - self.variance).abs() <= EQUAL * self.variance.abs()
        # where modes are always 0, their variance does not count
        return shells if bool((alike | (self.basis.noise == 0)).all()) else None

    @cached_property
    def bands(self) -> Bands:
        """The bands of the shells."""
        return Bands.of(self.basis, *self.shells())

    def response(self, levels: Tensor, factors: Tensor | None = None) -> Tensor:
        """Return `c / (c + s^2)` (..., M) for noise levels s (..., 1); variances are times these factors (m, S) of shells."""
        if self.of_shells is not None:
            return self.basis.spread(self.shell_response(levels, factors).to(levels))
        variance = self.variance if factors is None else self.variance * self.basis.spread(factors).to(levels)
        return quotient(variance, levels**2)

    def shell_response(self, levels: Tensor, factors: Tensor | None = None) -> Tensor:
        """Return the same of the shells (..., S), float64, where all modes of each have one variance."""
        assert self.of_shells is not None
        return quotient(self.of_shells if factors is None else self.of_shells * factors, levels.double() ** 2)

    def learned(self, levels: Tensor, ratio: Tensor, most: float) -> Tensor:
        """Return the response (n, m, M) for noise levels (n, m, 1), times ratios (n, m, S) of the shells, at most `most`."""
        if self.of_shells is not None:
            return self.basis.spread((self.shell_response(levels) * ratio).clamp_(0, most).to(levels))
        return self.basis.spread(ratio.to(levels)).mul_(self.response(levels)).clamp_(0, most)

    def square(self, levels: Tensor, ratio: Tensor, most: float, moved: Tensor) -> Tensor | None:
        """Return the squares (n, m, S) of what `learned` answers to changes of these squares, where shells tell them."""
        return None if self.of_shells is None else (self.shell_response(levels) * ratio).clamp_(0, most).square_().mul_(moved)

    def shells(self) -> tuple[Tensor, Tensor]:
        """Return the mean variance and degrees of freedom (S,) of the shells."""
        freedom = self.basis.shell_sums(self.basis.noise)
        variance = self.basis.shell_sums(self.basis.noise * self.variance) / freedom.clamp(min=1e-300)
        return variance, freedom

    def to(self, device: torch.device, dtype: torch.dtype) -> "SpectralModel":
        moved = replace(
            self,
            basis=self.basis.to(device, dtype),
            variance=self.variance.to(device, dtype),
            mean=self.mean.to(device, dtype),
        )
        moved.__dict__["bands"] = self.bands.to(device)
        moved.__dict__["of_shells"] = None if self.of_shells is None else self.of_shells.to(device)
        return moved


def quotient(variance: Tensor, squares: Tensor) -> Tensor:
    """Return `variance / (variance + squares)`; 0 where both are, as may be the numbers of steps that are in no window."""
    total = variance + squares
    return variance / total.clamp_(min=torch.finfo(total.dtype).tiny)
