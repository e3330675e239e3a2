"""Stores of ensembles: the contract, what all of them do alike, and its reference in memory.

A store takes one member at a time. It is a context: closed as complete when the block ends; when an error ends the block, it
keeps the finished members.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.statistics import Statistics

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class MemberFacts:
    """How a member was drawn: the ensemble's seed, what it cost, and the relative residual of its last sweep."""

    seed: int
    rounds: int
    evaluations: int
    residual: float


class Store(Protocol):
    """Takes the members of one ensemble, in any order."""

    def write(self, member: int, fields: Floats, facts: MemberFacts) -> None:
        """Keep a finished member, its fields (C, H, W) in physical units; a member written again replaces itself."""

    def close(self, complete: bool) -> None:
        """Finish the ensemble, marked as complete if `complete` and no member is missing. A second call does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Keeper(ABC):
    """What every store does alike: it knows its members and refuses others, counts the finished ones, and closes once."""

    def __init__(self, members: Sequence[int], shape: tuple[int, ...]):
        self.rows = {int(member): row for row, member in enumerate(members)}
        self.shape, self.finished, self.is_open = shape, set[int](), True
        if not self.rows or len(self.rows) < len(members):
            raise OutputError(f"members = {list(members)}; give different numbers, at least one")

    def write(self, member: int, fields: Floats, facts: MemberFacts) -> None:
        if not self.is_open:
            raise OutputError(f"member {member} comes after the store was closed")
        if member not in self.rows:
            raise OutputError(f"member {member} is not one of this ensemble's members {', '.join(map(str, self.rows))}")
        if np.shape(fields) != self.shape:
            raise OutputError(f"member {member} has fields of shape {np.shape(fields)}; expected {self.shape}")
        self.put(member, np.asarray(fields), facts)
        self.finished.add(member)

    def close(self, complete: bool) -> None:
        if self.is_open:
            self.is_open = False
            self.finish(complete and len(self.finished) == len(self.rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or self.finished:
            self.close(complete=kind is None)
        elif self.is_open:
            self.is_open = False
            self.discard()

    @abstractmethod
    def put(self, member: int, fields: Floats, facts: MemberFacts) -> None: ...

    @abstractmethod
    def finish(self, complete: bool) -> None: ...

    @abstractmethod
    def discard(self) -> None:
        """Leave nothing behind."""


class MemoryStore(Keeper):
    """An ensemble in memory: `fields` and `facts` by member, and `complete`, None until the store is closed."""

    def __init__(self, statistics: Statistics, members: Sequence[int]):
        super().__init__(members, statistics.shape)
        self.fields: dict[int, Floats] = {}
        self.facts: dict[int, MemberFacts] = {}
        self.complete: bool | None = None

    def put(self, member: int, fields: Floats, facts: MemberFacts) -> None:
        self.fields[member], self.facts[member] = fields.astype(np.float32), facts

    def finish(self, complete: bool) -> None:
        self.complete = complete

    def discard(self) -> None:
        """Nothing was written."""
