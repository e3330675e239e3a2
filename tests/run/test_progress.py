"""Progress: one line per block without a terminal, a bar with one."""

import io
from itertools import pairwise

import numpy as np

from parampi.engine.history import Round
from parampi.run.progress import Progress


def rounds(reached: list[int]) -> list[Round]:
    """Rounds of two members in step, which have reached these points of 12."""
    before, four = [0, *reached], np.full(2, 4)
    return [
        Round(k + 1, np.full(2, first), four, np.full((4, 2), 10.0 ** -(k + 1)), np.full(2, after - first), four)
        for k, (first, after) in enumerate(pairwise(before))
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, style: str = "auto") -> str:
    with Progress(12, 4, "window", style, stream) as progress:
        for done in rounds([1, 2, 4, 7, 8, 12]):
            progress.show(done, 12)
    return stream.getvalue()


def test_without_a_terminal_every_block_is_one_line() -> None:
    lines = shown(io.StringIO()).splitlines()
    assert lines == [
        "window 1/3, round 1: 1 of 12 points, largest change 1.0e-01",
        "window 2/3, round 3: 4 of 12 points, largest change 1.0e-03",
        "window 3/3, round 5: 8 of 12 points, largest change 1.0e-05",
        "window 3/3, round 6: 12 of 12 points, largest change 1.0e-06",
    ]


def test_a_terminal_gets_a_bar_with_block_round_and_change() -> None:
    text = shown(Terminal())
    assert "12/12" in text and "window 3/3, round 6, change 1.0e-06" in text and "of 12 points" not in text


def test_the_style_can_be_chosen() -> None:
    assert "12/12" in shown(io.StringIO(), "bar")
    assert "of 12 points" in shown(Terminal(), "lines")
