"""What the network is given of each member: from files, and in a roll-out from the member's own result of the step before."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.errors import DataError
from parampi.fields import PER_CASE, Conditions, DatasetStatistics
from parampi.fields.atomic_files import await_file
from parampi.parallel import Group, SerialGroup
from parampi.run.checkpoint.folder import Folder

Floats = NDArray[np.floating[Any]]


def lead_seed(seed: int, lead: int) -> int:
    """Of the noise of a lead time: that of the run for the first, numbers that have nothing to do with one another after."""
    return seed if lead == 0 else int.from_bytes(hashlib.sha256(f"{seed}:{lead}".encode()).digest()[:8], "big") >> 1


@dataclass
class ConditionSource:
    """Called by all ranks of a `group` alike, for its own members, by their numbers.

    folder   where results are kept; None keeps them in the memory of the rank that drives the group
    """

    conditions: Conditions
    statistics: DatasetStatistics
    folder: Folder | None
    lead: int = 0
    group: Group = field(default_factory=SerialGroup)
    results: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def __call__(self, numbers: list[int]) -> Tensor:
        before = self.before(numbers) if self.lead else None
        return torch.from_numpy(self.conditions([number // PER_CASE for number in numbers], self.lead, before))

    def before(self, numbers: Sequence[int]) -> Floats:
        """Results (m, C, y, x) of the lead time before, in physical units."""
        found = np.empty((len(numbers), *self.statistics.shape))
        if self.group.rank == 0:
            for row, number in enumerate(numbers):
                found[row] = self.statistics.restore(self.result(number).cpu().double().numpy())
        return self.group.broadcast(found)

    def result(self, number: int) -> Tensor:
        if self.folder is None:
            return self.results[number, self.lead - 1]
        await_file(self.folder.place(number, self.lead - 1))
        try:
            return self.folder.member(number, self.lead - 1)[0]
        except Exception as error:
            raise DataError(
                f"{self.folder.place(number, self.lead - 1)}, from which the next lead time starts, cannot be read ({error}); "
                f"all ranks must see the output's folder"
            ) from error

    def remember(self, number: int, state: Tensor) -> None:
        """Keep a result for the next lead time, and forget the one before it."""
        if self.folder is None and self.conditions.leads is not None:
            self.results[number, self.lead] = state.clone()
            self.results.pop((number, self.lead - 2), None)
