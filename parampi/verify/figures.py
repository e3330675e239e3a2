"""The report's figure. matplotlib is imported only when a figure is drawn, and needs no display."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields import DatasetStatistics
from parampi.fields.atomic_files import replacing
from parampi.verify.drawing import drawing
from parampi.verify.panels import (
    GLOBE_ASPECT,
    LINE_ASPECT,
    draw_line,
    draw_points,
    is_line,
    layer,
    map_axes,
    points_on_earth,
    pretty,
)
from parampi.verify.scores import quarter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.floating[Any]]
History = Sequence[tuple[int, Floats]]
Box = tuple[float, float, float, float]

WIDTH, HEIGHT = 12.0, 9.0  # inch; boxes are (left, bottom, width, height) in inch too
FIELDS: tuple[Box, Box] = (1.0, 4.3, 4.1, 4.1), (6.5, 4.3, 4.1, 4.1)
SPECTRA: Box = (1.0, 0.7, 4.1, 2.45)
RESIDUALS: Box = (6.5, 0.7, 4.1, 2.45)
ARRANGED = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 2)}
"""Rows and columns by the number of panels."""
SPECTRUM_LABELS = {
    "fourier": ("Radial spectrum", "wavenumber (cycles per domain)", "a quarter of the grid"),
    "spherical_harmonics": ("Spectrum on the sphere", "degree of spherical harmonics", "half of the degrees"),
    "region": ("Radial spectrum", "wavenumber (lowest of the region = 1)", "half of the wavenumbers"),
}
"""Title, label of the axis and name of the highest shell that is compared, by the basis of the spectrum."""

INK, ACCENT, FAINT = "#222222", "#c8553d", "#d9d9d9"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "mathtext.default": "regular",
}


def report_figure(
    path: str | Path,
    ensemble: Floats,
    statistics: DatasetStatistics,
    history: History,
    *,
    sigmas: Floats,
    tolerance: float,
    title: str,
    channel: int = 0,
    label: str = "Data",
) -> None:
    """Draw one PNG, 12 x 9 inch: members beside reference fields, radial spectra, and a member's residual per point and round.

    ensemble   (M, C, H, W) in physical units
    history    per round: the first point of the member's window, and the residuals (n,) of the window's points
    sigmas     (N + 1,) noise levels of the points
    tolerance  drawn as a line into the residuals
    channel    the channel that is shown
    label      name of the reference fields, "Simulation" for example

    Replaces a file that may be there. Raises OutputError where it cannot be written.
    """
    with drawing(STYLE):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=150)
        FigureCanvasAgg(figure)
        figure.text(0.5, 8.75 / HEIGHT, title, ha="center", fontsize=15, weight="bold")
        draw_fields(figure, ensemble[:, channel], statistics, channel, label)
        draw_spectra(add_axes(figure, SPECTRA), ensemble[:, channel], statistics, channel, label)
        draw_residuals(figure, add_axes(figure, RESIDUALS), history, sigmas, tolerance)
        with replacing(path) as partial:
            figure.savefig(partial, format="png", metadata={"Software": None})


def add_axes(figure: "Figure", box: Box) -> "Axes":
    """Add axes in a box."""
    left, bottom, width, height = box
    return figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))


def draw_fields(figure: "Figure", members: Floats, statistics: DatasetStatistics, channel: int, label: str) -> None:
    """Draw up to four members beside as many reference fields, on one colour scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    reference = statistics.reference[:, channel]
    rows, columns = ARRANGED[min(4, len(members), len(reference))]
    colours = ScalarMappable(Normalize(*colour_limits(statistics, channel)), "RdBu_r")
    shown = f"{rows * columns} of {len(members)} members" if len(members) > rows * columns else "all members"
    for area, fields, name in zip(FIELDS, (members, reference), (f"Ensemble ({shown})", label), strict=True):
        block, panels = arrange(area, rows, columns, aspect(statistics))
        for number, (panel, field) in enumerate(zip(panels, fields, strict=False)):
            axis = add_axes(figure, panel)
            draw_map(axis, field, statistics, colours)
            axis.tick_params(labelbottom=number >= len(panels) - columns, labelleft=number % columns == 0)
        label_block(figure, block, name, statistics)
    name = f"{statistics.long_names[channel]} ({pretty(statistics.units[channel])})"
    figure.colorbar(colours, cax=add_axes(figure, beside(block)), label=name, extend="both")


def label_block(figure: "Figure", block: Box, name: str, statistics: DatasetStatistics) -> None:
    """Write one name and one label per axis for all panels of a block."""
    left, bottom, width, height = block
    centre, middle = (left + width / 2) / WIDTH, (bottom + height / 2) / HEIGHT
    shown = layer(statistics)[1]
    (_, y), (_, x) = map_axes(statistics)
    figure.text(centre, (bottom + height + 0.1) / HEIGHT, f"{name}; {shown}" if shown else name, ha="center", fontsize=12)
    figure.text(centre, (bottom - 0.45) / HEIGHT, x, ha="center")
    figure.text((left - 0.72) / WIDTH, middle, y, va="center", rotation=90)


def aspect(statistics: DatasetStatistics) -> float:
    """Return the width of a map over its height: true to scale where both axes have the same units, at most 3."""
    if is_line(statistics) or points_on_earth(statistics) is not None:
        return LINE_ASPECT if is_line(statistics) else GLOBE_ASPECT
    (y, _), (x, _) = map_axes(statistics)
    (left, right), (first, last) = edges(x), edges(y)
    angles = {statistics.x_units, statistics.y_units} == {"degrees_north", "degrees_east"}
    true = abs((right - left) / (last - first)) if angles or statistics.x_units == statistics.y_units else 1.0
    return float(np.clip(true, 1 / 3, 3))


def arrange(area: Box, rows: int, columns: int, aspect: float, *, gap: float = 0.12) -> tuple[Box, list[Box]]:
    """Return the block of rows x columns panels in the middle of an area, and the panels, row by row from the top left."""
    left, bottom, width, height = area
    panel = min((width - gap * (columns - 1)) / columns, (height - gap * (rows - 1)) / rows * aspect)
    across, down = panel + gap, panel / aspect + gap
    left, bottom = left + (width - columns * across + gap) / 2, bottom + (height - rows * down + gap) / 2
    corners = [(left + c * across, bottom + r * down) for r in reversed(range(rows)) for c in range(columns)]
    return (left, bottom, columns * across - gap, rows * down - gap), [(*corner, panel, panel / aspect) for corner in corners]


def beside(box: Box) -> Box:
    """Return the box of a colour bar beside a box."""
    left, bottom, width, height = box
    return left + width + 0.15, bottom, 0.17, height


def colour_limits(statistics: DatasetStatistics, channel: int) -> tuple[float, float]:
    """Return the limits about the mean between which 99 % of the reference fields' values are."""
    mean, deviation = statistics.mean[channel], statistics.standard_deviation[channel]
    centre = 0.0 if abs(mean) < 0.05 * deviation else float(mean)
    reach = float(np.quantile(np.abs(statistics.reference[:, channel] - centre), 0.99))
    return centre - reach, centre + reach


def draw_map(axis: "Axes", field: Floats, statistics: DatasetStatistics, colours: Any) -> None:
    """Draw one field: a line, points on the Earth, or a map, y upwards; of more axes the middle layer."""
    if is_line(statistics):
        return draw_line(axis, field, statistics, colours)
    if (places := points_on_earth(statistics)) is not None:
        return draw_points(axis, field, places, colours)
    if statistics.dimensions is not None and len(statistics.sizes) > 2:
        field = field.reshape(-1, *statistics.sizes[-2:])[layer(statistics)[0]]
    (y, _), (x, _) = map_axes(statistics)
    (left, right), (first, last) = edges(x), edges(y)
    axis.imshow(
        field,
        cmap=colours.cmap,
        norm=colours.norm,
        extent=(left, right, first, last),
        origin="lower",
        interpolation="nearest",
        aspect="auto",
    )
    axis.set_ylim(min(first, last), max(first, last))
    height = axis.get_position().height * HEIGHT
    axis.locator_params(axis="x", nbins=4)
    axis.locator_params(axis="y", nbins=max(1, min(4, int(2.5 * height))))
    if len(field) == 1:
        axis.set_yticks([])
    return None


def edges(centres: Floats) -> tuple[float, float]:
    """Return the coordinates where the first cell begins and the last one ends."""
    half = (centres[-1] - centres[0]) / max(len(centres) - 1, 1) / 2 or 0.5
    return float(centres[0] - half), float(centres[-1] + half)


def draw_spectra(axis: "Axes", members: Floats, statistics: DatasetStatistics, channel: int, label: str) -> None:
    """Draw the ensemble's mean spectrum and its members' band over the data's, up to the highest shell that the grid holds in
    all directions."""
    geometry = statistics.geometry
    if not geometry.has_modes:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "points without order\nhave no spectrum", ha="center", va="center", transform=axis.transAxes)
        return
    shown = slice(1, geometry.highest + 1)
    k, data = statistics.wavenumber[shown], statistics.spectrum[channel, shown]
    spectra, last = geometry.spectrum(members)[:, shown], quarter_of(statistics)
    title, along, limit = SPECTRUM_LABELS.get(geometry.basis, SPECTRUM_LABELS["region"])
    if len(spectra) > 1:
        low, high = np.quantile(spectra, (0.1, 0.9), axis=0)
        axis.fill_between(k, low, high, color=ACCENT, alpha=0.25, linewidth=0, label="80 % of members")
    axis.plot(k, data, color=INK, linewidth=2.5, label=label.lower())
    drawn = "mean of members" if len(spectra) > 1 else "the member"
    axis.plot(k, spectra.mean(0), color=ACCENT, linewidth=1.8, linestyle=(0, (4, 1.5)), label=drawn)
    axis.axvline(last, color="#888888", linewidth=1.2, linestyle=":", label=f"{limit} ({last})")
    axis.set(xscale="log", yscale="log", xlabel=along, title=title, xlim=(k[0], k[-1]))
    axis.set_ylabel(
        f"mean square per {'degree' if geometry.spherical else 'shell'} ({pretty(statistics.units[channel], squared=True)})"
    )
    axis.set_ylim(bottom=max(min(data.min(), spectra.min()), 1e-8 * data.max()) / 2)
    ticks = [2**i for i in range(16) if 2**i <= k[-1]]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.grid(color=FAINT, linewidth=0.6)
    axis.legend(loc="lower left", fontsize=10, edgecolor="none", framealpha=0.7)


def draw_residuals(figure: "Figure", axis: "Axes", history: History, sigmas: Floats, tolerance: float) -> None:
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
    axis.set_title(r"Residual per round and point (above: noise level $\sigma$)", pad=24)
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
    points = np.unique(np.linspace(0, len(sigmas) - 2, 6).round().astype(int))
    upper = axis.secondary_xaxis("top")
    upper.set_xticks(points, [f"{sigmas[p]:.2g}" for p in points])
