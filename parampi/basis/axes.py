"""Transforms along one axis of a grid, always the last one, of memory without gaps.

Transforms of a field alone and of the same field in a batch may differ in the last bit, on some processors and not on others;
where bits count, `parampi.basis.row_by_row` calls them with one field at a time.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from parampi.basis.base import Device
from parampi.basis.cosines import cosine, inverse_cosine, twiddles


@dataclass(frozen=True)
class HalfPeriodic:
    """Real values on a periodic axis of n points to n // 2 + 1 complex coefficients, orthonormal; the others are conjugates."""

    n: int

    def to(self, device: Device, dtype: torch.dtype | None) -> Self:
        return self

    def apply(self, x: Tensor) -> Tensor:
        z: Tensor = torch.fft.rfft(x, dim=-1, norm="ortho")
        return z

    def undo(self, z: Tensor) -> Tensor:
        x: Tensor = torch.fft.irfft(z, n=self.n, dim=-1, norm="ortho")
        return x

    def numbers(self) -> Tensor:
        """Return cycles per domain of each coefficient."""
        return torch.arange(self.n // 2 + 1)


@dataclass(frozen=True)
class Periodic:
    """Complex values on a periodic axis to complex coefficients, orthonormal."""

    n: int

    def to(self, device: Device, dtype: torch.dtype | None) -> Self:
        return self

    def apply(self, x: Tensor) -> Tensor:
        z: Tensor = torch.fft.fft(x, dim=-1, norm="ortho")
        return z

    def undo(self, z: Tensor) -> Tensor:
        x: Tensor = torch.fft.ifft(z, dim=-1, norm="ortho")
        return x

    def numbers(self) -> Tensor:
        k = torch.arange(self.n)
        return torch.where(2 * k < self.n, k, k - self.n)


@dataclass(frozen=True)
class Bounded:
    """Real values on a bounded axis to cosine coefficients, orthonormal."""

    n: int
    twiddle: Tensor
    untwiddle: Tensor

    @classmethod
    def of(cls, n: int) -> Self:
        return cls(n, *twiddles(n))

    def to(self, device: Device, dtype: torch.dtype | None) -> Self:
        number = dtype.to_complex() if dtype else self.twiddle.dtype
        return type(self)(self.n, self.twiddle.to(device, number), self.untwiddle.to(device, number))

    def apply(self, x: Tensor) -> Tensor:
        return cosine(x, self.twiddle.to(x.device, x.dtype.to_complex()))

    def undo(self, z: Tensor) -> Tensor:
        return inverse_cosine(z, self.untwiddle.to(z.device, z.dtype.to_complex()))

    def numbers(self) -> Tensor:
        """Return half cycles per domain of each coefficient."""
        return torch.arange(self.n)


Axis = HalfPeriodic | Periodic | Bounded


def ordered(kinds: tuple[str, ...]) -> list[int]:
    """Return the axes in the order of their transforms: bounded ones, which keep real values real, before periodic ones."""
    backwards = sorted(range(len(kinds)), reverse=True)
    return sorted(backwards, key=lambda axis: kinds[axis] == "fourier")


def make_axis(kind: str, n: int, first: bool) -> Axis:
    """Return the transform of one axis; `first`: the first periodic axis to be transformed, whose values are still real."""
    if kind == "cosine":
        return Bounded.of(n)
    return HalfPeriodic(n) if first else Periodic(n)
