"""`parampi score`."""

from functools import partial
from pathlib import Path

import click

from parampi import __version__
from parampi.run.launched_rank import launched_rank


@click.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.option("--truth", multiple=True, required=True, type=click.Path(path_type=Path), help="File of what came (repeatable).")
@click.option("--reference", default="", help="What to compare with: climatology, persistence, or another ensemble file.")
@click.option("--variable", "variables", multiple=True, help="A channel, such as t@500 (repeatable); all by default.")
@click.option("--threshold", "thresholds", multiple=True, help="Brier score and reliability above it: t2m=273.15 (repeatable).")
@click.option("--output", type=click.Path(path_type=Path), help="NetCDF file of all scores.")
@click.option("--figures", type=click.Path(path_type=Path), help="Folder for a picture of each score.")
@click.option("--confidence", type=float, default=0.9, show_default=True, help="Share of drawn scores within an interval.")
@click.option("--replicates", type=int, default=1000, show_default=True, help="How often starts and members are drawn anew.")
@click.option("--plane", is_flag=True, help="Take latitude and longitude for a plane: no weights by area.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
def score(
    ensemble: Path,
    truth: tuple[Path, ...],
    reference: str,
    variables: tuple[str, ...],
    thresholds: tuple[str, ...],
    output: Path | None,
    figures: Path | None,
    confidence: float,
    replicates: int,
    plane: bool,
    overwrite: bool,
) -> None:
    """Score the forecasts in the file ENSEMBLE against the truth: CRPS, error and spread, bias, energy score, rank histogram,
    Brier score, reliability and spectra, by lead time, weighted by area. Fields are shared by ranks."""
    from parampi.fields import check_target
    from parampi.parallel.agree import Reducer, on_all, on_root
    from parampi.parallel.launch import abort_on_error, world
    from parampi.verify.forecast_scores import ScoreRequest, prepare, table
    from parampi.verify.score_output import draw_figures, figure_paths, save

    comm = world()
    with abort_on_error(comm):
        levels = on_all(comm, lambda: thresholds_by_channel(thresholds))
        request = on_all(comm, lambda: ScoreRequest(variables, levels, reference, confidence, replicates, plane=plane))
        targets = [*([output] if output else []), *(figure_paths(figures) if figures else [])]
        for path in targets:
            on_root(comm, partial(check_target, path, overwrite))
        with on_all(comm, lambda: prepare(ensemble, truth, request)) as scoring:
            scores = scoring.scores(Reducer(comm))
        if launched_rank() == 0:
            print(table(scores), flush=True)
            for path in ([save(output, scores, f"parampi {__version__}")] if output else []) + (
                draw_figures(figures, scores) if figures else []
            ):
                print(f"wrote {path}", flush=True)


def thresholds_by_channel(texts: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    """Return thresholds by channel, "" where none is named. Raise ConfigError for what is no number."""
    from parampi.errors import ConfigError

    levels: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            level = float(number)
        except ValueError:
            raise ConfigError(f"--threshold {text}: {number!r} is no number; give such as t2m=273.15") from None
        levels[name] = (*levels.get(name, ()), level)
    return levels
