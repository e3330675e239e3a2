"""The figure of a problem: rounds and stored numbers against the dimension."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scaling_law.rows import ScalingRow

INK, FAINT, GREY = "#222222", "#d9d9d9", "#888888"
STYLE: dict[Any, Any] = {
    "font.size": 11, "axes.titlesize": 12, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.edgecolor": GREY, "axes.linewidth": 0.8, "mathtext.default": "regular",
}  # fmt: skip
LINES = {
    "theorem, constants 1": ("#b0b0b0", "-", None),
    "PIADM, whole path": ("#8a8a8a", "--", "x"),
    "serial": (INK, "-", "s"),
    "PIADM": ("#c8553d", "-", "o"),
    "PIADM, one block": ("#e8a33d", "-", "^"),
    "ParaDiGMS": ("#6c8ebf", "-", "v"),
    "Picard": ("#2a6f5e", "-", "D"),
}
"""Colour, line and marker of a method; other methods are not drawn."""
TITLES = {"sde": "stochastic (SDE)", "ode": "deterministic (ODE)"}
PROBLEM_TITLES = {
    "spectrum": "Gaussian data, one spectrum for all dimensions",
    "field": "Gaussian random field, finer and finer",
    "mixture": "Mixture of two Gaussians",
}


def scaling_figure(path: Path, rows: Sequence[ScalingRow], problem: str, tolerance: float) -> None:
    """Draw rounds above and stored numbers below, for stochastic samplers left and deterministic ones right, by method.

    rows  of a `ScalingStudy`; those of `problem` are drawn, and the theorem's

    Replaces a file that exists.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 8.6), dpi=150)
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 2, sharex=True, sharey="row")
        for (above, below), kind in zip(axes.T, TITLES, strict=True):
            shown = [row for row in rows if row.kind == kind and row.problem in (problem, "any")]
            draw_methods(above, shown, "rounds")
            draw_methods(below, shown, "stored")
            draw_powers(below, shown)
            above.set_title(TITLES[kind])
            below.set_xlabel("dimension")
        axes[0, 0].set_ylabel("rounds")
        axes[1, 0].set_ylabel("numbers stored")
        lines = {line.get_label(): line for axis in axes.flat for line in axis.get_lines()}
        methods = [method for method in LINES if method in lines]
        figure.legend([lines[method] for method in methods], methods, loc="lower center", ncols=4, frameon=False)
        figure.suptitle(f"{PROBLEM_TITLES[problem]}, at a divergence of {tolerance**2:.2g}", weight="bold")
        figure.tight_layout(rect=(0, 0.075, 1, 1))
        figure.savefig(path, format="png", metadata={"Software": None})


def draw_methods(axis: Axes, rows: Sequence[ScalingRow], quantity: str) -> None:
    """Draw one line per method."""
    for method, (colour, style, marker) in LINES.items():
        points = sorted((row.dim, getattr(row, quantity)) for row in rows if row.method == method)
        if points:
            x, y = zip(*points, strict=True)
            axis.plot(x, y, color=colour, linestyle=style, marker=marker, markersize=5, label=method)
    dims = sorted({row.dim for row in rows})
    axis.set(xscale="log", yscale="log", xlim=(dims[0] / 1.5, dims[-1] * 3))
    axis.set_xticks(dims[::4], [str(dim) for dim in dims[::4]])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.grid(color=FAINT, linewidth=0.6)


def draw_powers(axis: Axes, rows: Sequence[ScalingRow]) -> None:
    """Draw powers of the dimension to compare with, through the smallest dimension of PIADM and of the theorem."""
    dims = np.array(sorted({row.dim for row in rows}), dtype=float)
    for method, power in (("theorem, constants 1", 2.0 if rows and rows[0].kind == "sde" else 1.5), ("PIADM", 1.5)):
        first = [row for row in rows if row.method == method and row.dim == dims[0]]
        if first:
            line = first[0].stored * (dims / dims[0]) ** power
            axis.plot(dims, line, color=GREY, linewidth=0.9, linestyle=":")
            axis.annotate(f"$d^{{{power:g}}}$", (dims[-1], line[-1]), (4, -4), textcoords="offset points", fontsize=10)
