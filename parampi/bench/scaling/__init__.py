"""Rounds and memory against the dimension, at a fixed divergence: `parampi bench scaling-law`."""

from parampi.bench.scaling.fits import Fit, fits
from parampi.bench.scaling.measure import DIMS, NAMES, QUICK, TOLERANCE, Scaling, measure, to_json, to_markdown
from parampi.bench.scaling.rows import Row

__all__ = ["DIMS", "NAMES", "QUICK", "TOLERANCE", "Fit", "Row", "Scaling", "fits", "measure", "to_json", "to_markdown"]
