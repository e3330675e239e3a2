"""Ranks as threads of one process: the group contract without MPI, for many ranks that mostly wait."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from parampi.parallel.collector import objects_frozen
from parampi.parallel.group import Message

T = TypeVar("T")
GONE = object()
"""Sent to all by a rank that has failed."""
Ways = list[list["queue.SimpleQueue[Any]"]]


class ThreadGroup:
    """One rank of a group of threads. Messages from one rank to another arrive in the order they were sent."""

    def __init__(self, rank: int, ways: Ways):
        self.rank, self.size, self.ways, self.seconds = rank, len(ways), ways, 0.0

    def take(self, other: int) -> Any:
        message = self.ways[other][self.rank].get()
        if message is GONE:
            raise ConnectionError(f"rank {other} has failed")
        return message

    def exchange(self, sends: Sequence[Message], receives: Sequence[Message]) -> None:
        for other, tensor in sends:
            self.ways[self.rank][other].put(tensor.clone())
        for other, tensor in receives:
            tensor.copy_(self.take(other))

    def sum_to_root(self, numbers: np.ndarray) -> np.ndarray:
        if self.rank:
            self.ways[self.rank][0].put(np.array(numbers))
            return numbers
        total = np.array(numbers)
        for other in range(1, self.size):
            total += self.take(other)
        return total

    def rows_to_root(self, rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        if self.rank:
            self.ways[self.rank][0].put(np.array(rows))
            return rows
        return np.concatenate([rows, *(self.take(other) for other in range(1, self.size))])

    def broadcast(self, numbers: np.ndarray) -> np.ndarray:
        if self.rank:
            numbers[:] = self.take(0)
            return numbers
        sent = np.array(numbers)
        for other in range(1, self.size):
            self.ways[0][other].put(sent)
        return numbers


def on_threads(ranks: int, work: Callable[[ThreadGroup, int], T], size: int | None = None) -> list[T]:
    """Return what `work(group, rank)` returns on each rank, in groups of `size` neighbours, None for one group. Raises what the
    first rank that failed by itself raised."""
    size = size or ranks
    groups: list[Ways] = [[[queue.SimpleQueue() for _ in range(size)] for _ in range(size)] for _ in range(ranks // size)]
    results: list[Any] = [None] * ranks
    failures: list[BaseException] = []

    def one(rank: int) -> None:
        ways, place = groups[rank // size], rank % size
        try:
            results[rank] = work(ThreadGroup(place, ways), rank)
        except BaseException as failure:
            if not isinstance(failure, ConnectionError):
                failures.append(failure)
            for way in ways[place]:
                way.put(GONE)

    threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(ranks)]
    with objects_frozen():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for failure in failures:
        raise failure
    return results
