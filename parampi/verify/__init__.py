"""Comparison of ensembles with the data they should look like, and of forecasts with what came. Reads results only."""

from parampi.verify.figures import report_figure
from parampi.verify.forecast_scores import ChannelScores, ForecastScores, ScoreRequest, score
from parampi.verify.scores import EnsembleScores, compare, compare_fields, kurtosis, quarter_of, spectrum_ratio

__all__ = [
    "ChannelScores",
    "EnsembleScores",
    "ForecastScores",
    "ScoreRequest",
    "compare",
    "compare_fields",
    "kurtosis",
    "quarter_of",
    "report_figure",
    "score",
    "spectrum_ratio",
]  # fmt: skip
