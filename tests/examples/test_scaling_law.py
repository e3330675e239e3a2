"""The scaling law's search, rows, fits and tables."""

import json
import math
from dataclasses import replace

import pytest
from scaling_law import DIMS, Row, fits, measure, to_json, to_markdown
from scaling_law.problems import spectrum
from scaling_law.search import (
    EARLY_STOP,
    Plan,
    bisected,
    block_sweeps,
    both_sweeps,
    finest,
    first_settled,
    horizon_for,
    interleaved,
    least_count,
)

from parampi import ConfigError

TARGET = 0.09


@pytest.mark.parametrize("wanted", [1, 2, 3, 7, 8, 1000])
def test_least_count(wanted):
    assert least_count(lambda n: n >= wanted) == wanted


def test_bisection():
    assert bisected(lambda x: x * x >= 2, 0.0, 8.0) == pytest.approx(math.sqrt(2), rel=2e-6)


def test_a_divergence_must_be_met_for_good():
    values = [5.0, 0.1, 5.0, 0.3, 0.2, 0.2, 0.25, 0.2, 0.2]
    assert first_settled(iter(values), 0.5) == (4, 0.3)
    assert first_settled(iter(values), 0.15) is None
    assert first_settled(iter(values), 0.5, most=3) is None
    assert first_settled(iter([math.nan, math.inf, *values]), 0.5) == (6, 0.3)


@pytest.mark.parametrize("stochastic", [True, False])
def test_parameters_meet_the_divergence_and_fewer_do_not(stochastic):
    problem = spectrum(200)
    horizon = horizon_for(problem, TARGET, stochastic)
    blocks = math.ceil(horizon)
    plan = finest(problem, TARGET, stochastic, horizon, blocks)
    assert plan.serial() <= 0.75 * TARGET < replace(plan, steps_per_block=plan.steps_per_block - 1).serial()
    assert replace(plan, steps_per_block=4000, horizon=horizon - 0.05).serial() > TARGET / 4
    sweeps, divergence = block_sweeps(plan, TARGET)
    reached = [plan.divergence(maps) for _, maps in zip(range(sweeps + 3), plan.sweeps(), strict=False)]
    assert reached[sweeps - 1] == divergence and max(reached[sweeps - 1 :]) <= TARGET < reached[sweeps - 2]
    assert plan.points == len(plan.grid.sigmas) - 1 - (blocks - 1) * plan.steps_per_block
    assert float(plan.grid.sigmas[-1]) == pytest.approx(math.sqrt(math.expm1(EARLY_STOP)))


def test_sweeps_of_predictor_and_corrector_are_fewest_together():
    problem = spectrum(200)
    horizon = horizon_for(problem, TARGET, False)
    plan = finest(problem, TARGET, False, horizon, math.ceil(horizon), corrector=True)
    k, again, divergence = both_sweeps(plan, TARGET)
    swept = [maps for _, maps in zip(range(k + again), plan.sweeps(), strict=False)]
    corrected = [maps for _, maps in zip(range(k + again), zip(*plan.correctors(), strict=True), strict=False)]
    assert plan.divergence(interleaved(swept[k - 1], corrected[again - 1])) == divergence <= TARGET
    for fewer in range(1, k + again - 1):
        rest = k + again - 1 - fewer
        values = [
            plan.divergence(interleaved(swept[fewer - 1 + a], corrected[rest - 1 + b])) for a in (0, 1) for b in (0, 1 - a)
        ]
        assert max(values) > TARGET or fewer + rest < 2


@pytest.mark.parametrize("stochastic", [True, False])
def test_one_block_needs_the_fewest_rounds(stochastic):
    """In blocks, sweeps are saved, but not as many as there are blocks."""
    problem = spectrum(256)
    horizon, rounds = horizon_for(problem, TARGET, stochastic), []
    for blocks in (1, 2, 4):
        plan = finest(problem, TARGET, stochastic, horizon, blocks, corrector=not stochastic)
        found = block_sweeps(plan, TARGET) if stochastic else both_sweeps(plan, TARGET)
        rounds.append(blocks * sum(found[:-1]))
    assert rounds == sorted(rounds)


def made(dims, rounds, stored):
    row = Row("any", "sde", "PIADM", 0, 0, 0, 0, 1.0, 1, 1, 1, 0, None, None)
    return [replace(row, dim=d, rounds=rounds(d), stored=stored(d)) for d in dims]


def test_fits_find_known_laws():
    law = made(DIMS, lambda d: 3 + 2 * math.log(d) + 0.5 * math.log(d) ** 2, lambda d: 7 * d**1.5)
    (fit,) = fits(law, 0.3)
    assert (fit.constant, fit.linear, fit.quadratic) == pytest.approx((3, 2, 0.5), rel=1e-6)
    assert fit.quadratic_error < 1e-6 and fit.memory_exponent == pytest.approx(1.5)
    (fit,) = fits(made(DIMS, lambda d: 2 * math.log(d / 0.09) ** 1.7, lambda d: d), 0.3)
    assert fit.power == pytest.approx(1.7)
    assert fits(law[:3], 0.3) == []


@pytest.fixture(scope="module")
def quick():
    return measure((16, 32, 64, 128, 256), ["spectrum", "mixture"])


def test_all_methods_meet_the_divergence(quick):
    measured = [row for row in quick.rows if row.divergence is not None]
    assert {row.method for row in measured if row.problem == "spectrum"} == {
        "PIADM", "PIADM, one block", "Picard", "ParaDiGMS", "serial", "serial DDPM", "serial DDIM",
    }  # fmt: skip
    assert {row.method for row in measured if row.problem == "mixture"} == {
        "PIADM", "PIADM, one block", "Picard", "ParaDiGMS", "serial",
    }  # fmt: skip
    assert all(row.divergence <= TARGET for row in measured)
    assert all(row.stored == row.dim * row.points for row in quick.rows)
    assert [row.dim for row in quick.rows if row.problem == "mixture"][::10] == [16, 64, 256]


def test_rounds_are_counted_as_the_methods_run(quick):
    for row in quick.rows:
        if row.method.startswith(("PIADM", "theorem")):
            assert row.rounds == row.blocks * (row.sweeps + row.corrector_sweeps)
        elif row.method.startswith("serial"):
            assert row.points == 1 and row.rounds >= row.blocks * row.steps_per_block
        else:
            assert row.rounds == row.sweeps and row.points >= row.blocks * row.steps_per_block


def test_memory_grows_as_the_documentation_says(quick):
    """As d^1.5 for the last point's divergence, as d^2 for that of the path, up to logarithms."""
    exponents = {(f.method, f.kind): f.memory_exponent for f in quick.fits if f.problem != "mixture"}
    assert exponents["PIADM", "sde"] == pytest.approx(1.5, abs=0.1) == exponents["PIADM", "ode"]
    assert exponents["PIADM, whole path", "sde"] == pytest.approx(2.1, abs=0.1)
    rounds = {(row.method, row.dim): row.rounds for row in quick.rows if row.kind == "sde" and row.problem == "spectrum"}
    assert rounds["PIADM, one block", 256] < rounds["PIADM", 256] < rounds["serial", 256]


def test_json_and_tables(quick):
    again = json.loads(to_json(quick))
    assert again["tolerance"] == 0.3 and len(again["rows"]) == len(quick.rows) and len(again["fits"]) == len(quick.fits)
    assert again["rows"][0] == {**again["rows"][0], "problem": "any", "dim": 16}
    text = to_markdown(quick)
    lines = text.splitlines()
    assert len(lines) == 2 + len(quick.fits) and "rounds, d = 16, 64, 256" in lines[0]
    (theorem,) = (line for line in lines if "any" in line and "sde" in line)
    assert "42, 63, 88" in theorem and "6230, 31958, 1.6e5" in theorem and "log^1.9" in theorem
    assert all("d^" in line for line in lines if "serial" in line)


def test_a_plan_that_cannot_be_met_says_so():
    plan = Plan(spectrum(4096), True, 1.0, 1, 4)
    assert block_sweeps(plan, 1e-6, 5) is None and both_sweeps(replace(plan, stochastic=False), 1e-9, 5) is None


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
