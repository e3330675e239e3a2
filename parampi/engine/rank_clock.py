"""What each rank did when: seconds after its rounds, thinned so that a report can hold those of many ranks."""

import time
from collections.abc import Callable

import numpy as np

from parampi.parallel import Group
from parampi.report import TIMELINE, thinned

Reading = tuple[float, float, float]


class RankClock:
    """One rank's seconds, read after its rounds: since it began, in the network, in messages, and in output so far.

    read  returns the last three; it is called after every round, and must not wait for a device
    """

    def __init__(self, read: Callable[[], Reading]):
        self.read, self.begin = read, time.perf_counter()
        self.rows: list[list[float]] = [[0.0, *self.read()]]
        self.calls, self.stride = 0, 1

    def mark(self) -> None:
        """Note where this rank is, in one of so many calls that there are never more than twice as many rows as are kept."""
        self.calls += 1
        if self.calls % self.stride:
            return
        self.rows.append(self.row())
        if len(self.rows) >= 2 * TIMELINE:
            self.rows, self.stride = self.rows[::2], 2 * self.stride

    def row(self) -> list[float]:
        return [time.perf_counter() - self.begin, *self.read()]

    def gathered(self, everyone: Group) -> list[list[list[float]]]:
        """Return the rows of all ranks, on rank 0. Every rank makes the same call."""
        rows = thinned([*self.rows, self.row()])
        table = np.full((everyone.size, TIMELINE, 4), 0.0)
        table[everyone.rank] = [*rows, *[rows[-1]] * (TIMELINE - len(rows))]
        return [without_repeats(rank) for rank in everyone.sum_to_root(table).round(6).tolist()]


def without_repeats(rows: list[list[float]]) -> list[list[float]]:
    """Return rows without those that fill up the end."""
    return [row for row, before in zip(rows, [None, *rows], strict=False) if row != before]
