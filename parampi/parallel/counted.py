"""A group of ranks that counts what it sends, and the time that a rank spends in it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from parampi.parallel.group import Group, Message

T = TypeVar("T")


@dataclass
class Traffic:
    """Traffic of one rank: messages and bytes sent point to point, calls that all ranks make together and the bytes of each."""

    messages: int = 0
    bytes: int = 0
    collectives: int = 0
    collective_bytes: int = 0

    def since(self, earlier: "Traffic") -> "Traffic":
        """Return what was sent after `earlier`."""
        return Traffic(*(getattr(self, one.name) - getattr(earlier, one.name) for one in fields(self)))

    def copy(self) -> "Traffic":
        return self.since(Traffic())


class CountedGroup:
    """Any group, whose traffic is counted. `seconds` and `cpu` are this rank's wall and CPU time in messages, waiting
    included."""

    def __init__(self, group: Group):
        self.group, self.rank, self.size = group, group.rank, group.size
        self.traffic, self.seconds, self.cpu = Traffic(), 0.0, 0.0

    def exchange(self, sends: Sequence[Message], receives: Sequence[Message]) -> None:
        self.traffic.messages += len(sends)
        self.traffic.bytes += sum(tensor.numel() * tensor.element_size() for _, tensor in sends)
        self.timed(lambda: self.group.exchange(sends, receives))

    def sum_to_root(self, numbers: np.ndarray) -> np.ndarray:
        self.collective(numbers)
        return self.timed(lambda: self.group.sum_to_root(numbers))

    def rows_to_root(self, rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        self.collective(rows)
        return self.timed(lambda: self.group.rows_to_root(rows, counts))

    def broadcast(self, numbers: np.ndarray) -> np.ndarray:
        self.collective(numbers)
        return self.timed(lambda: self.group.broadcast(numbers))

    def collective(self, numbers: np.ndarray) -> None:
        if self.size > 1:
            self.traffic.collectives += 1
            self.traffic.collective_bytes += numbers.nbytes

    def timed(self, work: Callable[[], T]) -> T:
        begin, cpu = time.perf_counter(), time.thread_time()
        result = work()
        self.seconds += time.perf_counter() - begin
        self.cpu += time.thread_time() - cpu
        return result
