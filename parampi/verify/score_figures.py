"""Pictures of scores: one file for each kind, a panel for each channel. matplotlib is imported only when one is drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields.atomic_files import replacing
from parampi.fields.evenly import evenly
from parampi.verify.drawing import ACCENT, FAINT, INK, STYLE, drawing, pretty
from parampi.verify.forecast_scores import ChannelScores, ForecastScores, counted_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.floating[Any]]
PANELS = 12
"""Channels that are drawn."""
TICKS = 6
"""Lead times that have numbers on their axis, at most."""
COLOURS = ("#3b6aa0", ACCENT, "#5a8f4e", "#8a5ea8")
"""Of lead times, or thresholds, in one panel."""


def draw(folder: Path, scores: ForecastScores) -> list[Path]:
    """Draw a picture of each kind of score that there is. Return their paths. Raises OutputError."""
    paths = []
    for name, (title, panel, needed) in FIGURES.items():
        channels = [one for one in scores.channels if needed in one.values and np.isfinite(one.values[needed]).any()][:PANELS]
        if channels:
            path = folder / f"{name}.png"
            draw_one(path, title, panel, channels, scores)
            paths.append(path)
    return paths


def draw_one(
    path: Path,
    title: str,
    panel: "Callable[[Axes, ChannelScores, ForecastScores], None]",
    channels: list[ChannelScores],
    scores: ForecastScores,
) -> None:
    """Draw one picture, a panel for each channel."""
    columns = min(3, len(channels))
    rows = -(-len(channels) // columns)
    with drawing(STYLE):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.5 + 4.6 * columns, 1.3 + 3.6 * rows), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, one in zip(axes.flat, channels, strict=False):
            panel(axis, one, scores)
            axis.set_title(one.channel.name)
            axis.grid(color=FAINT, linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
        for axis in axes.flat[len(channels) :]:
            axis.set_axis_off()
        counted = counted_words(scores.forecasts)
        bands = f"; bands: {scores.request.confidence:.0%} intervals" if panel in BANDS else ""
        figure.suptitle(f"{title}\n{counted}{bands}", fontsize=12)
        with replacing(path) as partial:
            figure.savefig(partial, format="png", metadata={"Software": None})


def along(axis: "Axes", scores: ForecastScores) -> Floats:
    """Return where lead times are drawn, and label the axis."""
    forecasts = scores.forecasts
    if forecasts.leads is None:
        axis.set_xticks([0], ["all times"])
        axis.set_xlim(-1, 1)
        return np.zeros(1)
    axis.set_xlabel(f"lead time ({forecasts.lead_units})")
    axis.set_xticks(forecasts.leads[:: -(-len(forecasts.leads) // TICKS)])
    return forecasts.leads


def line(axis: "Axes", x: Floats, one: ChannelScores, name: str, colour: str, label: str) -> None:
    """Draw a score along lead times, with its interval as a band, or as a bar where there is one alone."""
    value, ends = one.values[name], one.intervals.get(name)
    axis.plot(x, value, color=colour, marker="o", markersize=4, linewidth=1.8, label=label)
    if ends is None or not np.isfinite(ends).all():
        return
    if len(x) == 1:
        axis.vlines(x, ends[0], ends[1], color=colour, linewidth=5, alpha=0.3)
    else:
        axis.fill_between(x, ends[0], ends[1], color=colour, alpha=0.2, linewidth=0)


def legend(axis: "Axes", place: Any = "best") -> None:
    axis.legend(fontsize=9, edgecolor="none", framealpha=0.7, loc=place)


def crps_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw the CRPS, and that of the reference."""
    x = along(axis, scores)
    line(axis, x, one, "crps", COLOURS[0], "ensemble")
    if "reference_crps" in one.values:
        name = Path(scores.request.reference).name
        axis.plot(x, one.values["reference_crps"], color=INK, linestyle="--", marker="o", markersize=3, label=name)
    axis.set(ylabel=f"fair CRPS ({pretty(one.channel.units)})")
    axis.set_ylim(bottom=0)
    legend(axis)


def spread_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw spread and error of the mean: equal where members and truth are of one law."""
    x = along(axis, scores)
    line(axis, x, one, "rmse", INK, "error of the mean")
    line(axis, x, one, "spread", ACCENT, "spread")
    axis.set(ylabel=f"root mean square ({pretty(one.channel.units)})")
    axis.set_ylim(bottom=0)
    legend(axis)


def ratio_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw the ratio of spread to error, beside 1."""
    x = along(axis, scores)
    axis.axhline(1, color=INK, linewidth=1, linestyle=":", label="members as the truth")
    line(axis, x, one, "spread_skill", ACCENT, "spread / error")
    axis.set(ylabel="spread / error of the mean")
    legend(axis)


def bias_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw the bias, beside 0."""
    x = along(axis, scores)
    axis.axhline(0, color=INK, linewidth=1, linestyle=":")
    line(axis, x, one, "bias", COLOURS[0], "bias")
    axis.set(ylabel=f"mean error ({pretty(one.channel.units)})")


def energy_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw the energy score."""
    line(axis, along(axis, scores), one, "energy", COLOURS[0], "energy score")
    axis.set(ylabel=f"fair energy score ({pretty(one.channel.units)})")
    axis.set_ylim(bottom=0)


def some_leads(scores: ForecastScores, most: int = 3) -> list[tuple[int, str]]:
    """Return some lead times, with names."""
    leads = scores.forecasts.leads
    if leads is None:
        return [(0, "all times")]
    return [(row, f"{leads[row]:g} {scores.forecasts.lead_units}") for row in evenly(len(leads), most)]


def rank_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw rank histograms of some lead times; flat where members and truth are of one law."""
    size = one.values["ranks"].shape[1]
    axis.axhline(1, color=INK, linewidth=1, linestyle=":")
    leads = some_leads(scores)
    for number, (colour, (lead, name)) in enumerate(zip(COLOURS, leads, strict=False)):
        value, ends = one.values["ranks"][lead] * size, one.intervals["ranks"][:, lead] * size
        axis.stairs(value, np.arange(size + 1) - 0.5, color=colour, linewidth=1.8, label=name)
        if len(scores.forecasts.starts) > 1:
            beside = np.arange(size) + 0.2 * (number - (len(leads) - 1) / 2)
            axis.vlines(beside, ends[0], ends[1], color=colour, linewidth=3, alpha=0.35)
    axis.set(xlabel="members below the truth", ylabel="frequency / that of equal ones")
    axis.set_ylim(bottom=0)
    legend(axis, "lower center")


def spectrum_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw spectra of members, truth and the error of the mean at some lead times."""
    geometry = scores.geometry
    shown = slice(1, geometry.highest + 1)
    x = geometry.shells[shown]
    leads = some_leads(scores)
    for colour, (lead, name) in zip(COLOURS, leads, strict=False):
        axis.plot(x, one.values["spectrum_members"][lead][shown], color=colour, linewidth=1.8, label=name)
        axis.plot(x, one.values["spectrum_truth"][lead][shown], color=colour, linewidth=2, linestyle=":")
        axis.plot(x, one.values["spectrum_error"][lead][shown], color=colour, linewidth=1.2, linestyle="--")
    for style, name in (("-", "members"), (":", "truth"), ("--", "error of the mean")):
        axis.plot([], [], color="#888888", linestyle=style, label=name)
    kind = "degree" if geometry.spherical else "wavenumber"
    axis.set(xscale="log", yscale="log", xlabel=kind, ylabel=f"mean square ({pretty(one.channel.units, squared=True)})")
    ticks = [2**power for power in range(16) if 2**power <= x[-1]]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    legend(axis)


def reliability_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw how often the truth is above a threshold where so many members are, all starts and lead times together."""
    axis.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":")
    size = one.values["forecast"].shape[2]
    groups = np.minimum(np.arange(size) * 10 // (size - 1), 9) if size > 11 else np.arange(size)
    for row, (colour, level) in enumerate(zip(COLOURS, one.thresholds, strict=False)):
        forecast, observed = (one.values[name][:, row].mean(0) for name in ("forecast", "observed"))
        mass, hits, chances = (
            np.bincount(groups, values) for values in (forecast, observed, forecast * np.arange(size) / (size - 1))
        )
        some = mass > 1e-6
        sizes = 15 + 150 * mass[some] / mass.max()
        axis.plot(chances[some] / mass[some], hits[some] / mass[some], color=colour, linewidth=1.5, label=f"above {level:g}")
        axis.scatter(chances[some] / mass[some], hits[some] / mass[some], s=sizes, color=colour, alpha=0.5, linewidth=0)
    axis.set(xlabel="share of members above", ylabel="share of the truth above", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    legend(axis)


def brier_panel(axis: "Axes", one: ChannelScores, scores: ForecastScores) -> None:
    """Draw the Brier score of each threshold."""
    x = along(axis, scores)
    for row, (colour, level) in enumerate(zip(COLOURS, one.thresholds, strict=False)):
        axis.plot(x, one.values["brier"][:, row], color=colour, marker="o", markersize=4, label=f"above {level:g}")
        ends = one.intervals["brier"][:, :, row]
        if len(x) > 1 and np.isfinite(ends).all():
            axis.fill_between(x, ends[0], ends[1], color=colour, alpha=0.2, linewidth=0)
    axis.set(ylabel="Brier score")
    axis.set_ylim(bottom=0)
    legend(axis)


FIGURES: "dict[str, tuple[str, Callable[[Axes, ChannelScores, ForecastScores], None], str]]" = {
    "crps": ("Continuous ranked probability score", crps_panel, "crps"),
    "spread": ("Spread and error", spread_panel, "spread"),
    "spread_skill": ("Spread over error", ratio_panel, "spread_skill"),
    "bias": ("Bias", bias_panel, "bias"),
    "energy": ("Energy score", energy_panel, "energy"),
    "ranks": ("Rank histogram", rank_panel, "ranks"),
    "spectra": ("Spectra", spectrum_panel, "spectrum_members"),
    "reliability": ("Reliability", reliability_panel, "forecast"),
    "brier": ("Brier score", brier_panel, "brier"),
}
"""Pictures by their names: a title, what draws a panel, and the score that must be there."""
BANDS = (crps_panel, spread_panel, ratio_panel, bias_panel, energy_panel, rank_panel, brier_panel)
"""Panels that show intervals."""
