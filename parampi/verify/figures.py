"""The report's figure. matplotlib is imported only when a figure is drawn, and needs no display."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields import DatasetStatistics
from parampi.fields.atomic_files import replacing
from parampi.fields.evenly import evenly
from parampi.verify.drawing import STYLE, drawing, literal
from parampi.verify.maps import Box, add_axes, beside, draw_blocks, member_words
from parampi.verify.spectrum_panel import draw_spectra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.floating[Any]]
History = Sequence[tuple[int, Floats]]

WIDTH, HEIGHT = 12.0, 9.0  # inch
FIELDS: tuple[Box, Box] = (1.0, 4.3, 4.1, 3.85), (6.5, 4.3, 4.1, 3.85)
SPECTRA: Box = (1.0, 0.7, 4.1, 2.45)
RESIDUALS: Box = (6.5, 0.7, 4.1, 2.45)


def report_figure(
    path: str | Path,
    members: Floats,
    statistics: DatasetStatistics,
    history: History,
    *,
    sigmas: Floats,
    tolerance: float,
    title: str,
    place: str = "",
    numbers: Sequence[int] = (),
    total: int | None = None,
    channel: int = 0,
    label: str = "Data",
    swept: str = "",
) -> None:
    """Draw one PNG, 12 x 9 inch: members beside reference fields, radial spectra, and a member's residual per point and round.

    members    (M, H, W) of the channel in physical units, all of one case and lead time; NaN where points are missing
    history    per round: the first point of the member's window, and the residuals (n,) of the window's points
    sigmas     (N + 1,) noise levels of the points
    tolerance  drawn as a line into the residuals
    place      case and lead time of the members, in words
    numbers    of the members; 0, 1, ... where they are not given
    total      how many members there are, of which these are some; all where it is None
    channel    the channel that is shown
    label      name of the reference fields, "Simulation" for example
    swept      whose residuals are shown, "member 3" for example

    Replaces a file that may be there. Raises OutputError where it cannot be written.
    """
    with drawing(STYLE):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=150)
        FigureCanvasAgg(figure)
        figure.text(0.5, 8.75 / HEIGHT, title, ha="center", fontsize=15, weight="bold")
        figure.text(0.5, 8.5 / HEIGHT, subtitle(statistics, channel, place), ha="center", fontsize=11)
        reference = statistics.reference[:, channel]
        panels = min(4, len(members), len(reference))
        shown = list(numbers)[:panels] or list(range(panels))
        blocks = [(member_words(shown, total or len(members)), members), (label, reference)]
        draw_blocks(figure, list(FIELDS), blocks, statistics, channel)
        draw_spectra(add_axes(figure, SPECTRA), members, statistics, channel, label)
        draw_residuals(figure, add_axes(figure, RESIDUALS), history, sigmas, tolerance, swept)
        with replacing(path) as partial:
            figure.savefig(partial, format="png", metadata={"Software": None})


def subtitle(statistics: DatasetStatistics, channel: int, place: str) -> str:
    """Return which channel is shown, of how many, and of when."""
    count = len(statistics.names)
    several = f" (channel {channel + 1} of {count})" if count > 1 else ""
    return literal(f"{statistics.long_names[channel]}{several}" + (f", {place}" if place else ""))


def draw_residuals(figure: "Figure", axis: "Axes", history: History, sigmas: Floats, tolerance: float, swept: str = "") -> None:
    """Draw the residual by point and round on a logarithmic scale; white where a point was not in the window."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    table = residual_table(history, len(sigmas) - 1)
    floor, top = tolerance * 1e-3, max(float(np.max(table, initial=0.0, where=np.isfinite(table))), 10 * tolerance)
    extent = (-0.5, table.shape[1] - 0.5, 0.5, table.shape[0] + 0.5)
    image = axis.imshow(
        np.maximum(table, floor),
        norm=LogNorm(floor, top),
        cmap="viridis",
        aspect="auto",
        extent=extent,
        origin="lower",
        interpolation="nearest",
    )
    axis.add_collection(LineCollection(borders(table <= tolerance, np.isfinite(table)), colors="white", linewidths=1.8))
    axis.set(xlabel="point", ylabel="round", xlim=extent[:2], ylim=extent[2:])
    of = f"Residuals of {swept}" if swept else "Residual per round and point"
    axis.set_title(rf"{of} (above: noise level $\sigma$)", pad=24)
    axis.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    bar = figure.colorbar(image, cax=add_axes(figure, beside(RESIDUALS)), extend="min")
    bar.set_label("relative change (line: tolerance)")
    bar.ax.axhline(tolerance, color="white", linewidth=1.8)
    noise_levels(axis, sigmas)


def residual_table(history: History, points: int) -> Floats:
    """Return residuals (rounds, points), NaN where a point was not in the window."""
    table = np.full((max(len(history), 1), points), np.nan)
    for row, (first, residuals) in zip(table, history, strict=False):
        row[first : first + len(residuals)] = residuals
    return table


def borders(below: NDArray[np.bool_], known: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Return the edges, in the coordinates of `draw_residuals`, between known cells of which only one is below."""
    between_points = np.argwhere((below[:, 1:] != below[:, :-1]) & known[:, 1:] & known[:, :-1])
    between_rounds = np.argwhere((below[1:] != below[:-1]) & known[1:] & known[:-1])
    vertical = [[(p + 0.5, r + 0.5), (p + 0.5, r + 1.5)] for r, p in between_points.tolist()]
    horizontal = [[(p - 0.5, r + 1.5), (p + 0.5, r + 1.5)] for r, p in between_rounds.tolist()]
    return vertical + horizontal


def noise_levels(axis: "Axes", sigmas: Floats) -> None:
    """Write the points' noise levels along the top."""
    points = evenly(len(sigmas) - 1, 6)
    upper = axis.secondary_xaxis("top")
    upper.set_xticks(points, [f"{sigmas[p]:.2g}" for p in points])
