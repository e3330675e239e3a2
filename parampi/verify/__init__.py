"""Comparison of ensembles with the data they should look like, as numbers and as a figure. Reads results only."""

from parampi.verify.figures import report_figure
from parampi.verify.scores import EnsembleScores, compare, compare_fields, kurtosis, quarter_of, spectrum_ratio

__all__ = ["EnsembleScores", "compare", "compare_fields", "kurtosis", "quarter_of", "report_figure", "spectrum_ratio"]
