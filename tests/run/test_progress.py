"""Progress: lines now and then without a terminal, one bar for the whole run with one; the log has lines in any case."""

import io
import re
from itertools import pairwise

import numpy as np
import pytest

from parampi.engine.history import Round
from parampi.progress import duration
from parampi.run.progress import RunDisplay
from parampi.run.run_log import RunLog

STEPS = 12


def rounds(reached: list[int], before: int = 0) -> list[Round]:
    """Rounds of two members in step, which have reached these points, of one engine."""
    four = np.full(2, 4)
    return [
        Round(k + 1, np.full(2, first), four, np.full((4, 2), 10.0 ** -(k + 1)), np.full(2, after - first), four)
        for k, (first, after) in enumerate(pairwise([before, *reached]))
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Each look at it takes no time; each round ten seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(stream, batches, style="auto", path=None, seconds=10.0, groups=1) -> str:
    clock, members = Clock(), 2 * len(batches)
    log = RunLog(path, stream)
    with RunDisplay(members, STEPS, "member", log, groups=groups, style=style, clock=clock) as progress:
        for batch in batches:
            for done in batch:
                clock.now += seconds
                progress.show(done, STEPS)
    return stream.getvalue()


def test_without_a_terminal_there_is_a_line_where_much_is_done():
    lines = shown(io.StringIO(), [rounds([1, 2, 4, 7, 8, 12])]).splitlines()
    assert lines == [
        "8 %: 0 of 2 members, round 1, 10 s a round, change 1.0e-01",
        "17 %: 0 of 2 members, round 2, 10 s a round, 1:40 left, change 1.0e-02",
        "33 %: 0 of 2 members, round 3, 10 s a round, 1:00 left, change 1.0e-03",
        "58 %: 0 of 2 members, round 4, 10 s a round, 0:29 left, change 1.0e-04",
        "67 %: 0 of 2 members, round 5, 10 s a round, 0:25 left, change 1.0e-05",
        "100 %: 2 of 2 members, round 6, 10 s a round, change 1.0e-06",
    ]


def test_batches_and_lead_times_are_counted_on():
    last = shown(io.StringIO(), [rounds([6, 12]), rounds([12])], groups=3).splitlines()[-1]
    assert last == "100 %: 4 of 4 members of group 1 of 3, round 3, 10 s a round, change 1.0e-01"


def test_what_an_earlier_run_has_done_does_not_make_this_one_faster():
    line = shown(io.StringIO(), [rounds([9, 10], before=8)]).splitlines()[1]
    assert line.startswith("83 %") and "0:20 left" in line  # two points in twenty seconds, two are left


def test_long_serial_runs_print_few_lines_and_slow_ones_at_least_one_a_minute():
    thousand = [
        Round(k + 1, np.full(1, k), np.full(1, 1), np.zeros((1, 1)), np.ones(1, np.int64), np.ones(1, np.int64))
        for k in range(1000)
    ]
    for seconds, least, most in ((0.01, 20, 22), (20.0, 60, 140)):
        stream, clock = io.StringIO(), Clock()
        progress = RunDisplay(1, 1000, "member", RunLog(None, stream), clock=clock)
        for done in thousand:
            clock.now += seconds
            progress.show(done, 1000)
        assert least <= len(stream.getvalue().splitlines()) <= most


def test_one_member_is_no_members():
    stream = io.StringIO()
    progress, twelve = RunDisplay(1, 12, "member", RunLog(None, stream), clock=Clock()), np.full(1, 12)
    progress.show(Round(1, np.zeros(1, np.int64), twelve, np.full((12, 1), 0.1), twelve, twelve), 12)
    assert "1 of 1 member, round 1" in stream.getvalue()


def test_a_terminal_gets_one_bar_for_the_whole_run(tmp_path):
    text = shown(Terminal(), [rounds([6, 12]), rounds([12])], path=tmp_path / "run.log")
    assert "100 %" in text and "4 of 4 members, round 3, 10 s a round, change 1.0e-01" in text
    assert text.count("\n") == 1
    logged = (tmp_path / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ %: ", line) for line in logged) and len(logged) == 3


def test_the_style_can_be_chosen():
    assert "100 %|" in shown(io.StringIO(), [rounds([12])], "bar").replace(" |", "|")
    assert "a round" in shown(Terminal(), [rounds([12])], "lines")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (75, "1:15"), (3723, "1:02:03")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_log_that_cannot_be_written_is_said_once(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    log = RunLog(tmp_path / "file" / "run.log")
    log.say("one")
    log.say("two")
    said = capsys.readouterr()
    assert said.out == "one\ntwo\n" and said.err.count("no log from here on") == 1


def test_output_that_goes_to_the_log_already_is_not_doubled(tmp_path):
    with open(tmp_path / "run.log", "w") as stream:
        RunLog(tmp_path / "run.log", stream).say("one")
    assert (tmp_path / "run.log").read_text() == "one\n"
