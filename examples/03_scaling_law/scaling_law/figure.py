"""The figure of the scaling law: rounds and stored numbers against the dimension."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#222222", "#d9d9d9"
STYLE: dict[Any, Any] = {
    "font.size": 11, "axes.titlesize": 12, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.edgecolor": "#888888", "axes.linewidth": 0.8, "mathtext.default": "regular",
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
"""Colour, line and marker of a method; others are not drawn."""
KINDS = {"sde": "stochastic", "ode": "deterministic"}
NAMES = {"spectrum": "Gaussian data, one spectrum for all dimensions", "field": "Gaussian random field, finer and finer",
         "mixture": "Mixture of two Gaussians"}  # fmt: skip


def scaling_figure(path: str | Path, rows: Sequence[Any], problem: str, tolerance: float) -> None:
    """One PNG: rounds above and stored numbers below, for stochastic and for deterministic samplers, by method.

    rows  of `scaling_law.Scaling`; those of `problem` are drawn, and the theorem's

    Replaces a file that may be there.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 8.6), dpi=150)
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 2, sharex=True, sharey="row")
        for column, kind in enumerate(KINDS):
            mine = [row for row in rows if row.kind == kind and row.problem in (problem, "any")]
            draw(axes[0, column], mine, "rounds")
            draw(axes[1, column], mine, "stored")
            slopes(axes[1, column], mine)
            axes[0, column].set_title(f"{KINDS[kind]} ({kind.upper()})")
            axes[1, column].set_xlabel("dimension")
        axes[0, 0].set_ylabel("rounds")
        axes[1, 0].set_ylabel("numbers stored")
        handles = {line.get_label(): line for axis in axes.flat for line in axis.get_lines() if line.get_label() in LINES}
        figure.legend([handles[name] for name in LINES if name in handles], [name for name in LINES if name in handles],
                      loc="lower center", ncols=4, frameon=False)  # fmt: skip
        figure.suptitle(f"{NAMES.get(problem, problem)}, at a divergence of {tolerance**2:.2g}", weight="bold")
        figure.tight_layout(rect=(0, 0.075, 1, 1))
        figure.savefig(path, format="png", metadata={"Software": None})


def draw(axis: "Axes", rows: Sequence[Any], quantity: str) -> None:
    """One line per method."""
    for method, (colour, style, marker) in LINES.items():
        mine = sorted((row for row in rows if row.method == method), key=lambda row: row.dim)
        if mine:
            numbers = [getattr(row, quantity) for row in mine]
            axis.plot(
                [row.dim for row in mine], numbers, color=colour, linestyle=style, marker=marker, markersize=5, label=method
            )
    dims = sorted({row.dim for row in rows})
    axis.set(xscale="log", yscale="log", xlim=(dims[0] / 1.5, dims[-1] * 3))
    axis.set_xticks(dims[::4], [str(dim) for dim in dims[::4]])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.grid(color=FAINT, linewidth=0.6)


def slopes(axis: "Axes", rows: Sequence[Any]) -> None:
    """Powers of the dimension to compare with, through the smallest dimension of PIADM and of the theorem."""
    dims = np.array(sorted({row.dim for row in rows}), dtype=float)
    for method, power in (("theorem, constants 1", 2.0 if rows and rows[0].kind == "sde" else 1.5), ("PIADM", 1.5)):
        first = [row for row in rows if row.method == method and row.dim == dims[0]]
        if first:
            line = first[0].stored * (dims / dims[0]) ** power
            axis.plot(dims, line, color="#888888", linewidth=0.9, linestyle=":")
            axis.annotate(f"$d^{{{power:g}}}$", (dims[-1], line[-1]), (4, -4), textcoords="offset points", fontsize=10)
