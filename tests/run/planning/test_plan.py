"""Plans: what is expected of layouts, what is said of them, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from parampi.__main__ import main
from parampi.diffusion.sigmas import vp_linear
from parampi.engine import EngineOptions
from parampi.engine.driven import Messages
from parampi.errors import ConfigError
from parampi.run.config import load
from parampi.run.machine import Call, Machine, MessageCosts, NetworkCalls
from parampi.run.planning.costs import Costs, Line
from parampi.run.planning.forecasts import network_name
from parampi.run.planning.layouts import Forecast, Subject, alone, candidates, layouts, wasted_from
from parampi.run.planning.measured import PAUSE, costs_of, through, verdict_of
from parampi.run.planning.sweeps import Chain, from_pilot, from_table
from parampi.run.planning.text import overrides
from parampi.samplers import DDIM
from parampi.solvers import Picard, Spectral
from tests.engines import REGIMES, chain
from tests.small import write_project

COSTS = Costs(
    calls=[(1, 0.1, 10), (2, 0.2, 20), (4, 0.3, 30)],
    engine=Line(0.01, 0.001),
    serial=Line(0.0, 0.0),
    setup=Line(0.0, 0.0),
    messages=Messages(0.001, 1e9),
    cores=8,
)
SUBJECT = Subject(members=1, steps=8, evaluations=8)


def test_calls_between_and_beyond_those_that_were_measured() -> None:
    assert COSTS.call(3) == pytest.approx(0.25) and COSTS.call(8) == pytest.approx(0.6) and COSTS.call(0) == 0.0
    assert COSTS.network(7, 4) == pytest.approx(0.3 + 0.25) and COSTS.network(4, 1) == pytest.approx(0.4)


def test_a_sweep_is_calls_engine_and_messages_of_the_largest_slice() -> None:
    swept = Chain(4, [4.0, 3.0])
    assert COSTS.sweep(swept, 1, 1, 4) == pytest.approx(0.3 + 0.014 + 0.25 + 0.013)
    on_two = COSTS.sweep(swept, 1, 2, 4) - 2 * COSTS.exchanged(1, 2)
    assert on_two == pytest.approx(2 * (0.2 + 0.012)) and COSTS.exchanged(1, 2) > 0.003
    judged = replace(COSTS, verdict=0.5)  # rank 0 judges the other rank's points too, 2 of 4 and 1 of 3
    assert judged.sweep(swept, 1, 2, 4) - COSTS.sweep(swept, 1, 2, 4) == pytest.approx(0.5 * (2 + 1))
    assert judged.sweep(swept, 1, 1, 4) == COSTS.sweep(swept, 1, 1, 4)
    assert replace(COSTS, ranks_here=16).sweep(swept, 1, 1, 4) == pytest.approx(2 * COSTS.sweep(swept, 1, 1, 4))


def test_scans_are_reckoned_in_the_way_that_a_run_takes_them() -> None:
    """Beside a state that moves and the verdict."""
    large = replace(COSTS, field=10**6, messages=Messages(0.0, 1.0))
    # on 16 ranks the points that enter are on four of them, and a state moves
    assert large.exchanged(1, 16) == pytest.approx(8e6 * (2 * 15 / 16 + 2 * 3 / 4 + 1), rel=1e-3)  # transposed, not 4 times
    small = replace(COSTS, field=1000, messages=Messages(0.0, 1.0))
    assert small.exchanged(1, 16) == pytest.approx(8e3 * (4 + 2 + 1), rel=1e-2)
    spectral = replace(large, scans=2, within=True, moves=(6, 5))
    assert spectral.exchanged(1, 16) == pytest.approx(8e6 * (5 * 15 / 16 + 3 * 3 / 4 + 5), rel=1e-3)
    messages = replace(COSTS, messages=Messages(1.0, 1e30))
    assert [replace(messages, field=size).exchanged(1, 16) for size in (1000, 10**6)] == [4 + 2 + 1 + 8, 30 + 6 + 1 + 8]
    handled = replace(small, messages=Messages(0.0, 1e30), handling=0.5)
    assert handled.exchanged(2, 16) == pytest.approx(0.5 * 2 * 7, rel=1e-2) and handled.exchanged(2, 1) == 0.0


def test_pilots_measure_what_plans_are_made_of() -> None:
    """Setting up is no part of a round, and a pause none of the engine; the rest is small, and never negative."""
    problem = replace(chain(REGIMES, DDIM(), vp_linear(12)), members=torch.zeros(1, dtype=torch.int64))
    made = costs_of(problem, Spectral(), EngineOptions(), [(1, 5.0, 0)], messages=Messages(), ranks_here=1, points=2)
    assert 0 < made.engine.at(1) < PAUSE and made.setup.at(1) < 1.0 and 0 <= made.verdict < 1e-3
    assert 0 <= made.handling < 0.01 and (made.scans, made.within, made.moves) == (2, True, (6, 5))
    assert verdict_of(replace(problem, shape=(1, 512, 512)), Picard(), EngineOptions()) == 0.0


def test_the_table_gives_all_points_at_once_the_fewest_rounds_and_one_point_as_many_as_steps() -> None:
    sweeps = from_table("Picard", 100, noisy=False, tolerance=1e-2)
    assert sweeps(100).rounds == 9 and 21 <= sweeps(8).rounds <= 25 and sweeps(1).rounds == 100 and sweeps(1).evaluations == 100
    rounds = [sweeps(window).rounds for window in (1, 2, 4, 8, 16, 32, 64, 100)]
    assert rounds == sorted(rounds, reverse=True)
    assert from_table("Picard", 100, noisy=True, tolerance=1e-4)(100).rounds > 16
    with pytest.raises(ConfigError, match=r"nothing is known of the rounds of Mine \(known: .*\); ask for a pilot"):
        from_table("Mine", 100, noisy=False, tolerance=1e-2)


def test_pilots_are_taken_as_they_are_and_between_them_in_a_line() -> None:
    sweeps = from_pilot([Chain(16, [10.0] * 10), Chain(4, [4.0] * 40)])
    assert sweeps(4).rounds == 40 and sweeps(8).rounds == 20 and sweeps(64).rounds == 10 and sweeps(2).rounds == 40


def test_the_fastest_layout_comes_first_and_groups_are_no_more_than_members() -> None:
    sweeps = from_table("Picard", 8, noisy=False, tolerance=1e-2)
    found = layouts(4, replace(SUBJECT, members=2), COSTS, sweeps, [2, 4, 8])
    assert [one.seconds for one in found] == sorted(one.seconds for one in found)
    assert {one.time_ranks for one in found} == {2, 4}
    assert alone(4, replace(SUBJECT, members=8), COSTS).seconds == pytest.approx(8 * 0.2)
    assert candidates(8, [4], None) == [2, 4, 8] and 5 in candidates(8, [1], 5)


def test_overlapping_rounds_hide_the_shorter_of_calls_and_the_rest() -> None:
    swept, apart = Chain(4, [4.0]), replace(COSTS, apart=True)
    calls, rest = apart.network(4, 1), apart.engine.at(4)  # of each half of two members
    assert apart.sweep(swept, 2, 1, 1, overlap=True) == pytest.approx(2 * calls)
    assert apart.sweep(swept, 2, 1, 1) == pytest.approx(2 * calls + apart.engine.at(8))
    slow = replace(apart, engine=Line(9.0, 0.0))
    assert slow.sweep(swept, 2, 1, 1, overlap=True) == pytest.approx(2 * 9.0)
    # where calls are over when they return, halves hide nothing
    assert COSTS.sweep(swept, 2, 1, 1, overlap=True) == pytest.approx(2 * calls + 2 * rest)


def test_overlap_is_chosen_where_half_a_batch_takes_half_the_time() -> None:
    sweeps, two = from_table("Picard", 8, noisy=False, tolerance=1e-2), replace(SUBJECT, members=2)
    linear = replace(COSTS, calls=[(n, 0.1 * n, 10) for n in (1, 2, 4, 8)], engine=Line(0.02, 0.01), apart=True)
    flat = replace(linear, calls=[(n, 0.1, 10) for n in (1, 2, 4, 8)])

    def chosen(costs: Costs, subject: Subject) -> bool:
        return layouts(1, subject, costs, sweeps, [4])[0].overlap

    assert chosen(linear, two) and not chosen(flat, two) and not chosen(replace(linear, apart=False), two)
    assert chosen(flat, replace(two, members=8))  # four calls of eight fields, and two for each half
    assert not chosen(linear, SUBJECT) and not chosen(linear, replace(two, most=1))  # one member has no halves
    assert chosen(flat, replace(two, overlap=True)) and not chosen(linear, replace(two, overlap=False))
    told = layouts(1, two, linear, sweeps, [4])[0]
    assert overrides(told).endswith(" parallel.overlap=true")


def test_more_ranks_are_wasted_where_they_save_less_than_a_tenth() -> None:
    def one(ranks: int, seconds: float) -> Forecast:
        return Forecast(ranks, ranks, 8, 1, 1, 1.0, seconds, 1.0, 1.0)

    assert wasted_from([one(1, 8.0), one(2, 5.0), one(4, 4.9), one(8, 5.0)]) == 2
    assert wasted_from([one(1, 8.0), one(2, 4.0)]) is None


def test_a_line_through_measurements_never_falls() -> None:
    assert through([(1, 2.0), (3, 4.0)]) == Line(1.0, 1.0) and through([(1, 2.0), (3, 1.0)]) == Line(2.0, 0.0)


@pytest.mark.parametrize("options", [[], ["--pilot"]])
def test_the_verb_plans_without_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    path = write_project(tmp_path, sampling__members=2)
    assert main(["plan", str(path), "--ranks", "4,1", *options]) == 0
    told = capsys.readouterr().out
    assert "the configuration has no mistake" in told and "serial" in told and "node-hours" in told
    assert ("a pilot of 2" in told) == bool(options)
    assert [line.split()[0] for line in told.splitlines() if " x " in line and "ranks" not in line] == ["1", "1", "4", "4"]
    assert not (tmp_path / "out").exists()


def test_a_mistake_of_the_run_is_one_of_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_project(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ensemble.nc").write_text("")
    assert main(["plan", str(path)]) == 2
    assert "ensemble.nc" in capsys.readouterr().err
    assert main(["plan", str(path), "--overwrite", "--ranks", "1"]) == 0
    for text in ("0", "1,x", ""):
        assert main(["plan", str(path), "--ranks", text]) == 2
        assert "are no numbers of ranks; give them with commas, such as 1,2,4,8" in " ".join(capsys.readouterr().err.split())


def test_a_machine_file_is_merged_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, file = write_project(tmp_path), tmp_path / "machine.json"
    name = network_name(load(path))

    def calls(ranks: int, seconds: float) -> NetworkCalls:
        return NetworkCalls(network=name, device="a card", ranks_here=ranks, calls=[Call(fields=1, seconds=seconds, bytes=0)])

    Machine(cores=4, networks=[calls(1, 9.0), calls(4, 2.0)]).write(file)
    Machine(cores=4, networks=[calls(1, 0.5)]).write(file)
    Machine(cores=4, messages=MessageCosts(ranks=2, latency=1e-6, bandwidth=1e9)).write(file)
    machine = Machine.read(file)
    assert machine.messages and [machine.calls(name, n).calls[0].seconds for n in (1, 2, 4, 8)] == [0.5, 2.0, 2.0, 2.0]
    assert main(["plan", str(path), "--machine", str(file), "--ranks", "1"]) == 0
    told = capsys.readouterr().out
    assert "500 ms a field (the machine file (a card))" in told and "1 us and 1 GB/s" in told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "there is no machine file"),
        ("{", "is no machine file: its text"),
        ('{"cores": 0}', "is no machine file: cores"),
        ('{"cores": 1, "gpu": 2}', "is no machine file: gpu"),
        ('{"cores": 1}', "the machine file knows nothing of the network"),
    ],
)
def test_a_machine_file_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, reason: str
) -> None:
    path, file = write_project(tmp_path), tmp_path / "machine.json"
    if text is not None:
        file.write_text(text)
    assert main(["plan", str(path), "--machine", str(file)]) == 2
    told = capsys.readouterr().err
    assert reason in told and "parampi bench network CONFIG --out FILE" in told


def test_parallel_auto_takes_a_layout_and_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_project(tmp_path)
    assert main(["run", str(path), "parallel=auto"]) == 0
    told = capsys.readouterr().out
    assert "parampi: parallel = auto takes parallel.time_ranks=1 sampling.window=" in told
    import json

    config = json.loads((tmp_path / "out" / "report.json").read_text())["config"]
    assert config["parallel"]["layout"] == "members" and config["parallel"]["time_ranks"] == 1
    assert config["parallel"]["overlap"] is False  # on a CPU calls are over when they return
    assert config["parallel"]["network_batch"] and config["sampling"]["window"]
    assert main(["run", str(path), "parallel=auto", "sampling.tolerance=0.1"]) == 2  # output exists
    assert main(["run", str(path), "parallel.layout=auto", "parallel.time_ranks=2"]) == 2
    assert "time_ranks = 2 and layout: auto, which chooses it; give one of the two" in capsys.readouterr().err
