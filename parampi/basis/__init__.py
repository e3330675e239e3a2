"""Bases in which fields of physics are nearly uncorrelated. The names below are what configurations use."""

from parampi.basis.base import BASES, Basis, lookup, make_basis, register
from parampi.basis.eof import EOF
from parampi.basis.grid import Cosine, Fourier, Mixed
from parampi.basis.identity import Identity
from parampi.basis.sphere import SphericalHarmonics
from parampi.basis.variance import Variance, mode_variance, variance

__all__ = [
    "BASES", "EOF", "Basis", "Cosine", "Fourier", "Identity", "Mixed", "SphericalHarmonics", "Variance", "lookup", "make_basis",
    "mode_variance", "register", "variance",
]  # fmt: skip
