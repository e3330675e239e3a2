"""`bench windows`: closed-form rows, and those of a configuration's network."""

import pytest

from parampi.bench import windows
from parampi.commands.bench import subject_of
from tests.small import write_project

pytestmark = pytest.mark.slow


def test_closed_form(monkeypatch):
    monkeypatch.setattr(windows, "LENGTHS", (64,))
    (row,) = windows.measure(seeds=1, solvers=["Spectral"])
    assert row.window == 64 and row.serial == 1000 and row.hindsight is None
    assert row.rounds < 40 and row.times < 2.2 and row.evaluations < 2.0
    assert row.error <= windows.TOLERANCE and row.estimate <= windows.TOLERANCE


def test_a_network(tmp_path):
    rows = windows.measure(
        subject_of(write_project(tmp_path)), seeds=2, cases=["heun-18", "2m-25"], solvers=["Spectral", "Picard"]
    )
    assert [(r.case, r.solver, r.window) for r in rows[:2]] == [("heun-18", "Spectral", None), ("heun-18", "Spectral", 8)]
    for row in rows:
        assert row.error <= 1.5 * windows.TOLERANCE and 1 <= row.rounds < row.serial
        assert (row.hindsight is None) == (row.window == 8) and (row.hindsight or 0) <= row.rounds
    assert len(windows.to_markdown(rows).splitlines()) == len(rows) + 2
