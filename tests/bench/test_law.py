"""What `parampi bench law` draws and counts; that its tests find what they say, and little where there is nothing."""

import builtins
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from parampi.bench import law as measurement
from parampi.bench.families import DEVELOP, FAMILIES, HALVES
from parampi.bench.law import TESTS, LawRow, differences, measure, to_json, to_markdown
from parampi.bench.law_cases import LAW_SAMPLERS, LAW_SOLVERS, LAW_WINDOWS, SMALL, LawCase, cases_of, modes_of, serially
from parampi.bench.law_tests import (
    Outcome,
    compare_energies,
    compare_modes,
    compare_moments,
    compare_projections,
    holm,
    random_directions,
)
from parampi.commands.bench import law
from parampi.engine import engine_for
from parampi.errors import ConfigError
from parampi.parallel import SerialGroup
from parampi.solvers import Serial

CASE = LawCase("near modes, unlike weights", "ddpm", "picard", 4, 1e-1)
MEMBERS, DIMENSIONS = 3000, 4
STRICT = 5e-4


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def flipped(rng, serial, modes, rate, bias=0.0):
    """Modes after flips of a share `rate` of the members, both ways alike, and of a share `bias` to mode 0."""
    order, parallel = rng.permutation(len(serial)), serial.copy()
    some = order[: rng.poisson(rate * len(serial))]
    parallel[some] = (serial[some] + rng.integers(1, modes, len(some))) % modes
    others = order[len(some) :]
    parallel[others[serial[others] > 0][: rng.poisson(bias * len(serial))]] = 0
    return parallel


@pytest.mark.parametrize("level", [0.05, STRICT])
@pytest.mark.parametrize(("modes", "rate"), [(2, 0.0), (2, 0.03), (3, 0.03), (9, 0.03)])
def test_mode_frequencies(rng, modes, rate, level):
    def outcome(bias):
        serial = rng.integers(0, modes, MEMBERS)
        return compare_modes(serial, flipped(rng, serial, modes, rate, bias), level)

    fair = [outcome(0.0) for _ in range(200)]
    bias = float(np.mean([flips.frequencies.finds for flips in fair]))
    biased = [outcome(bias) for _ in range(100)]
    assert np.mean([flips.frequencies.p < level for flips in fair]) <= level + 0.04
    assert np.mean([flips.frequencies.p < level for flips in biased]) >= 0.82
    assert np.mean([flips.frequencies.size for flips in biased]) == pytest.approx(bias, rel=0.1)


def test_flips_are_counted_in_each_direction():
    serial, parallel = np.array([0] * 50 + [1] * 50), np.array([1] * 12 + [0] * 38 + [0] * 2 + [1] * 48)
    flips = compare_modes(serial, parallel, 0.05)
    assert (flips.count, flips.gained, flips.lost, flips.frequencies.size) == (14, 2, 12, 0.1)
    assert flips.frequencies.p == pytest.approx(2 * sum(math.comb(14, k) for k in range(3)) / 2**14)  # McNemar's exact test
    assert compare_modes(serial, serial, 0.05).frequencies.p == 1.0
    # few flips between many modes prove nothing, whichever way they go
    assert compare_modes(np.arange(9), np.array([0, 0, 0, *range(3, 9)]), 0.05).frequencies.p >= 0.5


def pairs(rng, shift=0.0, rare=False):
    """Two ensembles (M, D) of one law, close to one another in all members or far in few, with one entry shifted."""
    common, errors = rng.standard_normal((MEMBERS, DIMENSIONS)), 0.05 * rng.standard_normal((2, MEMBERS, DIMENSIONS))
    if rare:
        errors *= 20 * (rng.random((2, MEMBERS, 1)) < 0.02)
    return common + errors[0], common + errors[1] + shift * (np.arange(DIMENSIONS) == 2)


@pytest.mark.parametrize("rare", [False, True])
def test_moments_of_pairs(rng, rare):
    fair = [compare_moments(*pairs(rng, rare=rare), STRICT)[0] for _ in range(100)]
    shift = float(np.mean([outcome.finds for outcome in fair]))
    outcomes = [compare_moments(*pairs(rng, shift, rare), STRICT) for _ in range(50)]
    shifted = [outcome for outcome, kind in outcomes if kind == "entry"]
    assert len(shifted) >= 45
    assert (
        np.mean([outcome.p < 0.05 for outcome in fair]) <= 0.1 and np.mean([outcome.p < STRICT for outcome in shifted]) >= 0.8
    )
    assert np.mean([outcome.size for outcome in shifted]) == pytest.approx(shift, rel=0.2)
    assert shift < 0.06 and compare_moments(*[pairs(rng)[0]] * 2, STRICT)[0].p == 1.0


@pytest.mark.parametrize("compare", [compare_projections, compare_energies])
def test_independent_ensembles(rng, compare):
    def ensemble(shift=0.0):
        modes = np.where(rng.random((MEMBERS, 1)) < 0.3, 2.0, -2.0)
        return rng.standard_normal((MEMBERS, DIMENSIONS)) + modes + shift * random_directions(DIMENSIONS, 0)[:, 0]

    fair = [compare(ensemble(), ensemble(), 0.05) for _ in range(60)]
    # a shift is in standard deviations of the law along the direction that it goes
    shift = fair[0].finds * (ensemble() @ random_directions(DIMENSIONS, 0)[:, 0]).std()
    shifted = [compare(ensemble(), ensemble(shift), 0.05) for _ in range(30)]
    assert np.mean([outcome.p < 0.05 for outcome in fair]) <= 0.13 and np.mean([outcome.p < 0.05 for outcome in shifted]) >= 0.8
    assert fair[0].finds < 0.2 and min(outcome.size for outcome in shifted) > np.median([outcome.size for outcome in fair])


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([]) == []


def test_cases_go_round():
    cases = cases_of("both")
    assert len(cases) == len(SMALL) * len(LAW_SOLVERS) * 2 and set(SMALL) <= set(FAMILIES)
    assert {case.sampler for case in cases} == set(LAW_SAMPLERS) and {case.window for case in cases} == set(LAW_WINDOWS)
    assert {case.half for case in cases_of("develop")} == {"develop"} and {case.half for case in cases_of("judge")} == {"judge"}
    assert {case.family for case in cases if case.half == "develop"} == set(SMALL) & set(HALVES["develop"])
    heavy = cases_of(families=["heavy vectors"], tolerances=[0.1, 0.01])
    assert heavy == [case for case in cases_of("develop") if case.family == "heavy vectors"] and heavy[0].family in DEVELOP
    assert {case.sampler for case in cases_of(samplers=["heun"], solvers=["parataa"])} == {"heun"}
    with pytest.raises(ConfigError, match="there is no family in the half to develop 'rare pixels'; choose one of far modes"):
        cases_of(families=["rare pixels"])


@pytest.mark.parametrize("sampler", ["edm", "unipc"])
def test_members_are_the_serial_sampler_s_in_any_cohorts(sampler, monkeypatch):
    problem = replace(CASE, sampler=sampler).problem(3)
    serial = engine_for(replace(problem, members=torch.arange(2, 9)), Serial(), SerialGroup()).run()
    monkeypatch.setattr("parampi.bench.law_cases.COHORT", 3)
    torch.testing.assert_close(serially(problem, range(2, 9)), serial)
    drawn = replace(CASE, sampler=sampler, tolerance=1e-9).parallel(problem, range(2, 9))
    torch.testing.assert_close(drawn.fields, serial)
    assert drawn.rounds.min() >= 5 and drawn.rounds.max() <= 20 and drawn.flagged.shape == (7,)


def test_modes_of_fields():
    fields = torch.full((3, 8), 0.0).index_fill(1, torch.tensor([0]), 2.0) * torch.tensor([[1.0], [-1.0], [0.9]])
    assert modes_of("near modes, unlike weights", fields).tolist() == [1, 0, 1]
    assert modes_of("rare pixels", torch.tensor([[4.0, 0.1] * 4, [0.0] * 8])).tolist() == [4, 0]
    assert modes_of("heavy vectors", torch.tensor([[0.01] * 8, [9.0] * 8])).tolist() == [0, 3]


def row(p):
    outcome = Outcome(p, 0.01, 0.02)
    return LawRow(
        family="heavy vectors",
        half="develop",
        sampler="ddim",
        solver="picard",
        window=None,
        tolerance=0.1,
        members=100,
        above=0.1,
        rounds=5.0,
        flagged=0.2,
        flips=0.05,
        flips_unflagged=0.03,
        gained=3,
        lost=2,
        frequencies=outcome,
        moment="norm",
        **dict.fromkeys(TESTS[1:], Outcome(0.5, 0.01, 0.02)),
    )


def test_tables_say_what_differs_by_all_of_their_tests():
    rows = [row(0.02), row(1e-4)]
    assert differences(rows) == [(rows[1], "frequencies")]
    text = to_markdown(rows)
    assert "**0.0001**" in text and "0.02**" not in text and "3 : 2" in text
    (digest,) = [line.split() for line in text.splitlines() if line.startswith("| all")]
    assert digest[5::2] == ["2", "5.00", "1.00", "1.00", "0.01", "0.01", "1", "0", "0", "0"]
    assert json.loads(to_json(rows))[1]["frequencies"] == {"p": 1e-4, "size": 0.01, "finds": 0.02}
    assert to_markdown([]).startswith("| solver")


def test_a_biased_ensemble_is_found(monkeypatch):
    drawn = LawCase.parallel

    def biased(case, problem, members):
        ensemble = drawn(case, problem, members)
        ensemble.fields[:60] = ensemble.fields[ensemble.fields[:, 0] > 0][0]
        return replace(ensemble, flagged=torch.arange(members.stop) < 50)

    plain = measure([CASE], members=1000, seed=1)[0]
    monkeypatch.setattr(LawCase, "parallel", biased)
    other = measure([CASE], members=1000, seed=1)[0]
    assert min(outcome.p for outcome in plain.outcomes[2:]) > 1e-3 and plain.frequencies.p > 1e-2
    assert max(outcome.p for outcome in other.outcomes[:2]) < 1e-6 and other.flips > 0.04 and other.gained > 10 * other.lost
    assert other.flagged == 0.05 and 0.004 < other.flips_unflagged <= 0.01 < other.flips


def test_the_command_to_the_end():
    options = ["--family", "square waves", "--solver", "picard", "--members", "40", "--tolerance", "0.1", "--seed", "2"]
    done = CliRunner().invoke(law, [*options, "--json"], catch_exceptions=False)
    (only,) = json.loads(done.stdout)
    assert (only["family"], only["members"], only["tolerance"]) == ("square waves", 40, 0.1) and "cases" in done.stderr
    assert CliRunner().invoke(law, ["--members", "1"]).exit_code == 2


def test_without_scipy(monkeypatch):
    imported = builtins.__import__

    def missing(name, *rest):
        if name == "scipy":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"need scipy; install it: pip install 'parampi\[bench\]'"):
        measurement.measure([CASE], members=4)
