"""Timelines of ranks, thinned; and residuals of all groups on rank 0, as far as there is room."""

import numpy as np
import pytest

from parampi.engine import rank_clock, residual_gathering
from parampi.engine.rank_clock import RankClock
from parampi.engine.residual_gathering import gather_residuals
from parampi.parallel.threads import on_threads
from parampi.report import TIMELINE, Residuals, joined, thinned


@pytest.mark.parametrize("rounds", [0, 1, 39, 40, 500, 10_001])
def test_a_timeline_is_short_and_ends_where_the_rank_ended(rounds, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(rank_clock.time, "perf_counter", lambda: now[0])

    def work(group, rank):
        clock = RankClock(lambda: (0.5 * now[0], 0.25 * now[0], float(rank)))
        for _ in range(rounds):
            now[0] += 1.0
            clock.mark()
        return clock.gathered(group)

    ((rows,),) = on_threads(1, work)
    assert len(rows) <= TIMELINE and rows[0][0] == 0 and rows[-1][:3] == [rounds, rounds / 2, rounds / 4]
    gaps = np.diff([row[0] for row in rows])
    assert (gaps > 0).all() and (rounds < 40 or gaps.max() <= 3 * rounds / TIMELINE)


def test_every_rank_has_its_own_timeline():
    lines = on_threads(3, lambda group, rank: RankClock(lambda: (float(rank), 0.0, 0.0)).gathered(group))[0]
    assert [rows[-1][1] for rows in lines] == [0, 1, 2]


def test_timelines_follow_one_another():
    rows = joined([[0, 0, 0, 0], [2, 1, 0, 0.5]], [[0, 0, 0, 0], [3, 2, 1, 0]])
    assert rows == [[0, 0, 0, 0], [2, 1, 0, 0.5], [5, 3, 1, 0.5]] and joined([], rows) == rows
    many = thinned([[float(k)] for k in range(1000)])
    assert len(many) == TIMELINE and many[0] == [0.0] and many[-1] == [999.0]


def histories(rank):
    return (
        {10 * rank + k: [Residuals(r + 1, 2 * r, [0.5**r, 1e-3 * rank]) for r in range(3)] for k in range(2)}
        if rank != 1
        else {}
    )


@pytest.mark.parametrize(("room", "members"), [(1 << 19, [0, 1, 20, 21, 30, 31]), (40, [0, 1, 20, 21]), (10, [0, 1])])
def test_residuals_come_from_all_groups_until_there_is_no_more_room(monkeypatch, room, members):
    monkeypatch.setattr(residual_gathering, "ROOM", room)
    gathered, *others = on_threads(4, lambda group, rank: gather_residuals(histories(rank), group))
    assert sorted(gathered) == members and all(gathered[n] == histories(n // 10)[n] for n in members)
    assert [sorted(other) for other in others] == [[], [20, 21], [30, 31]]
