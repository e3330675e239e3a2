"""Plans of roll-outs whose lead times are swept together."""

from pathlib import Path

import numpy as np
import pytest

from parampi.__main__ import main
from parampi.bench.scaling import ALONE
from parampi.commands.experiments import experiment_of, with_plan
from parampi.engine import EngineOptions
from parampi.engine.history import Round
from parampi.run.config import load
from parampi.run.inputs import engine_options
from parampi.run.planning.flights import from_table_in_flight, longer, one_after_another, pilot_in_flight, reach_of
from parampi.run.planning.forecasts import open_network
from parampi.run.planning.measured import Track, tracked
from parampi.run.planning.sweeps import Chain, from_table
from parampi.samplers import DDIM, equations_of
from parampi.solvers import PIADM, Picard
from tests.small import write_conditions, write_project

SIX = equations_of(DDIM(), [20.0, 5.0, 2.0, 1.0, 0.5, 0.1, 0.01])


def project(folder: Path, **changes: object) -> Path:
    write_conditions(folder / "cond.nc")
    condition = {"files": "cond.nc", "variables": ["vorticity"], "select": [2], "lead_times": 10}
    return write_project(folder, **{f"condition__{name}": value for name, value in condition.items()} | changes)


def track(*rounds: tuple[int, int, int]) -> Track:
    made = Track()
    for number, (first, length, slide) in enumerate(rounds):
        counts = [np.array([count]) for count in (first, length, slide, length)]
        made(Round(number, counts[0], counts[1], np.zeros((length, 1)), counts[2], counts[3]), 6)
    return made


def test_windows_reach_as_far_as_the_flight_lets_them() -> None:
    points = [reach_of(SIX, Picard(), EngineOptions(flight=flight), 10).points for flight in (None, 1, 2)]
    assert points == [24, 6, 12] and reach_of(SIX, Picard(), EngineOptions(), 3).points == 18
    assert reach_of(SIX, PIADM(), EngineOptions(), 10).points == 6, "a solver of blocks ends with the lead time"


def test_the_table_lets_lead_times_end_sooner_the_more_are_in_flight() -> None:
    one = from_table("Picard", 20, noisy=False, tolerance=1e-2)
    together, alone = from_table_in_flight(one, 20, 24), one_after_another(one, 24)
    rounds = [together(window).rounds for window in (5, 10, 20, 40, 80)]
    assert rounds == sorted(rounds, reverse=True)
    assert all(together(window).rounds < alone(window).rounds for window in (5, 10, 20))
    assert alone(20).rounds == 24 * one(20).rounds and max(together(80).lengths) == 80


def test_a_track_goes_on_between_its_first_and_its_last_lead_times() -> None:
    made = track((0, 6, 2), (2, 6, 4), (6, 6, 3), (9, 6, 3), (12, 6, 3), (15, 3, 3))
    assert made.rounds_until(6) == 2 and made.rounds_until(18) == 6
    chain = longer(made, 6, 7, window=6, evaluated=1.0)
    assert chain == Chain(6, [6.0, 6.0, *[6.0] * 8, 6.0, 6.0, 6.0, 3.0], 1.0), "four more lead times of two rounds each"
    assert longer(made, 6, 3, window=6, evaluated=1.0).lengths == [6.0, 6.0, 6.0, 6.0, 6.0, 3.0]


@pytest.mark.parametrize("flight", [None, 2])
def test_a_pilot_of_six_lead_times_tells_the_rounds_of_ten(tmp_path: Path, flight: int | None) -> None:
    """Against all ten, drawn."""
    network = open_network(load(project(tmp_path, sampling__flight=flight)))
    solver, options = network.inputs.solver, engine_options(network.inputs.config)
    members, steps = network.inputs.members[:1], network.inputs.equations.steps
    for window in (steps // 2, 2 * steps):
        expected = pilot_in_flight(network.rolled_out, solver, options, members, [window], 10)[0]
        drawn, _ = tracked(network.rolled_out(members[0], 10), solver, options, members[0], window)
        assert expected.rounds == pytest.approx(len(drawn.lengths), rel=0.1), window
        assert expected.evaluations == pytest.approx(sum(drawn.lengths), rel=0.1), window


@pytest.mark.parametrize("options", [[], ["--pilot"]])
def test_the_verb_says_how_many_are_in_flight(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert main(["plan", str(project(tmp_path)), "--ranks", "1,32", *options]) == 0
    told = capsys.readouterr().out
    rows = [line.split() for line in told.splitlines() if " x " in line and "ranks" not in line]
    assert "of 10 lead times, swept together" in told and "window  in flight" in told
    assert ("of 6 lead times" in told) == bool(options)
    swept = [row for row in rows if "serial" not in row]
    assert all(len(row) == len(swept[0]) for row in swept) and int(swept[-1][5]) >= 1, swept


def test_a_flight_of_one_is_planned_lead_by_lead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(project(tmp_path, sampling__flight=1)), "--ranks", "1"]) == 0
    assert "of 10 lead times, one after another" in capsys.readouterr().out


def test_a_roll_out_is_scaled_as_a_whole_and_planned_as_it_is_drawn(tmp_path: Path) -> None:
    path = project(tmp_path, condition__lead_times=3, sampling__members=1)
    experiment = experiment_of(load(path), None, 0, None, simulate=None, growth="flat")
    from parampi.bench.scaling import measure

    rows = with_plan(measure(experiment, [1]), experiment, None)
    steps = experiment.problem.equations.steps
    assert rows[0].window == 2 * steps and rows[0].rounds < 3 * steps
    assert rows[-1].what == ALONE and rows[-1].evaluations == 3 * steps and all(row.planned for row in rows)
