"""The rounds that a group of ranks made, and what its members cost so far."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
COUNTS = ("rounds", "evaluations", "residual", "error_estimate", "bistable")
"""Numbers of members that a history adds up."""


@dataclass(frozen=True)
class Round:
    """One round, on the rank that drives: `changes` (position, member) are relative changes at the points `first + position`
    of each member's window; entries beyond `lengths` (member,) mean nothing. `slides` (member,) is by how many points the
    windows slide, `evaluations` (member,) how many fields the network evaluated."""

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
    """Rounds made, and per member (m,): in how many of them it took part, its evaluations, the residual of the points accepted
    last, the estimated error of all points accepted so far, and the noise level at which it stood between two outcomes, 0 where
    it did not.

    log             the rounds since this process began; in a roll-out those in which a member was at its first lead time
    made            how many rounds this process made
    batches         in how many of them there was anything to evaluate
    earlier_rounds  how many were made before a checkpoint

    Complete on the group's rank 0 only.
    """

    rounds: Integers
    evaluations: Integers
    residual: Floats
    error_estimate: Floats
    bistable: Floats
    log: list[Round] = field(default_factory=list)
    made: int = 0
    batches: int = 0
    earlier_rounds: int = 0

    @classmethod
    def empty(cls, members: int) -> "History":
        counts, numbers = np.zeros((2, members), np.int64), np.zeros((3, members))
        return cls(*counts, *numbers)

    @property
    def group_rounds(self) -> int:
        """Batched evaluations in a row, those of all members counted once."""
        return self.earlier_rounds + self.batches

    def enter(self, entry: Round, error_estimate: Floats, keep: bool = True) -> None:
        """Enter a round; `keep`: whether it is kept in the log."""
        self.rounds += entry.evaluations > 0
        self.evaluations += entry.evaluations
        for m in np.flatnonzero(entry.slides):
            self.residual[m] = entry.changes[: entry.slides[m], m].max()
        self.error_estimate = error_estimate
        self.made += 1
        self.batches += bool(entry.evaluations.any())
        if keep:
            self.log.append(entry)

    def begin_anew(self, column: int) -> None:
        """Begin a member's next lead time: what was estimated of the last one says nothing of it."""
        self.error_estimate[column] = self.bistable[column] = self.residual[column] = 0.0

    def state(self) -> dict[str, Tensor]:
        """Return what each member cost so far, (m,) by name."""
        return {name: torch.from_numpy(getattr(self, name).astype(np.float64)) for name in COUNTS}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned of each member."""
        for name in COUNTS:
            setattr(self, name, state[name].numpy().astype(getattr(self, name).dtype))
        self.earlier_rounds = int(self.rounds.max(initial=0))
