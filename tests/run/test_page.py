"""The page of a run: what it says, no markup of a user's, how large it gets, and that it never costs an ensemble."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from parampi.__main__ import main
from parampi.errors import InterruptionError
from parampi.fields import DatasetStatistics
from parampi.report import Report
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.page import fields_shown, writing
from parampi.run.page.facts import LISTED, key_numbers
from parampi.run.page.rank_times import SHOWN, beside_serial, rank_strips
from parampi.run.page.residual_maps import CELLS, COLUMNS, ROWS, binned, heat_map
from parampi.run.page.writing import page_text
from tests.run.pages import ABOVE, BISTABLE, Reader, large_report, source_of
from tests.small import signalled_after, write_conditions, write_project

MARKUP = "<img src=x onerror=alert(1)> & \"'$x_"
MOST = 3_000_000


def decoded(table):
    return np.frombuffer(base64.b64decode(table["data"]), "<u2").reshape(table["rows"], table["columns"])


def drawn_map(report):
    return heat_map(report, np.geomspace(20, 0.05, report.steps + 1).tolist(), str, str)


def test_a_run_writes_a_page_on_which_nothing_is_a_users_markup(tmp_path, capsys):
    path = write_project(tmp_path, output__page="report.html", output__directory=f"out {MARKUP[:24].replace('/', '')}")
    statistics = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    object.__setattr__(statistics, "long_names", (MARKUP,))
    statistics.save(tmp_path / "statistics.nc")
    assert main(["run", str(path)]) == 0
    (page,) = tmp_path.glob("out*/report.html")
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    read = Reader(text)
    assert all(set(found) <= {"src", "alt"} and found["src"].startswith("data:") for tag, found in read.tags if tag == "img")
    for _, found in read.tags:
        assert all(found.get(name, "#").startswith(("data:", "#")) for name in ("src", "href"))
        assert not [name for name in found if name.startswith("on")]
    policy = next(found["content"] for _, found in read.tags if found.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "tolerance: 0.0001" in read.text("pre") and "4 of 4" in read.text("strong")
    assert "Nothing: every member is finished" in text or "Sweeping did not pay" in text
    pictures = [found["alt"] for tag, found in read.tags if tag == "img"]
    assert len(pictures) == 3 and pictures[0] == f"Maps of {MARKUP} (vorticity), s⁻¹: members 0, 1, 2, 3 of 4."


def test_pictures_are_of_one_case_and_lead_time_each_and_say_which(tmp_path):
    write_conditions(tmp_path / "c.nc")
    condition = {"condition__files": "c.nc", "condition__variables": ["vorticity"], "condition__lead_times": 4}
    run(load(write_project(tmp_path, output__page="report.html", output__order="time_first", sampling__members=1, **condition)))
    read = Reader((tmp_path / "out" / "report.html").read_text())
    pictures = [found["alt"] for tag, found in read.tags if tag == "img" and "member 0" in found["alt"]]
    assert len(pictures) == 6 and all("member 0 of 1 at start 2001-01-01" in words for words in pictures)
    assert pictures[1].endswith("at start 2001-01-01 00:00, lead time 18 hours, valid 2001-01-01 18:00.")
    assert "2 of 3 cases, the first and the last; 3 of 4 lead times of each" in read.text("p")


def test_what_is_to_be_done_is_said(tmp_path):
    report = large_report(12, 4, 30)
    report.outcome, report.members = "interrupted", report.members[:-2]
    read = Reader(page_text(source_of(tmp_path, report), fields=False))
    found = read.text("strong")
    assert "2 members of 12 missing: stopped in good order before it was complete." in found
    assert f"Above the tolerance: member {ABOVE}." in found and f"Stood between two outcomes: member {BISTABLE}." in found
    assert "Sweeping did not pay: members alone would take about 30 s" in found
    assert f"parampi resume {tmp_path / 'out'}" in read.text("code") and "sampling.tolerance=0.001" in read.text("code")


def test_64_members_fit_and_10000_are_cut_to_what_is_said(tmp_path):
    source = source_of(tmp_path, large_report(64, 48, 500, window=60))
    text = page_text(source, fields=False)
    assert 200_000 < len(text.encode()) < MOST - fields_shown.ROOM
    assert f"{SHOWN} of 48 ranks" in text and "points or rounds share a column" in text and "can be chosen alone" in text
    many = large_report(1000, 8, 20, window=4)
    data, notes = drawn_map(many)
    assert len(data["rows"]) == ROWS and notes[0].startswith(f"Shown are {ROWS} of 1000 members: those that are flagged")
    assert {row["flag"] for row in data["rows"]} == {"", "above", "bistable"}
    text = page_text(source_of(tmp_path, many), fields=False)
    assert len(text.encode()) < MOST and f"{LISTED} of 1000" in text


def test_all_that_is_bounded_fits_together():
    """Four views and single members, two bytes a cell in base64; pictures; strips of ranks, members and configuration."""
    cells = 4 * ROWS * COLUMNS + CELLS
    assert cells * 2 * 4 / 3 + fields_shown.ROOM + 350_000 < MOST


def test_the_heat_map_counts_rounds_and_keeps_residuals():
    report = large_report(3, 2, 30, window=5)
    data, notes = drawn_map(report)
    taken = np.zeros(30, int)
    for entry in report.residuals[1]:
        taken[entry.first : entry.first + len(entry.changes)] += 1
    np.testing.assert_array_equal(decoded(data["views"]["points"])[1], taken + 1)
    accepted = decoded(data["views"]["accepted"])[1]
    assert accepted[len(report.residuals[1]) - 1] == 31 and notes == []
    single, entry = decoded(data["singles"]["1"]), report.residuals[1][2]
    low, high = data["decades"]
    found = 10 ** (low + (single[2, entry.first + 1 : entry.first + 5] - 1.0) / 65534 * (high - low))
    np.testing.assert_allclose(found, entry.changes[1:], rtol=1e-3)
    assert (single[2, : entry.first] == 0).all()


def test_the_heat_map_has_the_rounds_of_all_lead_times():
    report = large_report(3, 2, 30, window=5)
    report.members = [replace(one, lead=lead, rounds=10 * lead + one.member) for one in report.members for lead in (0, 1)][:-1]
    data, _ = heat_map(report, np.geomspace(20, 0.05, 31).tolist(), str, str, ["6 hours", "12 hours"])
    np.testing.assert_array_equal(decoded(data["views"]["leads"]), [[1, 11], [2, 12], [3, 0]])
    assert data["leads"] == ["6 hours", "12 hours"] and "leads" not in drawn_map(report)[0]["views"]


def test_cells_that_share_a_column_show_the_largest():
    table = np.array([[1.0, 5.0, np.nan, np.nan, 2.0]])
    found, each = binned(table, axis=1, most=3)
    np.testing.assert_array_equal(found, [[5, np.nan, 2]])
    assert each == 2


def test_a_report_of_nothing_makes_a_page(tmp_path):
    source = source_of(tmp_path, large_report(2, 1, 12))
    nothing = Report(12, 1e-3, serial_rounds=0, serial_evaluations=0)
    text = page_text(writing.PageSource(source.inputs, "gather", {}, nothing), fields=False)
    assert "This run drew no member itself" in text and "Nothing was timed" in text and "0 of 2" in text
    assert rank_strips(nothing) is None and beside_serial(None) == []


def test_shares_of_a_rank_fill_its_strip():
    report = large_report(2, 3, 12)
    strips = rank_strips(report)
    areas = [
        sum(float(w) * float(h) for w, h in re.findall(r"h([\d.]+)v([\d.]+)", "".join(one.paths.values())))
        for one in strips.strips
    ]
    np.testing.assert_allclose(areas, (900 - 76 - 10) * 18, rtol=0.02)


@pytest.mark.parametrize("error", [ValueError("no such\ntemplate"), MemoryError("too large")], ids=["value", "memory"])
def test_a_page_that_fails_is_a_warning_with_its_reason(tmp_path, monkeypatch, capsys, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(writing, "page_text", fail)
    path = write_project(tmp_path, output__page="report.html")
    assert main(["run", str(path)]) == 0
    written, said = capsys.readouterr()
    reason = f"no {tmp_path}/out/report.html: {type(error).__name__}: {str(error).split()[0]}"
    assert said.startswith(f"parampi: {reason}") and "report.html" not in written.splitlines()[-2]
    assert reason in (tmp_path / "out" / "run.log").read_text() and (tmp_path / "out" / "report.json").is_file()


def test_maps_that_fail_leave_a_page_that_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(fields_shown, "fields_at", lambda *_: 1 / 0)
    run(load(write_project(tmp_path, output__page="report.html")))
    text = (tmp_path / "out" / "report.html").read_text()
    assert "No maps: they could not be drawn (ZeroDivisionError: division by zero)" in text and "4 of 4" in text


def test_a_run_that_is_stopped_leaves_a_page_which_the_resumed_one_replaces(tmp_path):
    path = write_project(tmp_path, parallel__batch=1, checkpoint__every=0, output__page="report.html")
    with signalled_after(10), pytest.raises(InterruptionError):
        run(load(path))
    text = (tmp_path / "out" / "report.html").read_text()
    assert "stopped in good order before it was complete" in text and "No maps: the run ended early" in text
    run(load(path), resume=True)
    text = (tmp_path / "out" / "report.html").read_text()
    assert "4 of 4" in text and "Of 4 members" in text and "round by round" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert 0 < len(data["rows"]) < 4


def test_a_part_of_a_run_is_not_compared_with_the_serial_whole():
    report = large_report(4, 1, 8)
    shown = {name: beside for name, _, beside in key_numbers(report, 4, 1)}
    assert shown["rounds"].endswith("x fewer") and shown["evaluations"].startswith("serial 32, ")
    shown = {name: beside for name, _, beside in key_numbers(report, 8, 1)}
    assert shown["rounds"] == "serial 8 for all" and shown["evaluations"] == "serial 32 for all"
