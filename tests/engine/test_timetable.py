"""The timetable of blocks: what is kept between two rounds is what later rounds read, no more and no less."""

import pytest

from parampi.engine.timetable import Timetable


@pytest.mark.parametrize("ends", [[3, 7, 10], [2, 9, 11, 16], [5], [2, 4, 6, 8], [2, 4, 6, 40]])
@pytest.mark.parametrize("taps", [1, 2])
def test_kept_fields_are_those_a_run_holds(ends, taps):
    """Played without numbers: every field is put when it is made and taken when it was read last."""
    table = Timetable(ends, taps)
    held = {("start", 0, 0)}
    for number in range(1, ends[-1] + 1):
        kept = {key for b in range(table.blocks) for key in table.kept(b, number)}
        assert {key for key in kept if key[0] != "end"} == {key for key in held if taps > 1 or key[0] != "denoised"}
        held = after(table, number, held)


def after(table, number, held):
    """The fields that are held after a round: of those on their way, and of ends until they are corrected."""
    held = set(held)
    for b in range(table.blocks):
        for p in table.running(b, number):
            held -= {("start", b, p)}
            taken = table.taken(b, p, number)
            if taken == 0:
                held |= {("coarse_end", b, p)}
            running = {("states", b, p), ("denoised", b, p)}
            held = held - running | {("fine_end", b, p)} if taken + 1 == table.lengths[b] else held | running
    for b in range(table.blocks):
        p = table.forming.get((number, b))
        if p is not None:
            held -= {("coarse_end", b, p - 1), ("fine_end", b, p - 1)}
            if b + 1 < table.blocks:
                held |= {("start", b + 1, p)}
    return held


def test_points_of_what_is_kept():
    table = Timetable([4, 8], 2)
    assert table.kept(0, 1) == {("start", 0, 0): range(1)}
    kept = table.kept(0, 3)
    assert kept["states", 0, 0] == range(1, 3) and kept["denoised", 0, 0] == range(1, 2)
    assert kept["coarse_end", 0, 0] == range(4, 5) and kept["end", 0, 0] == range(4, 5)
