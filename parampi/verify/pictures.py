"""Small pictures for a page: maps of members, maps of data, and spectra, each PNG of few colours."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields import DatasetStatistics
from parampi.verify.drawing import STYLE, drawing, literal, pretty
from parampi.verify.maps import ARRANGED, MOST, add_axes, arrange, aspect, draw_blocks, member_words
from parampi.verify.spectrum_panel import draw_spectra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.floating[Any]]
WIDTH, TALLEST = 6.1, 3.6
"""Width of a picture, and height of maps at most, in inch."""
LEFT, BOTTOM, ABOVE, RIGHT = 0.85, 0.65, 0.85, 1.25
"""Room beside, below and above maps: for labels, titles, and the colour bar on the right."""
DOTS, COLOURS = 110, 200
"""Dots per inch, and colours that a picture has at most: a map has one scale of them."""


@dataclass(frozen=True)
class Subject:
    """Subject of a picture: members by number, of so many in all, and their case and lead time in words."""

    numbers: Sequence[int]
    total: int
    words: str


def member_maps(fields: Floats, statistics: DatasetStatistics, channel: int, subject: Subject) -> bytes:
    """Return up to four members' maps of a channel (M, H, W) as PNG."""
    name = member_words(subject.numbers[: min(MOST, len(fields))], subject.total)
    return maps(name, fields, statistics, channel, words=subject.words)


def data_maps(statistics: DatasetStatistics, channel: int, panels: int) -> bytes:
    """Return as many samples of the data as PNG, at most four."""
    reference = statistics.reference[:panels, channel]
    shown = min(MOST, len(reference))
    return maps(f"Data: {shown} sample{'s' * (shown != 1)}", reference, statistics, channel)


def maps(name: str, fields: Floats, statistics: DatasetStatistics, channel: int, words: str = "") -> bytes:
    """Return maps of fields (M, H, W) as PNG, which is as high as they need."""
    panels = min(MOST, len(fields))
    area = LEFT, BOTTOM, WIDTH - LEFT - RIGHT, TALLEST
    _, _, _, height = arrange(area, *ARRANGED[panels], aspect(statistics))[0]
    area = LEFT, BOTTOM, WIDTH - LEFT - RIGHT, height

    def draw(figure: "Figure") -> None:
        draw_blocks(figure, [area], [(name, fields)], statistics, channel, panels=panels)
        title(figure, statistics, channel, words)

    return picture(draw, BOTTOM + height + ABOVE)


def spectra(fields: Floats, statistics: DatasetStatistics, channel: int, subject: Subject) -> bytes:
    """Return the spectrum of a channel (M, H, W) beside that of the data as PNG."""

    def draw(figure: "Figure") -> None:
        draw_spectra(add_axes(figure, (0.95, BOTTOM, 4.7, 3.3)), fields, statistics, channel, "Data")
        title(figure, statistics, channel, subject.words)

    return picture(draw, BOTTOM + 3.3 + ABOVE)


def title(figure: "Figure", statistics: DatasetStatistics, channel: int, words: str) -> None:
    """Write what a picture shows along its top: the channel, and case and lead time in words."""
    name = f"{literal(statistics.long_names[channel])} ({pretty(statistics.units[channel])})"
    high = figure.get_size_inches()[1]
    figure.text(0.5, 1 - 0.18 / high, name, ha="center", va="center", fontsize=10, weight="bold")
    figure.text(0.5, 1 - 0.38 / high, literal(words), ha="center", va="center", fontsize=9)


def picture(draw: "Callable[[Figure], None]", height: float) -> bytes:
    """Return what is drawn as PNG."""
    from PIL import Image

    with drawing(STYLE | {"font.size": 10, "axes.titlesize": 11}):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, height), dpi=DOTS)
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(drawn := io.BytesIO(), format="png", metadata={"Software": None})
    small, file = Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE), io.BytesIO()
    small.save(file, format="png", optimize=True)
    return file.getvalue()
