"""The report's figure. matplotlib is imported only when one is drawn, and drawn on without a display."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields import Statistics, radial_spectrum
from parampi.fields.target import partial_name, put_in_place
from parampi.verify.scores import quarter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

Floats = NDArray[np.floating[Any]]
History = Sequence[tuple[int, Floats]]

INK, ACCENT, GRID = "#222222", "#c8553d", "#dddddd"
STYLE = {
    "font.size": 11, "axes.titlesize": 12, "figure.titlesize": 15, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.edgecolor": "#888888", "axes.linewidth": 0.8, "xtick.major.width": 0.8, "ytick.major.width": 0.8,
    "mathtext.default": "regular",
}  # fmt: skip
ARRANGED = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 2)}


def report_figure(
    path: str | Path, ensemble: Floats, statistics: Statistics, history: History, sigmas: Floats, tolerance: float, title: str,
    channel: int = 0, label: str = "Data",
) -> None:  # fmt: skip
    """One PNG, 12 x 9 inch: members beside reference fields, their radial spectra, and a member's residual per point and round.

    ensemble   (M, C, H, W) in physical units
    history    per round: the first point of the member's window, and the residuals (n,) of the window's points
    sigmas     (N + 1,) noise levels of the points
    tolerance  drawn as a line into the residuals
    channel    the one that is shown
    label      what the reference fields are called, "Simulation" for example

    Replaces a file that may be there. Raises OSError where it cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 9), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, weight="bold")
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.3, 1))
        draw_fields(top, ensemble[:, channel], statistics, channel, label)
        left, right = bottom.subplots(1, 2)
        draw_spectra(left, ensemble[:, channel], statistics, channel, label)
        draw_residuals(right, history, sigmas, tolerance)
        figure.savefig(partial_name(path), format="png", metadata={"Software": None})
    put_in_place(path, overwrite=True)


def draw_fields(area: "SubFigure", members: Floats, statistics: Statistics, channel: int, label: str) -> None:
    """Up to four members beside as many reference fields on one colour scale."""
    reference = statistics.reference[:, channel]
    count = min(4, len(members), len(reference))
    scale = colour_scale(statistics, channel)
    blocks = area.subfigures(1, 2, wspace=0.02)
    axes = []
    for block, fields, name in zip(blocks, (members, reference), (f"Ensemble ({len(members)} members)", label), strict=True):
        block.suptitle(name, fontsize=12)
        axes.append(block.subplots(*ARRANGED[count], sharex=True, sharey=True, squeeze=False))
        for axis, field in zip(axes[-1].flat, fields, strict=False):
            image = draw_map(axis, field, statistics, scale)
        for axis in axes[-1][-1]:
            axis.set_xlabel(f"x ({pretty(statistics.x_units)})")
        for axis in axes[-1][:, 0]:
            axis.set_ylabel(f"y ({pretty(statistics.y_units)})")
    name = f"{statistics.long_names[channel]} ({pretty(statistics.units[channel])})"
    blocks[1].colorbar(image, ax=axes[1], label=name, extend="both", aspect=30)


def colour_scale(statistics: Statistics, channel: int) -> tuple[float, float]:
    """Limits, symmetric about the mean, between which 99 % of the reference fields' values are."""
    mean, deviation = statistics.mean[channel], statistics.standard_deviation[channel]
    centre = 0.0 if abs(mean) < 0.05 * deviation else float(mean)
    reach = float(np.quantile(np.abs(statistics.reference[:, channel] - centre), 0.99))
    return centre - reach, centre + reach


def draw_map(axis: "Axes", field: Floats, statistics: Statistics, scale: tuple[float, float]) -> "AxesImage":
    (left, right), (first, last) = edges(statistics.x), edges(statistics.y)
    same = {statistics.x_units, statistics.y_units} in ({statistics.x_units}, {"degrees_north", "degrees_east"})
    image = axis.imshow(
        field, cmap="RdBu_r", vmin=scale[0], vmax=scale[1], extent=(left, right, first, last), origin="lower",
        interpolation="nearest", aspect="equal" if same else "auto",
    )  # fmt: skip
    axis.set_ylim(min(first, last), max(first, last))
    axis.locator_params(nbins=4)
    axis.label_outer()
    return image


def edges(centres: Floats) -> tuple[float, float]:
    """Where the first cell begins and the last one ends."""
    half = (centres[-1] - centres[0]) / max(len(centres) - 1, 1) / 2 or 0.5
    return float(centres[0] - half), float(centres[-1] + half)


def draw_spectra(axis: "Axes", members: Floats, statistics: Statistics, channel: int, label: str) -> None:
    """The ensemble's mean spectrum and the band of its members over the data's, up to the shorter side's Nyquist wavenumber."""
    shown = slice(1, min(statistics.grid) // 2 + 1)
    k, data = statistics.wavenumber[shown], statistics.spectrum[channel, shown]
    spectra = radial_spectrum(members)[:, shown]
    low, high = np.quantile(spectra, (0.1, 0.9), axis=0)
    axis.fill_between(k, low, high, color=ACCENT, alpha=0.25, linewidth=0, label="80 % of the members")
    axis.plot(k, data, color=INK, linewidth=2.5, label=label.lower())
    axis.plot(k, spectra.mean(0), color=ACCENT, linewidth=1.8, linestyle=(0, (4, 1.5)), label="ensemble mean")
    axis.set(xscale="log", yscale="log", xlabel="wavenumber (cycles per domain)", title="Radial spectrum")
    axis.set_ylabel(f"mean square per shell ({pretty(statistics.units[channel], squared=True)})")
    axis.set_ylim(bottom=max(min(data.min(), spectra.min()), 1e-8 * data.max()) / 2)
    axis.grid(color=GRID, linewidth=0.6)
    quarter = quarter_of(statistics)
    axis.axvline(quarter, color="#888888", linewidth=1, linestyle=":", label=f"quarter of the grid, {quarter}")
    axis.legend(frameon=False, loc="lower left")


def draw_residuals(axis: "Axes", history: History, sigmas: Floats, tolerance: float) -> None:
    """Residual by point and round, logarithmic; white where a point was not in the window."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm

    table = residual_table(history, len(sigmas) - 1)
    axis.set(xlabel="point", ylabel="round", title="Residual")
    floor, top = tolerance * 1e-3, max(float(np.nanmax(table, initial=0.0)), 10 * tolerance)
    image = axis.imshow(
        np.maximum(table, floor), norm=LogNorm(floor, top), cmap="viridis", aspect="auto", origin="lower", interpolation="nearest",
        extent=(-0.5, table.shape[1] - 0.5, 0.5, table.shape[0] + 0.5),
    )  # fmt: skip
    axis.add_collection(LineCollection(borders(table <= tolerance, np.isfinite(table)), colors=ACCENT, linewidths=1.5))
    bar = axis.figure.colorbar(image, ax=axis, label="relative change in the round", extend="min")
    bar.ax.axhline(tolerance, color=ACCENT, linewidth=2)
    noise_levels(axis, sigmas)


def residual_table(history: History, points: int) -> Floats:
    """(rounds, points), NaN where a point was not in the window."""
    table = np.full((max(len(history), 1), points), np.nan)
    for row, (first, residuals) in zip(table, history, strict=False):
        row[first : first + len(residuals)] = residuals
    return table


def borders(below: NDArray[np.bool_], known: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Cell edges, in the coordinates of `draw_residuals`, between known cells of which one only is below."""
    across = np.argwhere((below[:, 1:] != below[:, :-1]) & known[:, 1:] & known[:, :-1])
    along = np.argwhere((below[1:] != below[:-1]) & known[1:] & known[:-1])
    upright = [[(p + 0.5, r + 0.5), (p + 0.5, r + 1.5)] for r, p in across.tolist()]
    level = [[(p - 0.5, r + 1.5), (p + 0.5, r + 1.5)] for r, p in along.tolist()]
    return upright + level


def noise_levels(axis: "Axes", sigmas: Floats) -> None:
    """The points' noise levels along the top."""
    points = np.unique(np.linspace(0, len(sigmas) - 2, 6).round().astype(int))
    upper = axis.secondary_xaxis("top")
    upper.set_xticks(points, [f"{sigmas[p]:.2g}" for p in points])
    upper.set_xlabel("noise level sigma")


def pretty(units: str, squared: bool = False) -> str:
    """UDUNITS with raised exponents, "m s-1" for example; the square of them if asked for."""
    factors = re.findall(r"([^\W\d]+|%)\^?(-?\d*)", units)
    if re.sub(r"[\s.]", "", units) != "".join(name + power for name, power in factors):
        return f"({units})$^2$" if squared else units
    powers = [(name, int(power or 1) * (2 if squared else 1)) for name, power in factors]
    return " ".join(name if power == 1 else f"{name}$^{{{power}}}$" for name, power in powers) or "1"
