"""`bench accuracy`: its true solution, its rows, and its figure."""

import math

import pytest

from parampi import ConfigError
from parampi.bench import accuracy
from parampi.bench.subject import closed_form
from parampi.verify.accuracy import accuracy_figure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accuracy, "BUDGETS", (10, 20))
        patch.setattr(accuracy, "POINTS", (16, 24))
        return accuracy.measure(["gmm64"], None, seeds=1)


def test_the_true_solution_of_gaussian_data_is_the_closed_form():
    subject = closed_form("grf64")
    start = accuracy.start(subject, 1)
    solved = accuracy.solution(subject, start)
    bound, variance, mean = subject.statistics.known(subject.shape, 1.0)
    z = bound.forward(start) - mean
    exact = bound.inverse(z * ((variance + subject.lowest**2) / (variance + subject.highest**2)).sqrt() + mean)
    assert (solved - exact).norm() < 1e-7 * exact.norm()


def test_rows(rows):
    assert {(r.method, r.points) for r in rows if r.by_rule is None} == {
        (name, n) for name in accuracy.SERIAL for n in (10, 20)
    }
    for row in rows:
        assert row.problem == "gmm64" and 0 < row.error < 10 and math.isfinite(row.error)
    best = min(row.error for row in rows if row.by_rule is None)
    ours = [row for row in rows if row.method == "collocation, order 4" and row.points == 24]
    assert ours[0].error < best / 10 and ours[0].rounds <= 6 and ours[0].by_rule <= 8
    assert len(accuracy.to_markdown(rows).splitlines()) == len(rows) + 2


def test_figure(rows, tmp_path):
    accuracy_figure(tmp_path / "a.png", rows)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_unknown_problem():
    with pytest.raises(ConfigError, match=r"there is no problem 'gmm65'; did you mean 'gmm64'\? choose one of"):
        accuracy.measure(["gmm65"])
