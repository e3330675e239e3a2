"""What `parampi bench tolerance` counts, draws, and calls an oracle."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from parampi.bench.draws import SAMPLERS, SOLVERS, TENTH, Draw, DrawnRun, MemberRecord
from parampi.bench.families import DEVELOP, JUDGE
from parampi.bench.oracle import MOST_POINTS, oracle_in_windows, oracle_rounds, serial_ends, settled
from parampi.bench.rounds import relative
from parampi.bench.subject import of_family
from parampi.bench.tolerance import DECADES, choices_of, measure, rows_of, to_json, to_markdown
from parampi.commands.bench import subject_of, tolerance
from parampi.errors import ConfigError, NonFiniteError
from tests.small import write_conditions, write_project

DRAW = Draw(
    seed=1,
    family="spirals",
    sampler="ddpm",
    solver="picard",
    spacing="karras",
    steps=12,
    last=1e-2,
    final_zero=True,
    window=None,
    tolerance=2e-2,
    members=3,
)


def record(error, *, bistable=None, oracle=None, share=1.0, draw=DRAW):
    return MemberRecord(draw, 0, share, error, 2 * error, 6, 60, bistable, oracle)


def row_of(rows, name, by="all", share=1.0):
    (row,) = [row for row in rows if (row.by, row.name, row.share) == (by, name, share)]
    return row


def test_a_draw_is_a_function_of_its_seed_and_number():
    choices = choices_of("both")
    draws = [Draw.of(choices, 3, number) for number in range(300)]
    assert draws == [Draw.of(choices, 3, number) for number in range(300)]
    assert len({draw.seed for draw in draws} | {Draw.of(choices, 4, n).seed for n in range(300)}) == 600
    assert {draw.sampler for draw in draws} == set(SAMPLERS) and {draw.solver for draw in draws} == set(SOLVERS)
    assert {draw.window for draw in draws} == {4, 16, None} and {draw.family for draw in draws} == {*DEVELOP, *JUDGE}
    assert all(1e-5 <= draw.tolerance <= 1e-1 and 1e-5 <= draw.last <= 2e-2 and 3 <= draw.steps <= 500 for draw in draws)


def test_draws_keep_to_what_is_chosen():
    choices = choices_of("develop", samplers=["edm"], solvers=["parataa"])
    draws = [Draw.of(choices, 0, number) for number in range(60)]
    assert {draw.family for draw in draws} <= set(DEVELOP)
    assert {(draw.sampler, draw.solver) for draw in draws} == {("edm", "parataa")}
    assert max(draw.steps for draw in draws) <= 250  # two points a step


def test_names_that_there_are_not():
    with pytest.raises(ConfigError, match="there is no solver 'newton'; choose one of picard"):
        choices_of(solvers=["newton"])
    with pytest.raises(ConfigError, match="there is no family in the half to develop 'bump'; did you mean 'bumps'"):
        choices_of(families=["bump"])
    with pytest.raises(ConfigError, match="not drawn from where a configuration's network is"):
        choices_of(families=["bumps"], network=of_family("bumps"))


def test_an_oracle_stops_where_errors_stay_within():
    path = np.array([[1.0, 1e-3, 1.0], [1e-3, 1.0, 1.0], [1e-3, 1e-3, 1.0], [1e-4, 1e-4, 1e-4]])
    assert settled(path, 1e-2).tolist() == [2, 3, 4]
    assert settled(path, 2.0).tolist() == [1, 1, 1]


def test_rows_count_members():
    other = replace(DRAW, family="bumps", window=4, tolerance=2e-4)
    rows = rows_of(
        [
            record(1e-2, oracle=5),
            record(4e-2, oracle=3),
            record(2.0, bistable=0.3, oracle=6),
            record(math.inf, draw=other),
            record(1e-5, draw=other),
            record(1e-5, share=TENTH),
        ]
    )
    everything = row_of(rows, "all")
    assert (everything.members, everything.above, everything.above_unflagged, everything.flagged) == (5, 0.6, 0.5, 0.2)
    assert (everything.oracle, everything.over, everything.rounds) == (1.2, 3, 6)
    spirals = row_of(rows, "spirals", "family")
    assert (spirals.members, spirals.worst, spirals.estimate, spirals.above) == (3, 2.0, 2.0, pytest.approx(2 / 3))
    assert row_of(rows, "bumps", "family").oracle is None and row_of(rows, "4", "window").members == 2
    assert row_of(rows, DECADES[0], "tolerance").members == 3 and row_of(rows, DECADES[2], "tolerance").members == 2
    assert row_of(rows, "median of families").above == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert row_of(rows, "all", share=TENTH).members == 1
    assert row_of(rows_of([replace(record(1e-9), estimate=0.0)]), "all").estimate is None  # an exact run
    assert json.loads(to_json(rows))[0]["members"] == 2 and "Asked for 0.1 of the tolerance" in to_markdown(rows)


@pytest.mark.parametrize("solver", ["picard", "spectral", "parataa"])
def test_an_oracle_needs_no_more_rounds_than_the_rule_in_one_window(solver):
    draw = replace(DRAW, solver=solver)
    own, tenth = np.array_split(DrawnRun.of(draw, of_family("spirals")).records((1.0, TENTH)), 2)
    assert all(0 < r.oracle <= r.rounds for r in own if r.ratio <= 1) and any(r.ratio <= 1 for r in own)
    assert [r.oracle for r in own] == [r.oracle for r in tenth]
    assert all(r.estimate <= draw.tolerance and r.evaluations >= 12 and r.bistable is None for r in own)
    assert all(r.estimate <= TENTH * draw.tolerance for r in tenth)


@pytest.mark.parametrize("sampler", ["dpmpp_2m_sde", "edm", "dpmpp_3m"])
def test_the_serial_sampler_goes_on_from_any_point(sampler):
    run = DrawnRun.of(replace(DRAW, sampler=sampler), of_family("spirals"))
    taps, columns = run.problem.equations.taps, torch.arange(3)
    start = torch.stack([torch.zeros_like(run.problem.start())] * (taps - 1) + [run.problem.start()], dim=1)
    ends = serial_ends(run.problem, start, torch.zeros_like(start[:, 1:]), np.zeros(3, np.int64), columns)
    torch.testing.assert_close(ends, run.serial)


@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp_3m"])
def test_an_oracle_in_windows_uses_the_tolerance_and_keeps_it(sampler):
    run, ends = DrawnRun.of(replace(DRAW, sampler=sampler, window=4), of_family("spirals")), {}
    for level in (1e-1, 1e-9):
        engine = oracle_in_windows(run.problem, run.solver, run.serial, 4, level)
        errors = relative(engine.run(), run.serial)
        assert bool((errors <= level).all())
        ends[level] = engine.history.rounds
    assert (ends[1e-1] >= 3).all() and (ends[1e-1] < ends[1e-9]).all() and (ends[1e-9] <= 12).all()


def test_long_runs_in_windows_have_no_oracle():
    run = DrawnRun.of(replace(DRAW, window=4, steps=MOST_POINTS + 1), of_family("spirals"))
    assert oracle_rounds(run.problem, run.solver, run.serial, 4, 1e-2) is None
    assert oracle_rounds(run.problem, run.solver, run.serial, MOST_POINTS + 1, 1e-1) is not None


def test_runs_that_fail_are_reported_and_left_out(monkeypatch):
    def fail(run, share):
        raise NonFiniteError(0, 1, 2.0, 3)

    monkeypatch.setattr(DrawnRun, "records", fail)
    errors = []
    choices = replace(choices_of(families=["spirals"]), most_steps=5)
    assert measure(choices, 2, report=lambda draw, error: errors.append(error)) == []
    assert [type(error) for error in errors] == [NonFiniteError] * 2
    assert rows_of([]) == []


def test_the_command_to_the_end():
    options = ["--family", "spirals", "--sampler", "ddim", "--solver", "picard", "--runs", "2", "--json"]
    done = CliRunner().invoke(tolerance, [*options, "--tenth"], catch_exceptions=False)
    rows = json.loads(done.stdout)
    assert [row["members"] for row in rows if row["name"] == "all" and row["by"] == "all"] == [8, 8]
    assert {row["name"] for row in rows if row["by"] == "sampler"} == {"ddim"}


@pytest.mark.parametrize("conditional", [False, True])
def test_the_network_of_a_configuration(tmp_path, conditional):
    write_conditions(tmp_path / "coarse.nc")
    condition = {"condition__files": "coarse.nc", "condition__variables": ["vorticity"]} if conditional else {}
    network = subject_of(write_project(tmp_path, **condition))
    x = torch.zeros(2, 1, 8, 8)
    assert conditional == bool(network.denoiser(x, torch.full((2,), 1e-3)).abs().max() > 1e-4)
    records = measure(choices_of(network=network, solvers=["spectral"], samplers=["ddim"]), 2)
    assert [record.draw.family for record in records] == ["network"] * 4
    assert all(record.draw.steps <= 40 and record.draw.spacing in ("karras", "log_uniform") for record in records)
