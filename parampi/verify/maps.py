"""Maps of fields, several on one colour scale: blocks of panels for pictures of matplotlib."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields import DatasetStatistics
from parampi.verify.coasts import outlines
from parampi.verify.drawing import literal, pretty
from parampi.verify.panels import GLOBE_ASPECT, LINE_ASPECT, draw_line, draw_points, is_line, layer, map_axes, points_on_earth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]
"""Left, bottom, width and height in inch."""
ARRANGED = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 2)}
"""Rows and columns by the number of panels."""
MOST = max(ARRANGED)
LETTERS = 11
"""Letters of a label that fit into an inch."""
BLANK, COAST = "#ececec", "#555555"
"""Colours of missing points, and of coastlines."""


def add_axes(figure: "Figure", box: Box) -> "Axes":
    """Add axes in a box."""
    across, up = figure.get_size_inches()
    left, bottom, width, height = box
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def member_words(numbers: Sequence[int], total: int) -> str:
    """Return in words which members are shown, of so many in all."""
    if total == 1:
        return f"The one member ({numbers[0]})" if numbers[0] else "The one member"
    return f"Ensemble: {listed_members(numbers)}" + (f" of {total}" if len(numbers) < total else "")


def listed_members(numbers: Sequence[int]) -> str:
    """Return members in words, by their numbers."""
    return f"member{'s' * (len(numbers) != 1)} {', '.join(map(str, numbers))}"


def draw_blocks(
    figure: "Figure",
    areas: "list[Box]",
    blocks: "list[tuple[str, Floats]]",
    statistics: DatasetStatistics,
    channel: int,
    *,
    panels: int | None = None,
) -> None:
    """Draw blocks of up to four fields (M, H, W) each, with their names, all on one colour scale. NaN stays blank.

    panels  how many are drawn of each block; as many as there are in all of them where it is None
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    count = panels or min(MOST, *(len(fields) for _, fields in blocks))
    rows, columns = ARRANGED[count]
    limits = colour_limits(statistics, channel, blocks[0][1])
    colours = ScalarMappable(Normalize(*limits), "RdBu_r")
    for area, (name, fields) in zip(areas, blocks, strict=True):
        block, boxes = arrange(area, rows, columns, aspect(statistics))
        for number, (box, field) in enumerate(zip(boxes, fields, strict=False)):
            axis = add_axes(figure, box)
            draw_map(axis, field, statistics, colours)
            axis.tick_params(labelbottom=number >= len(boxes) - columns, labelleft=number % columns == 0)
        label_block(figure, block, name, statistics)
    name = f"{literal(statistics.long_names[channel])} ({pretty(statistics.units[channel])})"
    label = name if len(name) <= LETTERS * block[3] else "\n".join(textwrap.wrap(name, max(int(LETTERS * block[3]), 8))[:2])
    figure.colorbar(colours, cax=add_axes(figure, beside(block)), label=label, extend="both")


def label_block(figure: "Figure", block: Box, name: str, statistics: DatasetStatistics) -> None:
    """Write one name and one label per axis for all panels of a block."""
    left, bottom, width, height = block
    across, up = figure.get_size_inches()
    centre, middle = (left + width / 2) / across, (bottom + height / 2) / up
    shown = layer(statistics)[1]
    (_, y), (_, x) = map_axes(statistics)
    figure.text(centre, (bottom + height + 0.1) / up, f"{name}; {shown}" if shown else name, ha="center", fontsize=12)
    figure.text(centre, (bottom - 0.45) / up, x, ha="center")
    figure.text((left - 0.72) / across, middle, y, va="center", rotation=90)


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


def colour_limits(statistics: DatasetStatistics, channel: int, fields: Floats) -> tuple[float, float]:
    """Return the limits about the data's mean between which 99 % of the reference fields' values are; those of `fields` where
    the statistics hold none."""
    mean, deviation = statistics.mean[channel], statistics.standard_deviation[channel]
    centre = 0.0 if abs(mean) < 0.05 * deviation else float(mean)
    shown = statistics.reference[:, channel] if len(statistics.reference) else fields
    reach = float(np.nanquantile(np.abs(shown - centre), 0.99))
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
    axis.set_xlim(min(left, right), max(left, right))
    axis.set_ylim(min(first, last), max(first, last))
    axis.set_facecolor(BLANK)
    if on_globe(statistics):
        draw_coasts(axis)
    height = axis.get_window_extent().height / axis.figure.dpi
    axis.locator_params(axis="x", nbins=4)
    axis.locator_params(axis="y", nbins=max(1, min(4, int(2.5 * height))))
    if len(field) == 1:
        axis.set_yticks([])
    return None


def on_globe(statistics: DatasetStatistics) -> bool:
    """Return whether both axes are degrees of longitude and latitude."""
    return statistics.dimensions is None and statistics.x_units == "degrees_east" and statistics.y_units == "degrees_north"


def draw_coasts(axis: "Axes") -> None:
    """Draw coastlines, on as many turns around the globe as the axis has; none where no package has them."""
    from matplotlib.collections import LineCollection

    left, right = axis.get_xlim()
    everywhere = [line + np.array([turn, 0.0]) for turn in (-360, 0, 360) for line in outlines() or ()]
    turned = [line for line in everywhere if line[:, 0].max() >= left and line[:, 0].min() <= right]
    if turned:
        axis.add_collection(LineCollection(turned, colors=COAST, linewidths=0.6), autolim=False)


def edges(centres: Floats) -> tuple[float, float]:
    """Return the coordinates where the first cell begins and the last one ends."""
    half = (centres[-1] - centres[0]) / max(len(centres) - 1, 1) / 2 or 0.5
    return float(centres[0] - half), float(centres[-1] + half)
