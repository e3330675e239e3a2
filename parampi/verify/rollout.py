"""The figure of roll-outs: rounds against lead times, and what each round does to the points of lead times in flight."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parampi.fields.atomic_files import replacing
from parampi.verify.drawing import FAINT, INK, STYLE, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIAL = "#8a8a8a"
SHADES = ("#3b6aa0", "#e8a33d", "#c8553d", "#8a2f2a")
"""Colours of lead by lead, and of more and more lead times in flight."""
SHOWN = 8
"""Lead times whose points are shown."""
RESIDUALS = 1e-4, 1.0
"""Smallest and largest residual that are told apart."""


def rollout_figure(path: str | Path, flights: Sequence[Any], title: str) -> None:
    """Draw one PNG: rounds against lead times, then the residual of each point of the chain in each round, with the least and
    the most lead times in flight.

    flights  of `parampi.bench.flights`

    Replaces a file that may be there. Raises OutputError where it cannot be written.
    """
    with drawing(STYLE):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        flights = sorted(flights, key=lambda flight: flight.flight)
        figure = Figure(figsize=(14.4, 5.2), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, fontsize=13, weight="bold")
        rounds, least, most = figure.subplots(1, 3, width_ratios=(1.2, 1.1, 1.1))
        draw_rounds(rounds, flights)
        draw_flights(figure, (least, most), (flights[0], flights[-1]))
        with replacing(path) as partial:
            figure.savefig(partial, format="png", metadata={"Software": None})


def draw_rounds(axis: "Axes", flights: Sequence[Any]) -> None:
    """Draw the rounds until each lead time is finished; each line has its name at its end."""
    steps, count = flights[0].steps, len(flights[0].ends)
    leads = np.arange(1, count + 1)
    lines = [("serial", SERIAL, steps * leads)]
    lines += [(name_of(each.flight), shade, each.ends) for each, shade in zip(flights, SHADES, strict=False)]
    for name, colour, ends in lines:
        axis.plot(leads, ends, color=colour, linewidth=2, marker=".", markersize=5)
        text = f"{name}: {ends[-1] / count:.3g} each"
        axis.annotate(text, (count, ends[-1]), (7, 0), textcoords="offset points", color=colour, va="center", fontsize=10)
    top = steps * count
    axis.set(xscale="log", yscale="log", xlim=(0.9, 10 * count), ylim=(0.8 * flights[-1].ends[0], 1.6 * top))
    axis.set(xlabel="lead time", ylabel="rounds: network calls in a row", title="rounds until a lead time is drawn")
    for which, least, most in ((axis.xaxis, 1, count), (axis.yaxis, flights[-1].ends[0], top)):
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if least <= tick <= most]
        which.set_ticks(ticks, [str(tick) for tick in ticks])
        which.set_ticks([], minor=True)
    axis.grid(color=FAINT, linewidth=0.6)


def name_of(flight: int) -> str:
    return "lead by lead" if flight == 1 else f"{flight} in flight"


def draw_flights(figure: "Figure", axes: Sequence["Axes"], flights: Sequence[Any]) -> None:
    """Draw the residuals of roll-outs on axes of the same rounds and points."""
    from matplotlib.colors import LogNorm

    shown = min(SHOWN, len(flights[0].ends))
    rounds = int(np.searchsorted([first for first, _ in flights[-1].history], shown * flights[-1].steps)) + 1
    norm = LogNorm(*RESIDUALS)
    for axis, flight in zip(axes, flights, strict=True):
        steps = flight.steps
        table = residuals(flight, shown * steps, rounds)
        mesh = axis.pcolormesh(
            np.arange(0.5, rounds + 1), np.arange(0.5, shown * steps + 1), table, norm=norm, cmap="magma_r", rasterized=True
        )
        draw_ends(axis, flight, shown, rounds)
        axis.set(
            title=f"residuals, {name_of(flight.flight)}", xlabel="round", xlim=(0.5, rounds + 0.5), ylim=(0, shown * steps)
        )
        axis.set_yticks(steps * (np.arange(shown) + 0.5), [str(lead) for lead in range(1, shown + 1)])
        axis.tick_params(axis="y", length=0)
    axes[0].text(0.97, 0.05, "below the line: accepted", transform=axes[0].transAxes, ha="right", color=INK, fontsize=10)
    axes[0].set_ylabel(f"lead time, of {flights[0].steps} points each")
    figure.colorbar(mesh, ax=list(axes), label="residual", extend="both", pad=0.02, fraction=0.04)


def residuals(flight: Any, points: int, rounds: int) -> Any:
    """Return residuals (point, round) of the points from 1 on, NaN where a point is not swept."""
    table = np.full((points + 1, rounds), np.nan)
    for column, (first, values) in enumerate(flight.history[:rounds]):
        kept = values[: max(points - first, 0)]
        table[first + 1 : first + 1 + len(kept), column] = np.maximum(kept, RESIDUALS[0] / 10)
    return table[1:]


def draw_ends(axis: "Axes", flight: Any, shown: int, rounds: int) -> None:
    """Draw where lead times end, and up to which point the chain is accepted after each round."""
    for lead in range(1, shown):
        axis.axhline(lead * flight.steps, color="#888888", linewidth=0.7)
    firsts = [first for first, _ in flight.history[1 : rounds + 1]]
    axis.step(np.arange(1, len(firsts) + 1) + 0.5, firsts, where="post", color=INK, linewidth=1.6)
