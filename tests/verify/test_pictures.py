"""Pictures for the page: what they are of is said, coasts are where they belong, and no text of a user's is a formula."""

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from parampi.fields import DatasetStatistics
from parampi.verify import coasts
from parampi.verify.drawing import plain_units
from parampi.verify.maps import add_axes, draw_coasts, member_words
from parampi.verify.pictures import Subject, data_maps, member_maps, spectra


@pytest.fixture
def globe():
    """Statistics of a globe, and fields with a gap."""
    fields = np.random.default_rng(0).standard_normal((6, 1, 12, 24)) + 280
    y, x = np.linspace(82.5, -82.5, 12), np.arange(24) * 15.0
    statistics = DatasetStatistics.from_samples(
        fields, ["t"], ["K"], ["price in $, area in m^2 $"], x=x, y=y, x_units="degrees_east", y_units="degrees_north"
    )
    fields[0, 0, 3] = np.nan
    return statistics, fields[:, 0]


def opened(png):
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_pictures_of_fields_with_gaps_and_dollars_in_names(globe):
    statistics, fields = globe
    place = Subject((0, 1, 2, 5), 7, "start 2001-01-01 00:00, lead time $6 hours")
    maps, spectrum, data = (
        member_maps(fields, statistics, 0, place),
        spectra(fields, statistics, 0, place),
        data_maps(statistics, 0, 2),
    )
    assert opened(maps).size[0] == opened(spectrum).size[0] == opened(data).size[0]
    assert opened(data).size[1] < opened(spectrum).size[1] and all(len(png) < 80_000 for png in (maps, spectrum, data))
    assert np.asarray(opened(maps)).std() > 20


def test_fields_without_data_have_a_scale_of_their_own(globe):
    statistics, fields = globe
    bare = replace(statistics, reference=np.zeros((0, 1, 12, 24), np.float32))
    assert np.asarray(opened(member_maps(fields, bare, 0, Subject((0,), 1, "")))).std() > 20


@pytest.mark.parametrize(
    ("numbers", "total", "words"),
    [([0], 1, "The one member"), ([3], 1, "The one member (3)"), ([2, 4], 2, "Ensemble: members 2, 4"),
     ([2, 4], 9, "Ensemble: members 2, 4 of 9"), ([2], 9, "Ensemble: member 2 of 9")],
)  # fmt: skip
def test_members_are_named(numbers, total, words):
    assert member_words(numbers, total) == words


@pytest.mark.parametrize("left", [-180, 0])
def test_coasts_are_on_any_turn_of_the_globe(left):
    if coasts.outlines() is None:
        pytest.skip(f"no coastlines are installed ({coasts.HINT})")
    axis = add_axes(Figure(), (1, 1, 2, 1))
    axis.set(xlim=(left, left + 360), ylim=(-90, 90))
    draw_coasts(axis)
    (lines,) = [one for one in axis.get_children() if isinstance(one, LineCollection)]
    points = np.concatenate([path.vertices for path in lines.get_paths()])
    greenwich_to_urals = (-25 + 360 * (left == 0) <= points[:, 0]) & (points[:, 0] <= -5 + 360 * (left == 0))
    assert greenwich_to_urals.sum() > 100 and np.abs(points[:, 1]).max() <= 90


def test_without_the_package_there_are_no_coasts(monkeypatch):
    monkeypatch.setattr(coasts, "PACKAGE", "mpl_toolkits.of_nobody")
    assert coasts.data_folder() is None
    monkeypatch.setattr(coasts, "PACKAGE", "nobodys.package")
    assert coasts.data_folder() is None


@pytest.mark.parametrize(("units", "plain"), [("1", "1"), ("m2 s-2", "m² s⁻²"), ("kg.m-3", "kg m⁻³"), ("m/s", "m/s")])
def test_units_as_plain_text(units, plain):
    assert plain_units(units) == plain
