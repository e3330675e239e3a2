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

    def write(self, member: int, fields: Floats, facts: MemberFacts, lead: int = 0) -> None:
        """Keep a finished member, its fields (C, H, W) in physical units; a member written again replaces itself. In a
        roll-out a member has fields for each lead time."""

    def close(self, complete: bool) -> None:
        """Finish the ensemble, marked as complete if `complete` and no member is missing. A second call does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class BaseStore(ABC):
    """What every store does alike: it knows its members and refuses others, counts the finished ones, and closes once."""

    def __init__(self, members: Sequence[int], shape: tuple[int, ...], leads: int = 1):
        self.rows = {int(member): row for row, member in enumerate(members)}
        self.shape, self.leads, self.finished, self.is_open = shape, leads, set[tuple[int, int]](), True
        if not self.rows or len(self.rows) < len(members):
            raise OutputError(f"members = {list(members)}; give different numbers, at least one")

    def write(self, member: int, fields: Floats, facts: MemberFacts, lead: int = 0) -> None:
        if not self.is_open:
            raise OutputError(f"member {member} comes after the store was closed")
        if member not in self.rows:
            raise OutputError(f"member {member} is not one of this ensemble's members {', '.join(map(str, self.rows))}")
        if np.shape(fields) != self.shape:
            raise OutputError(f"member {member} has fields of shape {np.shape(fields)}; expected {self.shape}")
        if not 0 <= lead < self.leads:
            raise OutputError(f"member {member} has no lead time {lead}; there are {self.leads}")
        self.put(member, lead, np.asarray(fields, np.float32), facts)
        self.finished.add((member, lead))

    def close(self, complete: bool) -> None:
        if self.is_open:
            self.is_open = False
            self.finish(complete and len(self.finished) == len(self.rows) * self.leads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or self.finished:
            self.close(complete=kind is None)
        elif self.is_open:
            self.is_open = False
            self.discard()

    @abstractmethod
    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None: ...

    @abstractmethod
    def finish(self, complete: bool) -> None: ...

    @abstractmethod
    def discard(self) -> None:
        """Leave nothing behind."""
