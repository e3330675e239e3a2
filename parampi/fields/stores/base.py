"""Stores of ensembles: the contract, the registry, and what all stores share.

A run calls a store class in this order, on the ranks that are named:

    check(content, comm)                 rank 0, before sampling: can it write this
    prepare(target)                      rank 0
    open(target, rank, comm)             every rank that writes, which `writers` tells
    store.write(member, fields, facts)   the rank that has the member
    store.close(complete)                every rank that writes; `store.discard()` where nothing was finished
    join(target, ranks, summary)         rank 0; or `abandon(target)` where nothing was finished

A new store derives from `BaseStore`, implements `put`, `finish` and `remove`, and is registered by name:

    @register("mine")
    class MyStore(BaseStore): ...
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.stores.content import Content
from parampi.fields.stores.parts import claim_replaced, remove_claimed_parts
from parampi.fields.stores.schema import EnsembleSchema
from parampi.fields.stores.summary import Summary
from parampi.registry import Registry

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Floats = NDArray[np.floating[Any]]

STORES = Registry("store")
register = STORES.register
lookup = STORES.lookup


@dataclass(frozen=True)
class MemberFacts:
    """Facts about a member: the ensemble's seed, what the member cost, the relative residual of its last sweep, and the noise
    level at which it stood between two outcomes, 0 where it did not."""

    seed: int
    rounds: int
    evaluations: int
    residual: float
    bistable: float = 0.0


@dataclass(frozen=True)
class StoreTarget:
    """An ensemble to be written.

    path       the file that users read
    schema     its members, variables and attributes
    ensemble   a name that no other run has, which tells its parts from those of other runs
    overwrite  whether a file at `path` may be replaced
    """

    path: Path
    schema: EnsembleSchema
    ensemble: str
    overwrite: bool = False


class Store(Protocol):
    """A taker of the members of one ensemble, in any order."""

    def write(self, member: int, fields: Floats, facts: MemberFacts, lead: int = 0) -> None:
        """Keep a finished member, its fields (C, H, W) in physical units; a member written again replaces itself. In a
        roll-out a member has fields for each lead time."""

    def close(self, complete: bool) -> None:
        """Finish the ensemble, marked as complete if `complete` and no member is missing. A second call does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class BaseStore(ABC):
    """One rank's part in writing an ensemble: knows its members and refuses others, counts the finished ones, closes once.

    It is a context: closed as complete when the block ends; when an error ends the block, it keeps the finished members, and
    removes its files where there are none.
    """

    writers: ClassVar[Literal["root", "groups"]] = "root"
    """Ranks that write: rank 0 alone, or every rank that drives a group of ranks."""
    collective: ClassVar[bool] = False
    """Whether all writers must open and close at once; then `open` gets a communicator of theirs."""
    checksums: ClassVar[bool] = True
    """Whether the store can write checksums of fields."""
    schema_file: ClassVar[bool] = False
    """Whether the file is of `EnsembleSchema`, NetCDF or Zarr, from which the figure of a run is drawn."""
    ending: ClassVar[str] = ".nc"
    """Ending of the name that its files have by default; that of a folder is kept for stores that write one."""

    @classmethod  # noqa: B027 (a hook that few stores need)
    def check(cls, content: Content, comm: "Comm | None") -> None:
        """Raise OutputError where the store cannot write this content on the ranks of `comm`, None being one process."""

    @classmethod
    def announce(cls, groups: int) -> str:
        """Return what the announcement of a run adds to the name of the file, for `groups` groups of ranks."""
        return ""

    @classmethod
    def prepare(cls, target: StoreTarget) -> None:
        """Make what all writers need before they open. A store with a `prepare` of its own calls this one too."""
        claim_replaced(target.path)

    @classmethod
    @abstractmethod
    def open(cls, target: StoreTarget, rank: int, comm: "Comm | None") -> Self:
        """Return the store of a rank that writes; `comm` is None unless the store is collective."""

    @classmethod
    def join(cls, target: StoreTarget, ranks: Sequence[int], summary: Summary) -> None:
        """Finish the ensemble after all writers have closed: `ranks` are those that wrote members, `summary` is over all."""
        remove_claimed_parts(target.path)

    @classmethod
    def abandon(cls, target: StoreTarget) -> None:
        """Remove what `prepare` made, after all writers have discarded theirs."""
        remove_claimed_parts(target.path)

    def __init__(self, schema: EnsembleSchema):
        self.schema, self.summary = schema, schema.new_summary()
        self.members, self.finished = frozenset(map(int, schema.axes.numbers)), set[tuple[int, int]]()
        self.is_open = True

    def write(self, member: int, fields: Floats, facts: MemberFacts, lead: int = 0) -> None:
        """Keep a finished member's fields (C, H, W) of a lead time. Raise OutputError for what is not of this ensemble."""
        shape, axes = self.schema.statistics.shape, self.schema.axes
        if not self.is_open:
            raise OutputError(f"member {member} comes after the store was closed")
        if member not in self.members:
            raise OutputError(f"member {member} is not one of this ensemble's members {', '.join(map(str, axes.numbers))}")
        if np.shape(fields) != shape:
            raise OutputError(f"member {member} has fields of shape {np.shape(fields)}; expected {shape}")
        if not -axes.initial <= lead < axes.lead_times:
            raise OutputError(f"member {member} has no lead time {lead}; there are {axes.lead_times}")
        single = np.asarray(fields, np.float32)
        self.put(member, lead, single, facts)
        self.summary.add((member, lead), axes.index(member, lead)[1:], self.schema.select(single))
        self.finished.add((member, lead))

    def close(self, complete: bool) -> None:
        """Finish the store, marked as complete if `complete` and no member is missing. A second call does nothing."""
        if self.is_open:
            self.is_open = False
            self.finish(complete and len(self.finished) == self.schema.axes.expected)

    def discard(self) -> None:
        """Close and remove all that was written."""
        if self.is_open:
            self.is_open = False
            self.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or self.finished:
            self.close(complete=kind is None)
        else:
            self.discard()

    @abstractmethod
    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None:
        """Write a member's fields (C, H, W), float32."""

    @abstractmethod
    def finish(self, complete: bool) -> None:
        """Bring all that was written into its place."""

    @abstractmethod
    def remove(self) -> None:
        """Remove all that was written."""
