"""Bases: their protocol and their registry."""

import inspect
from collections.abc import Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from parampi.errors import ConfigError, blamed
from parampi.registry import Registry

Device = torch.device | str | None
"""Where to move tables; None leaves them where they are."""
LONG = 200
"""Letters of options that messages show."""
Points = float | Sequence[float]
"""Points of a grid: along all of its axes of space, or along each."""


class Basis(Protocol):
    """A linear change of variables in which fields of physics are nearly uncorrelated.

    In it a linear model of a denoiser is one number per mode, `L x = inverse(response * forward(x))`, and what is known or
    learned of it is one number per *shell*, a group of modes that are expected to behave alike. Modes are real numbers, also
    where they come in pairs (real and imaginary part of one coefficient), and `inverse(forward(x)) == x` to rounding for every
    basis: families of functions that do not span all fields are completed by the rest of the field, whose response is a scalar.

    shape    (C, *space) of one field
    modes    M, the real numbers that stand for a field
    shells   S
    shell    (M,) int64, the shell of each mode, 0 ... S - 1
    weight   (M,) float64 with `sum(weight z^2) = sum(x^2)`, to rounding for all bases but `SphericalHarmonics`
    noise    (M,) float64, variance of each mode of white noise of unit variance, zero where a mode is always zero (imaginary
             parts of coefficients that are real). A mode's variance divided by it is what compares with sigma^2, and what
             `variance` and `mode_variance` return.
    """

    shape: tuple[int, ...]
    modes: int
    shells: int
    shell: Tensor
    weight: Tensor
    noise: Tensor

    def forward(self, fields: Tensor) -> Tensor:
        """Return modes (..., M) of fields (..., *shape), float32 or float64 as they are. Raises ConfigError for any other dtype
        or shape."""

    def inverse(self, modes: Tensor) -> Tensor:
        """Return fields (..., *shape) of modes (..., M)."""

    def shell_sums(self, modes_like: Tensor) -> Tensor:
        """Return `sum(weight * modes_like)` over each shell, (..., S) float64, with the same bits for any batch around a
        row."""

    def spread(self, per_shell: Tensor) -> Tensor:
        """Return for each mode (..., M) the value of its shell, of (..., S)."""

    def squares(self, fields: Tensor) -> Tensor:
        """Return `sum(weight forward(fields)^2)` (...), float64, of fields (..., *shape), without a transform."""

    def smoothing(self, points: Points) -> Tensor | None:
        """Return the factors (M,) float64 of a Gaussian average, its standard deviation being so many points of the grid;
        None for bases that do not know which points are neighbours."""

    def halved(self) -> "Basis | None":
        """Return the basis of the same kind on a grid half as fine along axes of an even number of points; None where there
        are no such axes, or the basis knows no grid."""

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        """Return the same basis with its tables on a device and in a dtype. Fields of others are served too, tables being
        converted in every call; shell, weight and noise keep their dtypes."""


BASES = Registry("basis")
register = BASES.register
lookup = BASES.lookup


def make_basis(name: str, shape: Sequence[int], **options: Any) -> Basis:
    """Return the basis of that name for fields of `shape` (C, *space). Raises ConfigError for an unknown name or option."""
    kind = lookup(name)
    parameters = inspect.signature(kind).parameters.values()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = [p for p in parameters if p.name != "shape" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    known = [parameter.name for parameter in named]
    missing = [p.name for p in named if p.default is p.empty and p.name not in options]
    if missing:
        raise ConfigError(f"the basis {name!r} needs the option {', '.join(missing)}; give it")
    for option in options:
        if option not in known and not takes_all:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"the basis {name!r} has no option {option!r}; {has}")
    shown = str(options) if len(str(options)) < LONG else ", ".join(options)
    with blamed(f"the basis {name!r} with {shown if options else 'no options'} for fields {tuple(shape)}"):
        basis: Basis = kind(tuple(shape), **options)
    return basis
