"""What a run says of its seconds, beside those of the serial sampler."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parampi.__main__ import main
from parampi.errors import ConfigError
from parampi.report import Report, Timing
from parampi.run.config import load
from parampi.run.inputs import read_inputs
from parampi.run.stopwatch import Stopwatch, require_serial, timed_calls
from parampi.run.watchdog import activity
from tests.small import write_project

TIMING = Timing("a", "b", ["one", "one"], 2.0, 0.05, serial=3.0, alone=3.0, remedy="sampling.solver.name=serial")


def test_the_line_says_how_many_times_as_fast_and_what_to_do_where_it_did_not_pay() -> None:
    assert TIMING.line() == "2 s on 2 ranks; the serial sampler would take about 3 s on one rank: 1.50 times as fast"
    slow = replace(TIMING, seconds=4.0, measured=True)
    assert slow.line() == (
        "4 s on 2 ranks; the serial sampler took 3 s on one rank: 0.75 times as fast. Sweeping did not pay: members alone "
        "would take about 3 s on these ranks: sampling.solver.name=serial"
    )
    assert (TIMING.paid, slow.paid, replace(slow, sweeps=False).paid) == (True, False, None)
    assert replace(TIMING, serial=None, alone=None).line() == "2 s on 2 ranks"


@pytest.mark.parametrize(
    ("ranks", "ranks_here", "cores", "members", "alone"),
    [(4, 4, 2, 8, 4.0), (4, 4, 4, 8, 2.0), (4, 2, 2, 8, 2.0), (16, 16, 16, 1, 1.0), (1, 1, 8, 8, 8.0)],
)
def test_members_alone_take_as_many_turns_as_ranks_that_compute_at_once_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int, ranks_here: int, cores: int, members: int, alone: float
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    inputs = read_inputs(load(write_project(tmp_path, sampling__members=members)))
    watch = Stopwatch(None, ranks_here, lambda: None, ["host"] * ranks, "now", calls=[9.0, 1 / 12, 0.0])
    report = Report(12, 1e-3, 12, 12 * members, seconds=[{"total": 1.0}, {"total": 2.5}])
    timing = watch.read(report, inputs, whole=True)
    assert timing.seconds == 2.5 and timing.alone == pytest.approx(alone) and timing.serial == pytest.approx(members)
    assert watch.read(report, inputs, whole=False).serial is None


@pytest.mark.parametrize("options", [[], ["--measure-serial"]])
def test_every_run_reports_seconds_hosts_and_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["run", str(write_project(tmp_path, model__arguments={"pause": 0.01}, sampling__members=1)), *options]) == 0
    timing: dict[str, Any] = json.loads((tmp_path / "out" / "report.json").read_text())["timing"]
    assert len(timing["hosts"]) == 1 and timing["began"] <= timing["ended"] and timing["call"] >= 0.01
    assert timing["measured"] == bool(options) and timing["serial"] >= 0.12
    assert timing["ratio"] == pytest.approx(timing["serial"] / timing["seconds"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert " s on 1 rank; the serial sampler " in last and f"{timing['ratio']:.2f} times as fast" in last


def test_without_a_serial_sampler_there_is_none_to_measure(tmp_path: Path) -> None:
    path = write_project(tmp_path, sampling__sampler={"name": "collocation"}, sampling__solver={"name": "spectral"})
    inputs = read_inputs(load(path))
    require_serial(inputs, measured=False)
    with pytest.raises(ConfigError, match=r"--measure-serial: .* no serial sampler can draw; leave the option out"):
        require_serial(inputs, measured=True)


def test_timed_calls_have_a_time_limit_of_their_own(tmp_path: Path) -> None:
    """A network that hangs in one is ended; what went before does not count."""
    frame: Any = SimpleNamespace(f_code=timed_calls.__code__)
    assert activity([frame]) == "has been timing calls of the network" and activity([]) == ""
    begun = list[int]()
    inputs = read_inputs(load(write_project(tmp_path)))
    Stopwatch(None, 1, lambda: begun.append(1), ["host"], "now").time_calls(inputs, lambda x, sigma: x, None)
    assert begun == [1]
