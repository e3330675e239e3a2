"""The figure of seconds and efficiency against ranks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parampi.fields.atomic_files import replacing
from parampi.verify.drawing import INK, STYLE, drawing

LINES = {
    "one member": (INK, "o"),
    "members grow": ("#c8553d", "^"),
    "members together": (INK, "D"),
    "overlapping rounds": ("#3d7ac8", "v"),
    "members alone": ("#8a8a8a", "s"),
}
"""Colour and marker of each way to use ranks."""


def scaling_figure(path: str | Path, rows: Sequence[Any]) -> None:
    """Draw one PNG: seconds, and efficiency against the ideal, by ranks.

    rows  of `parampi.bench.scaling`

    Replaces a file that may be there. Raises OutputError where it cannot be written.
    """
    with drawing(STYLE):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.4, 4.2), dpi=150)
        FigureCanvasAgg(figure)
        seconds, efficiency = figure.subplots(1, 2)
        for name, (colour, marker) in LINES.items():
            line = [row for row in rows if row.what == name]
            if not line:
                continue
            ranks = [row.ranks for row in line]
            style = {"color": colour, "marker": marker, "markersize": 4, "label": name}
            seconds.plot(ranks, [row.seconds for row in line], **style)
            efficiency.plot(ranks, [row.efficiency for row in line], **style)
        serial = next(row for row in rows if row.what == "members alone")
        ranks = sorted({row.ranks for row in rows})
        seconds.plot(ranks, [serial.seconds / count for count in ranks], color="#d0d0d0", label="ideal, one member")
        seconds.set(xscale="log", yscale="log", xlabel="ranks", ylabel="seconds")
        efficiency.axhline(1.0, color="#d0d0d0")
        efficiency.set(xscale="log", ylim=(0, 1.1), xlabel="ranks", ylabel="efficiency: serial seconds / (ranks x seconds)")
        seconds.legend(frameon=False)
        figure.tight_layout()
        with replacing(path) as partial:
            figure.savefig(partial, format="png", metadata={"Software": None})
