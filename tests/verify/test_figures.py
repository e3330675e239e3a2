"""The report's figure: drawn for every kind of input, nothing overlapping; and the parts that are numbers."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from parampi.errors import OutputError
from parampi.fields import DatasetStatistics
from parampi.verify import report_figure
from parampi.verify.drawing import pretty
from parampi.verify.figures import borders, residual_table
from parampi.verify.maps import arrange

SIGMAS = np.append(np.geomspace(80, 0.002, 10), 0.0)
SLIDING = [(0, np.array([0.0, 1e-4, 0.1, 1.0])), (2, np.array([0.0, 1e-5, 0.02, 0.5])), (6, np.array([0.0, 1e-4, 1e-4, 1e-4]))]
SERIAL = [(k, np.array([0.0])) for k in range(10)]


@pytest.fixture
def overlaps(monkeypatch):
    """Ask after drawing: texts that were drawn over one another or beyond the page."""
    drawn, draw = {}, Text.draw

    def record(text, renderer, *arguments, **options):
        draw(text, renderer, *arguments, **options)
        if text.get_visible() and text.get_text().strip():
            drawn[text] = text.get_window_extent(renderer).padded(-2)

    def overlaps():
        boxes = list(drawn.items())
        page = boxes[0][0].get_figure(root=True).bbox
        beyond = [text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > page.x1 or box.y1 > page.y1]
        pairs = [pair for pair in combinations(boxes, 2) if pair[0][1].overlaps(pair[1][1])]
        return [text.get_text() for text in beyond] + [(a.get_text(), b.get_text()) for (a, _), (b, _) in pairs]

    monkeypatch.setattr(Text, "draw", record)
    return overlaps


@pytest.mark.parametrize("members", [1, 2, 3, 9])
def test_any_number_of_members(draw, statistics, overlaps, tmp_path, members):
    report_figure(
        tmp_path / "r.png",
        draw(members, 1)[:, 0],
        statistics,
        SLIDING,
        sigmas=SIGMAS,
        tolerance=1e-3,
        title="Title",
        label="Simulation",
    )
    with Image.open(tmp_path / "r.png") as image:
        assert image.size == (1800, 1350)
        assert np.asarray(image.convert("L")).std() > 20
    assert overlaps() == []
    assert [path.name for path in tmp_path.iterdir()] == ["r.png"]


@pytest.mark.parametrize("history", [SERIAL, [], [(0, np.zeros(10))], [(0, np.full(10, 1e-9))]])
def test_any_history(draw, statistics, overlaps, tmp_path, history):
    report_figure(tmp_path / "r.png", draw(4, 1)[:, 0], statistics, history, sigmas=SIGMAS, tolerance=1e-6, title="Title")
    assert overlaps() == []


@pytest.mark.parametrize(
    "shape", [(2, 16, 32), *(pytest.param((2, *grid), marks=pytest.mark.slow) for grid in ((33, 8), (4, 4), (1, 64)))]
)
def test_globes_and_other_grids(overlaps, tmp_path, shape):
    fields = np.random.default_rng(0).standard_normal((6, *shape)) + 280
    y, x = np.linspace(80, -80, shape[1]), np.arange(shape[2]) * 360 / shape[2]
    statistics = DatasetStatistics.from_samples(
        fields, ["u", "T"], ["m s-1", "K"], ["wind", "temperature"], x=x, y=y, x_units="degrees_east", y_units="degrees_north"
    )
    shown = {
        "sigmas": SIGMAS,
        "tolerance": 1e-3,
        "title": "Title",
        "channel": 1,
        "place": "start 2001-01-01 00:00, lead time 6 hours",
    }
    report_figure(tmp_path / "r.png", fields[:5, 1], statistics, SLIDING, **shown)
    assert overlaps() == []


def test_a_thousand_points(draw, statistics, overlaps, tmp_path):
    history = [(10 * k, np.geomspace(1e-6, 1, 100)) for k in range(91)]
    report_figure(
        tmp_path / "r.png", draw(4, 1)[:, 0], statistics, history,
        sigmas=np.geomspace(80, 0.002, 1001), tolerance=1e-3, title="Title",
    )  # fmt: skip
    assert overlaps() == []


def test_it_replaces_and_refuses_like_other_outputs(draw, statistics, tmp_path):
    (tmp_path / "r.png").write_text("old")
    report_figure(tmp_path / "r.png", draw(1, 1)[:, 0], statistics, SLIDING, sigmas=SIGMAS, tolerance=1e-3, title="Title")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match=r"r\.png cannot be written"):
        report_figure(
            tmp_path / "none" / "r.png", draw(1, 1)[:, 0], statistics, SLIDING, sigmas=SIGMAS, tolerance=1e-3, title="Title"
        )


def test_residuals_stand_at_their_round_and_point():
    table = residual_table([(0, np.array([1.0, 2.0])), (2, np.array([3.0]))], 4)
    np.testing.assert_array_equal(table, [[1, 2, np.nan, np.nan], [np.nan, np.nan, 3, np.nan]])
    assert residual_table([], 4).shape == (1, 4)


def test_the_line_goes_between_known_cells_only():
    below = np.array([[True, False, False], [True, True, False]])
    known = np.array([[True, True, True], [True, True, False]])
    lines = borders(below, known)
    assert sorted(lines) == sorted([[(0.5, 0.5), (0.5, 1.5)], [(0.5, 1.5), (1.5, 1.5)]])


@pytest.mark.parametrize(("count", "aspect"), [((1, 1), 1.0), ((2, 2), 2.0), ((1, 3), 0.5), ((2, 2), 0.4)])
def test_panels_fit_their_area_and_keep_their_aspect(count, aspect):
    block, panels = arrange((1.0, 2.0, 4.0, 3.0), *count, aspect)
    assert block[0] >= 1 - 1e-9 and block[1] >= 2 - 1e-9
    assert block[0] + block[2] <= 5 + 1e-9 and block[1] + block[3] <= 5 + 1e-9
    assert len(panels) == count[0] * count[1]
    assert all(w / h == pytest.approx(aspect) for _, _, w, h in panels)
    assert panels[0][1] == max(p[1] for p in panels) and panels[0][0] == min(p[0] for p in panels)


@pytest.mark.parametrize(
    ("units", "plain", "squared"),
    [
        ("1", "1", "1"),
        ("K", "K", "K$^{2}$"),
        ("s-1", "s$^{-1}$", "s$^{-2}$"),
        ("m2 s-2", "m$^{2}$ s$^{-2}$", "m$^{4}$ s$^{-4}$"),
        ("kg.m-3", "kg m$^{-3}$", "kg$^{2}$ m$^{-6}$"),
        ("m/s", "m/s", "(m/s)$^2$"),
        ("degrees_north", "degrees_north", "degrees_north$^{2}$"),
    ],
)
def test_units_are_typeset(units, plain, squared):
    assert pretty(units) == plain and pretty(units, squared=True) == squared
