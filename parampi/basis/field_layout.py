"""Layout of the coefficients that the transforms of a grid store: their order, and the modes they stand for."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from parampi.basis.axes import Axis, Bounded, HalfPeriodic, Periodic

F64 = torch.float64


@dataclass(frozen=True)
class CoefficientLayout:
    """K coefficients of one channel.

    vectors    (D, K) float64, cycles per domain along each axis of the field
    conjugate  (K,) int64, where the complex conjugate of each coefficient is stored; its own place if it is not, or is itself
    weight     (K,) float64, 2 for those whose conjugate is not stored
    real       (K,) bool, coefficients that are their own conjugates
    """

    vectors: Tensor
    conjugate: Tensor
    weight: Tensor
    real: Tensor

    @classmethod
    def of(cls, axes: dict[int, Axis]) -> Self:
        """Return the layout of the transforms of the axes, in the order in which coefficients are stored."""
        sizes = [len(axis.numbers()) for axis in axes.values()]
        places = dict(zip(axes, torch.meshgrid(*map(torch.arange, sizes), indexing="ij"), strict=True))
        vectors = torch.stack([cycles(axes[a])[places[a].flatten()] for a in sorted(axes)])
        own = torch.arange(vectors.shape[1])
        twin, both = mirrored(axes, places, sizes), twice(axes, places)
        return cls(vectors, torch.where(both, twin, own), 2.0 - both.to(F64), both & (twin == own))


def cycles(axis: Axis) -> Tensor:
    """Return wavenumbers of an axis in cycles per domain, float64."""
    return axis.numbers().to(F64) * (0.5 if isinstance(axis, Bounded) else 1.0)


def mirrored(axes: dict[int, Axis], places: dict[int, Tensor], sizes: list[int]) -> Tensor:
    """Return the place of the coefficient with the opposite wavenumbers along fully stored periodic axes."""
    flat = torch.zeros_like(next(iter(places.values())))
    for (name, axis), size in zip(axes.items(), sizes, strict=True):
        flat = flat * size + (-places[name] % size if isinstance(axis, Periodic) else places[name])
    return flat.flatten()


def twice(axes: dict[int, Axis], places: dict[int, Tensor]) -> Tensor:
    """Return whether the conjugate is stored too: at wavenumbers 0 and n / 2 of the half-stored axis, or where nothing is
    complex."""
    both = torch.ones_like(next(iter(places.values())), dtype=torch.bool)
    for name, axis in axes.items():
        if isinstance(axis, HalfPeriodic):
            both &= (places[name] == 0) | (2 * places[name] == axis.n)
    return both.flatten()
