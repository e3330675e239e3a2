"""What `parampi score` writes: a NetCDF file of all scores, and a picture of each."""

from pathlib import Path

from parampi.fields.ensembles.score_files import ScoreKind, write_scores
from parampi.verify.forecast_scores import ForecastScores

KINDS = {
    "crps": ScoreKind("fair continuous ranked probability score", 1),
    "skill": ScoreKind("skill of the continuous ranked probability score over the reference"),
    "rmse": ScoreKind("root mean square error of the ensemble mean", 1),
    "spread": ScoreKind("spread of the members, times sqrt((M + 1) / M)", 1),
    "spread_skill": ScoreKind("ratio of spread to error of the mean"),
    "bias": ScoreKind("bias of the ensemble mean", 1),
    "energy": ScoreKind("fair energy score of whole fields, by root mean square", 1),
    "reference_crps": ScoreKind("continuous ranked probability score of the reference", 1),
    "reference_rmse": ScoreKind("root mean square error of the reference's mean", 1),
    "ranks": ScoreKind("rank histogram of the truth among members", None, ("rank",)),
    "brier": ScoreKind("Brier score", None, ("threshold",)),
    "forecast": ScoreKind("frequency of forecasts with so many members above the threshold", None, ("threshold", "count")),
    "observed": ScoreKind("frequency of these where the truth is above it too", None, ("threshold", "count")),
    "spectrum_members": ScoreKind("mean spectrum of the members", 2, ("shell",)),
    "spectrum_truth": ScoreKind("spectrum of the truth", 2, ("shell",)),
    "spectrum_error": ScoreKind("spectrum of the error of the ensemble mean", 2, ("shell",)),
}
"""Scores by their names in files."""


def save(path: Path, scores: ForecastScores, source: str) -> Path:
    """Write the file of scores, and return its path; `source` says what made it. Raises OutputError."""
    request, forecasts = scores.request, scores.forecasts
    attributes: dict[str, str | float] = {
        "source": source,
        "ensemble": str(forecasts.path),
        "truth": scores.truth,
        "members": len(forecasts.members),
        "starts": len(forecasts.starts),
        "grid": scores.geometry.words() or "points that all count alike",
        "confidence": request.confidence,
        "replicates": request.replicates,
        "reference": request.reference or "none",
    }
    write_scores(path, forecasts, scores.channels, KINDS, shells=scores.geometry.shells.tolist(), attributes=attributes)
    return path


def figure_paths(folder: Path) -> list[Path]:
    """Return the pictures that may be drawn into a folder."""
    from parampi.verify.score_figures import FIGURES

    return [folder / f"{name}.png" for name in FIGURES]


def draw_figures(folder: Path, scores: ForecastScores) -> list[Path]:
    """Draw a picture of each score that there is, and return their paths. Raises OutputError."""
    from parampi.verify.score_figures import draw

    return draw(folder, scores)
