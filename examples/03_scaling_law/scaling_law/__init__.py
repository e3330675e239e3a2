"""Rounds and memory against the dimension, at a fixed divergence."""

from scaling_law.figure import scaling_figure
from scaling_law.fits import Fit, fits
from scaling_law.measure import DIMS, NAMES, QUICK, TOLERANCE, Scaling, measure, to_json, to_markdown
from scaling_law.rows import Row

__all__ = [
    "DIMS", "NAMES", "QUICK", "TOLERANCE", "Fit", "Row", "Scaling", "fits", "measure", "scaling_figure", "to_json",
    "to_markdown",
]  # fmt: skip
