"""What each lead time of a roll-out costs, and the lead times that are finished."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.lead_rule import LeadEnd, LeadParts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LEAD_COUNTS = ("lead_rounds", "lead_evaluations")


@dataclass(frozen=True)
class FinishedLead:
    """A lead time of a member, on the rank that drives: the drawn field (*shape), and what it cost.

    rounds  made since the lead time before was finished; 0 where both were finished in one
    """

    column: int
    lead: int
    field: Tensor
    rounds: int
    evaluations: int
    residual: float
    error_estimate: float
    bistable: float


@dataclass
class LeadLog:
    """Costs of lead times in flight: `lead_rounds` (m,) since the last one was finished, and `lead_evaluations` (m, slots), in
    column `l mod slots` those of lead time l."""

    lead_rounds: Integers
    lead_evaluations: Integers

    @classmethod
    def empty(cls, members: int, slots: int) -> "LeadLog":
        return cls(np.zeros(members, np.int64), np.zeros((members, slots), np.int64))

    def enter(self, first: Integers, lengths: Integers, calls: Integers) -> None:
        """Count a round of windows (m,); `calls` (N + 1,) are the network calls of one lead time up to each point."""
        members, slots = self.lead_evaluations.shape
        parts = LeadParts.of(first, lengths, len(calls) - 1, slots)
        rows = np.arange(members)[:, None]
        made = calls[parts.begin + parts.counts] - calls[parts.begin]
        self.lead_evaluations[rows, parts.columns - rows * slots] += made
        self.lead_rounds += made.any(1)

    def finish(self, column: int, lead: int, field: Tensor, end: LeadEnd, sigmas: Tensor) -> FinishedLead:
        """Return a lead time that is finished, and begin to count anew for the next."""
        slot = lead % self.lead_evaluations.shape[1]
        finished = FinishedLead(
            column,
            lead,
            field,
            rounds=int(self.lead_rounds[column]),
            evaluations=int(self.lead_evaluations[column, slot]),
            residual=end.residual,
            error_estimate=end.error_estimate,
            bistable=0.0 if end.bistable < 0 else float(sigmas[end.bistable]),
        )
        self.lead_rounds[column] = self.lead_evaluations[column, slot] = 0
        return finished

    def state(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(getattr(self, name).astype(np.float64)) for name in LEAD_COUNTS}

    def load(self, state: dict[str, Tensor]) -> None:
        for name in LEAD_COUNTS:
            setattr(self, name, state[name].numpy().astype(np.int64))
