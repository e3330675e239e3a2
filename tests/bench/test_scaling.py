"""Benchmarks of machines: calls, messages, and whole members, on ranks that are threads."""

import gc
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from parampi.__main__ import main
from parampi.bench import scaling, scan
from parampi.bench.simulated import closed_form, seconds_of
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import GaussianMixture
from parampi.diffusion.sigmas import vp_linear
from parampi.engine import EngineOptions, SamplingProblem
from parampi.engine.driven import Messages, RankCosts, critical
from parampi.engine.lead_times import LeadTimes
from parampi.errors import ConfigError
from parampi.parallel.counted import Traffic
from parampi.parallel.threads import ThreadGroup, on_threads
from parampi.samplers import DDIM
from parampi.solvers import Picard
from parampi.verify.scaling import scaling_figure
from tests.small import write_project

CHAIN = SamplingProblem(BatchedDenoiser(GaussianMixture(16)), DDIM().steps(vp_linear(12)), torch.zeros(1).long(), (1, 8, 2))


def experiment(seconds: float = 0.002) -> scaling.Experiment:
    return scaling.Experiment(
        CHAIN, Picard(), EngineOptions(tolerance=1e-2), Messages(), lambda fields: seconds, points_per_rank=2
    )


def test_members_rounds_and_seconds_of_all_three_ways_to_use_ranks(tmp_path: Path) -> None:
    rows = scaling.measure(experiment(), [1, 2, 4])
    assert [(row.what, row.ranks, row.members) for row in rows] == [
        ("one member", 1, 1), ("one member", 2, 1), ("one member", 4, 1), ("members grow", 4, 2),
        ("members alone", 1, 1), ("members alone", 2, 2), ("members alone", 4, 4),
    ]  # fmt: skip
    strong, serial = rows[2], rows[4]
    assert strong.window == 8 and strong.rounds < 12 and (serial.rounds, serial.evaluations) == (12, 12)
    assert serial.own >= 12 * 0.002 and strong.own >= strong.rounds * 0.002 and serial.efficiency == pytest.approx(1.0)
    for row in rows:
        shares = row.network + row.engine + row.messages + row.waiting + row.output
        assert shares == pytest.approx(1.0, abs=0.35)
    assert scaling.to_markdown(rows).count("\n") == 8 and json.loads(scaling.to_json(rows))[0]["ranks"] == 1
    scaling_figure(tmp_path / "scaling.png", rows)
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_more_ranks_than_cores_are_judged_by_own_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    rows = scaling.measure(experiment(), [1, 2])
    assert [row.crowded for row in rows] == [False, True, False, True]
    assert "by own seconds from 2 ranks on, as they share 1 cores" in scaling.note(rows, 1)
    assert "every rank has a core" in scaling.note(rows[:1], 1)


def test_members_together_without_and_with_rounds_that_overlap() -> None:
    linear = scaling.Experiment(
        CHAIN, Picard(), EngineOptions(tolerance=1e-2), Messages(), lambda fields: 0.002 * fields, points_per_rank=2
    )
    rows = scaling.measure(linear, [1, 2], together=4)
    assert [(row.what, row.ranks, row.members) for row in rows] == [
        ("members together", 1, 4), ("overlapping rounds", 1, 4), ("members together", 2, 4), ("overlapping rounds", 2, 4),
        ("members alone", 1, 1), ("members alone", 2, 2),
    ]  # fmt: skip
    for without, overlapping in (rows[:2], rows[2:4]):
        assert overlapping.rounds == without.rounds and overlapping.evaluations == without.evaluations
        # how much depends on what else the cores do
        assert without.hidden is None and overlapping.hidden is not None and 0 < overlapping.hidden <= 1.0
    assert "overlapping rounds take of the seconds without, by ranks: " in scaling.note(rows, 2)


def test_several_members_have_the_condition_and_the_start_of_the_one_there_is() -> None:
    several = scaling.of_several(replace(CHAIN, conditions=torch.ones(1, 3)), 4)
    assert several.conditions is not None and several.conditions.shape == (4, 3)
    rolling = scaling.of_several(replace(CHAIN, leads=LeadTimes(2, torch.ones(1, 1, 2))), 3).leads
    assert rolling is not None and rolling.start.shape == (3, 1, 2)


def test_own_seconds_are_those_of_the_slowest_rank_in_every_round() -> None:
    def costs(own: list[float]) -> RankCosts:
        return RankCosts(9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, own, 2, 2, [])

    assert critical([costs([1.0, 2.0]), costs([3.0, 1.0])]) == 5.0


def test_messages_take_latency_and_bytes() -> None:
    assert Messages(0.5, 10.0).seconds(Traffic(2, 20, 1, 10), 4) == pytest.approx(4 * 0.5 + (20 + 20) / 10)


def test_scans_and_rounds_count_what_they_send() -> None:
    rows = on_threads(4, lambda group, rank: scan.measure(group))[0]
    assert [row.what for row in rows[:3]] == ["scan, transposed", "scan, doubling (fast)", "scan, bitwise"]
    assert [row.what for row in rows[3:6]] == ["scan, transposed (fast)", "scan, doubling", "scan, bitwise"]
    transposed, doubling, bitwise = rows[:3]
    assert [row.messages for row in rows[:3]] == [6, 2, 1]
    assert transposed.bytes == 2 * 8 * 64 * 64 * 3 / 4 and bitwise.bytes == 8 * 64 * 64
    assert doubling.bytes == 8 * (2 * 64 * 64 + 1), "of two messages one has a slope"
    (small,) = on_threads(1, lambda group, rank: scan.measure(group, [5]))[0]
    assert (small.what, small.numbers, small.messages) == ("scan, bitwise", 5, 0)
    assert all(row.messages > 0 and row.collectives > 0 for row in rows if row.what.startswith("round"))
    # four numbers of one point, and the verdict, whatever the size of the fields
    assert {row.collective_bytes for row in rows if row.what == "round, Picard"} == {8 * (4 + 5)}
    measured = on_threads(2, lambda group, rank: scan.measure_messages(group))
    assert measured[0] == measured[1] and measured[0] and 0 < measured[0].latency < 0.1


def test_no_rank_that_is_a_thread_collects_the_garbage_of_the_whole_process() -> None:
    def work(group: ThreadGroup, rank: int) -> int:
        return gc.get_freeze_count()

    frozen = gc.get_freeze_count() > 0  # by whoever runs the tests
    assert min(on_threads(2, work)) > 10_000 and (gc.get_freeze_count() > 0) == frozen


def test_a_thread_that_fails_ends_all_with_its_own_error() -> None:
    def work(group, rank):  # type: ignore[no-untyped-def]
        if rank == 1:
            raise ValueError("no")
        return group.broadcast(np.zeros(1)) if rank else group.sum_to_root(np.ones(1))

    with pytest.raises(ValueError, match="no"):
        on_threads(3, work)


@pytest.mark.parametrize(("shape", "known"), [((1, 8, 8), True), ((2, 4, 6), False)])
def test_closed_forms_stand_for_networks_of_a_shape(shape: tuple[int, ...], known: bool) -> None:
    problem, statistics = closed_form(shape)
    assert problem(torch.zeros(3, *shape), torch.ones(3)).shape == (3, *shape) and (statistics is not None) == known
    assert problem.sample(2).shape == (2, *shape)
    with pytest.raises(ConfigError, match=r"has 9 numbers; --simulate needs one channel on a square grid, or a multiple of 8"):
        closed_form((3, 3, 1))


def test_the_time_of_a_simulated_call() -> None:
    assert seconds_of("50ms") == 0.05 and seconds_of("0.2s") == 0.2 and seconds_of("1") == 1.0
    for text in ("fast", "-1s", "nan", ""):
        with pytest.raises(ConfigError, match=r"give the time of a network call, such as 50ms or 0.2s"):
            seconds_of(text)


def test_the_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_project(tmp_path, sampling__members=1)
    assert main(["bench", "network", str(path), "--most", "4", "--out", str(tmp_path / "machine.json")]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[2:]] == ["1", "2", "4"]
    assert json.loads((tmp_path / "machine.json").read_text())["networks"][0]["calls"][2]["fields"] == 4
    assert main(["bench", "scaling", str(path), "--simulate", "1ms", "--ranks", "1,2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 4 and all(row["planned"] > 0 for row in rows)
    assert main(["bench", "scaling", str(path), "--ranks", "1"]) == 0
    assert "members alone" in capsys.readouterr().out
    assert main(["bench", "scaling", str(path), "--ranks", "2"]) == 2
    assert "there is 1; start as many (mpiexec -n 2), or --simulate 50ms" in capsys.readouterr().err
    assert main(["bench", "scan", "--out", str(tmp_path / "machine.json")]) == 2
    assert "one rank has no messages to measure; start several, such as mpiexec -n 2" in capsys.readouterr().err
