"""What the rounds of a group of ranks showed, what its members cost and what they still lack."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Round:
    """What one round showed, on the rank that drives: `changes` (position, member) are relative changes at the points
    `first + position` of each member's window; entries behind `lengths` (member,) mean nothing. `evaluations` (member,) is how
    many of these points the network was asked for."""

    number: int
    first: Integers
    lengths: Integers
    changes: Floats
    slides: Integers
    evaluations: Integers


Watch = Callable[[Round, int], None]
"""Called on the rank that drives after each round, with the round and the number of steps in all."""


@dataclass
class History:
    """Per member (m,): rounds, evaluations, the residual of what was accepted last, and the estimate of what is
    error_estimate so far.

    `before`: rounds that were made before a checkpoint, of which there is no history. Complete on the group's rank 0 only.
    """

    rounds: Integers
    evaluations: Integers
    residual: Floats
    error_estimate: Floats
    history: list[Round] = field(default_factory=list)
    before: int = 0

    @classmethod
    def empty(cls, members: int) -> "History":
        return cls(np.zeros(members, np.int64), np.zeros(members, np.int64), np.zeros(members), np.zeros(members))

    @property
    def group_rounds(self) -> int:
        """Batched evaluations in a row, of all members together."""
        return self.before + sum(bool(done.evaluations.any()) for done in self.history)

    def enter(self, done: Round, error_estimate: Floats) -> None:
        self.rounds += done.evaluations > 0
        self.evaluations += done.evaluations
        for m in np.flatnonzero(done.slides):
            self.residual[m] = done.changes[: done.slides[m], m].max()
        self.error_estimate = error_estimate
        self.history.append(done)
