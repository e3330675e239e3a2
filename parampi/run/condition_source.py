"""The conditions of each member: from files, and in a roll-out from the member's own result of the lead time before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.fields import PER_CASE, Conditions, DatasetStatistics
from parampi.fields.atomic_files import await_file
from parampi.parallel import Group, SerialGroup
from parampi.run.any_rank import as_drawn, physical
from parampi.run.checkpoint.folder import Folder
from parampi.run.inputs import Inputs

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ConditionSource:
    """The conditions of members at one lead time. All ranks of a `group` call it alike, for its own members, by their numbers.

    shape    of the fields that are drawn
    folder   where results are kept; None keeps them in the memory of the rank that drives the group
    results  by member and lead time
    """

    conditions: Conditions
    statistics: DatasetStatistics
    shape: Sequence[int]
    folder: Folder | None
    lead: int = 0
    group: Group = field(default_factory=SerialGroup)
    results: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def at(self, lead: int, group: Group) -> "ConditionSource":
        """Return the same at another lead time, whose members other ranks may share."""
        return replace(self, lead=lead, group=group)

    def case_of(self, number: int) -> int:
        """Return the case that a member is of: the time of its condition; itself where that is made of its own results."""
        return number if self.lead else number // PER_CASE

    def __call__(self, numbers: list[int]) -> Tensor:
        earlier = self.earlier(numbers) if self.lead else None
        return self.made(numbers, self.lead, earlier)

    def made(self, numbers: list[int], lead: int, earlier: Floats | None) -> Tensor:
        """Return the conditions (m, ...) at a lead time, of results of the one before where there is one."""
        fields = self.conditions([number // PER_CASE for number in numbers], lead, earlier)
        return as_drawn(torch.from_numpy(fields), self.shape)

    def of_states(self, states: Tensor, lead: int, numbers: list[int]) -> Tensor:
        """Return the conditions (m, ...) at a lead time, of the normalised results (m, C, y, x) of the one before it."""
        earlier = np.stack([physical(self.statistics, state) for state in states]) if lead else None
        return self.made(numbers, lead, earlier)

    def nothing_before(self, numbers: list[int]) -> Tensor:
        """Return the states (m, C, y, x) before the first lead time, whose condition is read from the files."""
        return torch.zeros((len(numbers), *self.shape), dtype=torch.float64)

    def earlier(self, numbers: Sequence[int]) -> Floats:
        """Return the results (m, C, y, x) of the lead time before, in physical units."""
        fields = np.empty((len(numbers), *self.statistics.shape))
        if self.group.rank == 0:
            for row, number in enumerate(numbers):
                fields[row] = physical(self.statistics, self.result(number))
        return self.group.broadcast(fields)

    def result(self, number: int) -> Tensor:
        if self.folder is None:
            return self.results[number, self.lead - 1]
        await_file(self.folder.member_file(number, self.lead - 1))
        return self.folder.member(number, self.lead - 1)[0]

    def remember(self, number: int, state: Tensor) -> None:
        """Keep a result for the next lead time, and forget the one before it."""
        if self.folder is None and self.conditions.leads is not None:
            self.results[number, self.lead] = state.clone()
            self.results.pop((number, self.lead - 2), None)


def condition_source(inputs: Inputs, folder: Folder | None) -> ConditionSource | None:
    """Return the source of a run's conditions, None where there are none."""
    return (
        None
        if inputs.conditions is None
        else ConditionSource(inputs.conditions, inputs.statistics, inputs.config.model.shape, folder)
    )
