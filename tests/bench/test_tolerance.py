"""What `parampi bench tolerance` counts."""

import json

import numpy as np
import pytest

from parampi.bench.tolerance import TOLERANCES, Runs, measure, settled, to_json, to_markdown
from parampi.errors import ConfigError

pytestmark = pytest.mark.slow


def test_an_oracle_stops_where_errors_stay_within():
    path = np.array([[1.0, 1e-3, 1.0], [1e-3, 1.0, 1.0], [1e-3, 1e-3, 1.0], [1e-4, 1e-4, 1e-4]])
    assert settled(path, 1e-2).tolist() == [2, 3, 4]
    assert settled(path, 2.0).tolist() == [1, 1, 1]


def test_a_row_counts_runs():
    runs = Runs(np.array([1e-3, 2e-2]), np.array([1e-2, 1e-2]), np.array([4e-3, 4e-2]), np.array([5, 4]), np.array([4, 6]))
    row = runs.row("p", "s")
    assert (row.runs, row.within, row.over, row.rounds, row.oracle) == (2, 0.5, 1, 4.5, 5)
    assert row.estimate == pytest.approx(3.0)


def test_one_case_to_the_end():
    rows = measure(2, ["grf32"], ["ddim-50"])
    assert [row.runs for row in rows] == [2 * len(TOLERANCES)] * 2 and rows[-1].within == 1
    assert rows[0].rounds == 1  # the spectrum is known exactly
    assert json.loads(to_json(rows))[0]["problem"] == "grf32" and "| all" in to_markdown(rows)


def test_names_that_there_are_not():
    with pytest.raises(ConfigError, match="there is no solver 'newton'; choose one of spectral"):
        measure(1, solver="newton")
    with pytest.raises(ConfigError, match="there is no sampler 'x'"):
        measure(1, samplers=["x"])
