"""The scaling-law example: what its command writes, the numbers that are shipped, fits, table and figure."""

import json
import math
import runpy
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import scaling_law
from scaling_law import DIMS, ScalingFit, ScalingRow, ScalingStudy, fit_rows, measure, to_markdown
from scaling_law.rows import require

from parampi import ConfigError

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "03_scaling_law"
METHODS = {"PIADM", "PIADM, one block", "Picard", "ParaDiGMS", "serial"}
TARGET = 0.09


def read(path):
    study = json.loads(path.read_text())
    return ScalingStudy(
        study["tolerance"], [ScalingRow(**row) for row in study["rows"]], [ScalingFit(**fit) for fit in study["fits"]]
    )


@pytest.fixture(scope="module")
def shipped():
    return read(FOLDER / "scaling.json")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    runpy.run_path(str(FOLDER / "run.py"), run_name="__main__")


def check_equal(line, expected):
    """Texts and counts are equal, other numbers to the rounding of another machine."""
    for name, value in asdict(expected).items():
        exact = not isinstance(value, float)
        assert getattr(line, name) == (value if exact else pytest.approx(value, rel=1e-6, abs=1e-9)), (name, line, expected)


def check_shipped(rows, shipped):
    expected = {(row.problem, row.kind, row.method, row.dim): row for row in shipped.rows}
    for row in rows:
        check_equal(row, expected[row.problem, row.kind, row.method, row.dim])


def test_the_command_writes_numbers_table_and_figure(tmp_path, shipped, monkeypatch):
    monkeypatch.setattr(scaling_law, "QUICK_DIMS", (16, 64))
    run(monkeypatch, "--quick", "--problem", "spectrum", "--output", str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"scaling.json", "scaling.md", "scaling.png"}
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    study = read(tmp_path / "scaling.json")
    assert study.tolerance == 0.3 and {row.problem for row in study.rows} == {"any", "spectrum"}
    check_shipped(study.rows, shipped)


@pytest.mark.parametrize("problem", ["field", "mixture"])
def test_other_problems_give_the_shipped_numbers(problem, shipped):
    check_shipped(measure((16,), [problem]).rows, shipped)


def test_fits_and_table_are_those_of_the_shipped_rows(shipped):
    for fit, expected in zip(fit_rows(shipped.rows, shipped.tolerance), shipped.fits, strict=True):
        check_equal(fit, expected)
    assert to_markdown(shipped) + "\n" == (FOLDER / "scaling.md").read_text()


def test_all_methods_meet_the_divergence(shipped):
    measured = [row for row in shipped.rows if row.divergence is not None]
    assert all(row.divergence <= TARGET for row in measured)
    methods = {problem: {row.method for row in measured if row.problem == problem} for problem in ("spectrum", "mixture")}
    assert methods == {"spectrum": METHODS | {"serial DDPM", "serial DDIM"}, "mixture": METHODS}
    assert {row.dim for row in measured if row.problem == "spectrum"} == set(DIMS)


def test_rounds_are_counted_as_the_methods_run(shipped):
    for row in shipped.rows:
        assert row.stored == row.dim * row.points
        if row.method.startswith(("PIADM", "theorem")):
            assert row.rounds == row.blocks * (row.sweeps + row.corrector_sweeps)
        elif row.method.startswith("serial"):
            assert row.points == 1 and row.rounds >= row.blocks * row.steps_per_block
        else:
            assert row.rounds == row.sweeps and row.points >= row.blocks * row.steps_per_block


def test_memory_and_rounds_grow_as_the_documentation_says(shipped):
    """Memory as d^1.5 for the last point's divergence, as d^2 for that of the path, up to logarithms."""
    exponents = {(fit.method, fit.kind): fit.memory_exponent for fit in shipped.fits if fit.problem == "spectrum"}
    assert exponents["PIADM", "sde"] == pytest.approx(1.5, abs=0.1) == exponents["PIADM", "ode"]
    assert exponents["PIADM, whole path", "sde"] == pytest.approx(2.1, abs=0.1)
    rounds = {
        row.method: row.rounds for row in shipped.rows if row.kind == "sde" and row.problem == "spectrum" and row.dim == 256
    }
    assert rounds["Picard"] < rounds["PIADM, one block"] < rounds["PIADM"] < rounds["serial"]


def rows_of_law(dims, rounds, stored):
    row = ScalingRow("any", "sde", "PIADM", 0, 0, 0, 0, 1.0, 1, 1, 1, 0, None, None)
    return [replace(row, dim=dim, rounds=rounds(dim), stored=stored(dim)) for dim in dims]


def test_fits_find_known_laws():
    law = rows_of_law(DIMS, lambda d: 3 + 2 * math.log(d) + 0.5 * math.log(d) ** 2, lambda d: 7 * d**1.5)
    (fit,) = fit_rows(law, 0.3)
    assert (fit.constant, fit.linear, fit.quadratic) == pytest.approx((3, 2, 0.5), rel=1e-6)
    assert fit.quadratic_error < 1e-6 and fit.memory_exponent == pytest.approx(1.5)
    (fit,) = fit_rows(rows_of_law(DIMS, lambda d: 2 * math.log(d / 0.09) ** 1.7, lambda d: d), 0.3)
    assert fit.power == pytest.approx(1.7)
    assert fit_rows(law[:3], 0.3) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((16,), ["sphere"]), "no problem 'sphere'; choose from spectrum, field, mixture"),
        (((8, 16),), r"dims = \[8, 16\]"),
        (((),), r"dims = \[\]"),
        (((16,), [], 1.5), r"tolerance = 1\.5"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        measure(*arguments)


def test_a_mistake_on_the_command_line_is_one_line(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "--tolerance", "1.5")
    assert capsys.readouterr().err.splitlines()[-1].endswith("must be between 0 and 1: its square is the divergence")


def test_a_divergence_that_is_not_met_is_a_mistake():
    with pytest.raises(ConfigError, match="within 400 sweeps; choose a larger tolerance"):
        require(None)
