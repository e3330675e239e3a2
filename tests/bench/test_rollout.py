"""The benchmark of roll-outs: its errors are those against the serial sampler from the condition used, its rows are whole, and
a run's configuration is measured as that run would draw."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from parampi import ConfigError
from parampi.bench import rollout
from parampi.bench.flights import flights_of
from parampi.bench.forecasts import lorenz96_chain, shipped
from parampi.bench.lead_errors import LeadErrors, serial_of
from parampi.bench.lorenz96 import lorenz96
from parampi.commands.bench import bench
from parampi.engine.lead_log import FinishedLead
from parampi.run.config import load
from parampi.run.job import run
from parampi.verify.rollout import residuals
from tests.small import write_conditions, write_project


def bench_rollout(*options):
    return CliRunner().invoke(bench, ["rollout", *map(str, options)], catch_exceptions=False)


def test_errors_are_those_from_the_condition_that_was_used():
    """A serial roll-out has none; one whose first lead time is disturbed has that error, and none after it."""
    problem = lorenz96_chain(lorenz96(0.1), "SDE", 3, 2)
    states, judged = problem.leads.start, LeadErrors(problem)
    for lead in range(3):
        drawn = serial_of(problem, problem.leads, states, lead)
        if lead == 0:
            drawn = 1.001 * drawn
        for column in (1, 0):
            judged.take(FinishedLead(column, lead, drawn[column], 1, 1, 0.0, 0.0, 0.0))
        states = problem.leads.after(states, drawn, lead, [0, 1])
    expected = torch.tensor([[1e-3] * 2, [0.0] * 2, [0.0] * 2], dtype=torch.float64)
    torch.testing.assert_close(torch.from_numpy(judged.table()), expected)
    assert not judged.drawn


def test_the_command_prints_a_row_for_each_case():
    """Also: rounds are those of the first lead time and those between the others; what is not named stays out."""
    options = ["--members", 1, "--problem", "half a day", "--equations", "ODE", "--solver", "Spectral"]
    done = bench_rollout("--json", "--lead-times", "1,3", *options, "--flights", "1,2", "--windows", 8)
    rows = json.loads(done.output)
    cases = [(24, 1), (48, 2), (8, 1), (8, None)]
    assert [(r["lead_times"], r["window"], r["flight"]) for r in rows] == [(count, *case) for count in (1, 3) for case in cases]
    assert all(row["beyond"] == 0 and 0 < row["error"] <= 1e-2 and row["rounds"] < 12 for row in rows), rows
    for one, three in zip(rows[:4], rows[4:], strict=True):
        assert one["between"] is None
        if one["flight"] == 1:
            assert 3 * three["rounds"] == pytest.approx(one["rounds"] + 2 * three["between"])
    assert all(row["memory"] is None or 50 < row["memory"] < 4000 for row in rows)


def project(folder, **changes):
    write_conditions(folder / "cond.nc")
    roll_out = {"condition__files": "cond.nc", "condition__variables": ["vorticity"], "condition__lead_times": 3}
    return write_project(folder, **{"sampling__members": 2, "condition__select": [1], **roll_out, **changes})


def test_a_configuration_is_measured_as_it_is_run(tmp_path):
    config = project(tmp_path, sampling__tolerance=1e-3)
    done = bench_rollout("--json", "--config", config, "--lead-times", 3, "--members", 2, "--flights", 2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == [
        "cond.nc", "net.py", "run.yaml", "statistics.nc", "weights.safetensors",
    ]  # fmt: skip
    (row,) = json.loads(done.output)
    assert (row["problem"], row["equations"], row["solver"], row["window"]) == ("6 hours", "ddpm", "Picard", 24)
    assert row["beyond"] == 0 and 0 < row["high"] <= 1e-3
    report = run(load(config, ["sampling.flight=2"])).report
    rounds = [sum(m.rounds for m in report.members if m.member == number) for number in report.residuals]
    assert row["rounds"] == pytest.approx(sum(rounds) / 2 / 3) and row["evaluations"] == pytest.approx(
        report.evaluations / report.serial_evaluations
    )


def test_a_configuration_whose_solver_has_no_sliding_window_has_one_row(tmp_path):
    config = project(tmp_path, sampling__solver={"name": "parareal", "blocks": 4})
    (row,) = json.loads(bench_rollout("--json", "--config", config, "--lead-times", 2, "--members", 1).output)
    assert (row["window"], row["flight"]) == (None, 1) and row["high"] <= 1e-4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"condition__lead_times": None},
            r"run.yaml has no condition.lead_times, so there is no roll-out .*\(condition.lead_t",
        ),
        (None, r"run.yaml has no condition, so there is no roll-out to measure; give the files that forecasts start from"),
    ],
    ids=["no lead times", "no condition"],
)
def test_a_configuration_without_lead_times_is_refused(tmp_path, changes, words):
    config = write_project(tmp_path) if changes is None else project(tmp_path, **changes)
    with pytest.raises(ConfigError, match=words):
        bench_rollout("--config", config)


def test_options_that_make_no_sense_are_refused(tmp_path):
    assert (
        "'1,x' is not whole numbers of at least 1 with commas between them, such as 1,2,4"
        in bench_rollout("--flights", "1,x").output
    )
    assert "leave them out with --config" in bench_rollout("--config", "run.yaml", "--equations", "ODE").output
    assert "--flights" in bench_rollout("--flights", "0").output


def test_the_figure_has_what_rounds_did(tmp_path):
    """Also: residuals lie where windows lay, and lead times end where the history says."""
    few = ["--lead-times", 3, "--members", 2, "--problem", "half a day", "--equations", "ODE", "--solver", "Spectral"]
    done = bench_rollout("--json", *few, "--flights", "1,2", "--figure", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG") and len(json.loads(done.output)) == 2
    one, two = flights_of(shipped(["half a day"], ["ODE"])[0], "Spectral", 3, 2, (1, 2))
    assert (one.flight, two.flight, one.steps) == (1, 2, 24) and one.ends[-1] > two.ends[-1] >= 3
    assert max(len(values) for _, values in one.history) == 24 and max(len(values) for _, values in two.history) == 48
    table = residuals(two, 48, len(two.history))
    assert np.isfinite(table[:, 0]).all() and np.isnan(table[:10, -1]).all()
    assert table[0, 0] == max(two.history[0][1][0], 1e-5)


def test_shipped_forecasts_have_names():
    assert [(f.length, f.equations) for f in shipped(["a day"])] == [("a day", "ODE"), ("a day", "SDE")]
    with pytest.raises(ConfigError, match="there is no equations 'OED'; did you mean"):
        shipped(equations=["OED"])
    assert rollout.to_markdown([]).startswith("| lead time")


def test_seconds_of_a_simulated_roll_out():
    """Ranks are threads; the network takes what it is said to take, and the engine's own seconds come on top."""
    options = ["--simulate", "4ms", "--ranks", 4, "--lead-times", 2, "--solver", "Picard"]
    (row,) = json.loads(bench_rollout("--json", *options).output)
    assert (row["solver"], row["ranks"], row["lead_times"], row["seconds"]) == ("Picard", 4, 2, 0.004)
    assert 24 / 4 <= row["rounds"] <= 24 and 0.004 < row["own"] <= row["wall"]
    assert "--simulate goes with --ranks" in bench_rollout(*options, "--equations", "ODE").output
