"""The benchmark of roll-outs: its errors are those against the serial sampler from the condition used, its rows are whole."""

import json

import torch
from click.testing import CliRunner

from parampi.bench import rollout
from parampi.bench.lorenz96 import lorenz96
from parampi.commands.bench import bench


def test_errors_are_those_from_the_condition_that_was_used():
    """A serial roll-out has none; one whose first lead time is disturbed has that error, and none after it."""
    problem = rollout.rollout_problem(lorenz96(0.1), "SDE", 3, 2)
    states, fields = problem.leads.start, []
    for lead in range(3):
        drawn = rollout.serial_of(problem, states, lead)
        if lead == 0:
            drawn = 1.001 * drawn
        fields.append(drawn)
        states = problem.leads.after(states, drawn, lead, [0, 1])
    errors = rollout.errors_of(problem, torch.stack(fields))
    torch.testing.assert_close(torch.from_numpy(errors), torch.tensor([[1e-3] * 2, [0.0] * 2, [0.0] * 2], dtype=torch.float64))


def test_the_command_prints_a_row_for_each_case(monkeypatch):
    monkeypatch.setattr(rollout, "WINDOWS", (8,))
    monkeypatch.setattr(rollout, "FLIGHTS", (1, 2))
    options = [
        "--json",
        "--lead-times",
        "2",
        "--members",
        "1",
        "--problem",
        "half a day",
        "--equations",
        "ODE",
        "--solver",
        "Spectral",
    ]
    done = CliRunner().invoke(bench, ["rollout", "--json", *options])
    rows = json.loads(done.output)
    assert [(row["window"], row["flight"]) for row in rows] == [(24, 1), (48, 2), (8, 1), (8, None)]
    assert all(row["beyond"] == 0 and 0 < row["error"] <= 1e-2 and row["rounds"] < 12 for row in rows), rows
