"""Rounds and memory against the dimension of the data, at a fixed divergence of samples from data."""

from scaling_law.figure import scaling_figure
from scaling_law.fits import ScalingFit, fit_rows
from scaling_law.rows import ScalingRow
from scaling_law.study import DIMS, PROBLEM_NAMES, QUICK_DIMS, TOLERANCE, ScalingStudy, measure
from scaling_law.table import to_json, to_markdown

__all__ = [
    "DIMS", "PROBLEM_NAMES", "QUICK_DIMS", "TOLERANCE", "ScalingFit", "ScalingRow", "ScalingStudy", "fit_rows", "measure",
    "scaling_figure", "to_json", "to_markdown",
]  # fmt: skip
