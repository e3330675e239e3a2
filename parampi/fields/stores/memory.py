"""An ensemble in memory: the reference that the other stores are tested against."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields.statistics import DatasetStatistics
from parampi.fields.stores.base import BaseStore, MemberFacts

Floats = NDArray[np.floating[Any]]


class MemoryStore(BaseStore):
    """An ensemble in memory: `fields` (float32) and `facts` by member, those of lead times 1, 2, ... by (member, lead) in
    `later`; `complete`, None until the store is closed."""

    def __init__(self, statistics: DatasetStatistics, members: Sequence[int], leads: int = 1):
        super().__init__(members, statistics.shape, leads)
        self.fields: dict[int, Floats] = {}
        self.facts: dict[int, MemberFacts] = {}
        self.later: dict[tuple[int, int], tuple[Floats, MemberFacts]] = {}
        self.complete: bool | None = None

    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None:
        if lead:
            self.later[member, lead] = fields.copy(), facts
        else:
            self.fields[member], self.facts[member] = fields.copy(), facts

    def finish(self, complete: bool) -> None:
        self.complete = complete

    def discard(self) -> None:
        """Nothing was written."""
