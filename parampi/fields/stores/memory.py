"""An ensemble in memory: the reference that the other stores are tested against."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from parampi.fields.stores.base import BaseStore, MemberFacts, StoreTarget
from parampi.fields.stores.schema import EnsembleSchema

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Floats = NDArray[np.floating[Any]]


class MemoryStore(BaseStore):
    """An ensemble in memory: `fields` (float32) and `facts` by member, those of lead times 1, 2, ... by (member, lead) in
    `later`; `complete`, None until the store is closed."""

    def __init__(self, schema: EnsembleSchema):
        super().__init__(schema)
        self.fields: dict[int, Floats] = {}
        self.facts: dict[int, MemberFacts] = {}
        self.later: dict[tuple[int, int], tuple[Floats, MemberFacts]] = {}
        self.complete: bool | None = None

    @classmethod
    def open(cls, target: StoreTarget, rank: int, comm: "Comm | None") -> Self:
        """Return a store in this process; nothing is written to the target's path."""
        return cls(target.schema)

    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None:
        """Keep a copy of the fields."""
        if lead:
            self.later[member, lead] = fields.copy(), facts
        else:
            self.fields[member], self.facts[member] = fields.copy(), facts

    def finish(self, complete: bool) -> None:
        """Note whether the ensemble is complete."""
        self.complete = complete

    def remove(self) -> None:
        """Do nothing: no file was written."""
