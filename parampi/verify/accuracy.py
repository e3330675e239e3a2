"""The figure of errors to the true solution against rounds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parampi.fields.atomic_files import replacing
from parampi.verify.drawing import FAINT, INK, STYLE, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = {
    "DDIM": ("#b0b0b0", "s"),
    "Heun": ("#8a8a8a", "v"),
    "DPM-Solver++ 2M": ("#6c8ebf", "o"),
    "DPM-Solver++ 3M": ("#3b6aa0", "^"),
    "UniPC": (INK, "D"),
}
"""Colour and marker of each serial sampler."""
COLLOCATION = "collocation, order 4"
"""The collocation that is drawn."""
SHADES = {8: "#f3c29b", 16: "#e8a33d", 24: "#d9742f", 32: "#c8553d", 64: "#8a2f2a"}
"""Colours of the numbers of collocation points that are drawn."""
LEAST = 1e-9
"""Smallest error shown: the error of the true solution itself is about as large."""


def accuracy_figure(path: str | Path, rows: Sequence[Any]) -> None:
    """Draw one PNG, an axis per problem: serial samplers by their evaluations, collocation by its rounds.

    rows  of `parampi.bench.accuracy`

    Replaces a file that may be there. Raises OutputError where it cannot be written.
    """
    problems = list(dict.fromkeys(row.problem for row in rows))
    with drawing(STYLE):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.6 * len(problems) + 0.6, 5.2), dpi=150)
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, len(problems), sharey=True, squeeze=False)[0]
        for axis, problem in zip(axes, problems, strict=True):
            draw(axis, [row for row in rows if row.problem == problem])
            axis.set(title=problem, xlabel="rounds: network evaluations one after another")
        axes[0].set_ylabel("error to the true solution")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=min(5, len(problems) + 2), frameon=False)
        figure.tight_layout(rect=(0, 0.12 if len(problems) > 2 else 0.2, 1, 1))
        with replacing(path) as partial:
            figure.savefig(partial, format="png", metadata={"Software": None})


def draw(axis: "Axes", rows: Sequence[Any]) -> None:
    """Draw one problem's lines."""
    for name, (colour, marker) in LINES.items():
        line = sorted((row for row in rows if row.method == name), key=lambda row: row.rounds)
        axis.plot([r.rounds for r in line], [r.error for r in line], color=colour, marker=marker, markersize=4, label=name)
    for points, colour in SHADES.items():
        for row in rows:
            if row.method == COLLOCATION and row.points == points:
                errors = [max(error, LEAST) for error in row.path]
                numbers = range(1, len(errors) + 1)
                axis.plot(numbers, errors, color=colour, linewidth=2, marker=".", label=f"collocation, {points} points")
    axis.set(xscale="log", yscale="log")
    ticks = [1, 2, 5, 10, 20, 50, 100, 200]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.grid(color=FAINT, linewidth=0.6)
