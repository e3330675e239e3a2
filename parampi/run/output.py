"""Output of a run's finished members: by rank 0, or by every rank that drives a group of ranks, into a store."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from numpy.typing import NDArray

from parampi.errors import InterruptionError, NonFiniteError, UserError
from parampi.fields.stores import STORES, BaseStore, MemberFacts, StoreTarget, Summary
from parampi.fields.stores.base import Floats
from parampi.fields.stores.merged import MERGED_UP_TO
from parampi.parallel import Layout, as_group, split
from parampi.parallel.agree import Reducer, on_all, on_root

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

SHARED = (UserError, NonFiniteError, InterruptionError)
"""Errors that all ranks raise alike."""


def store_class(mode: str) -> type[BaseStore]:
    """Return the store that is registered by this name. Raise ConfigError, with those there are."""
    return cast(type[BaseStore], STORES.lookup(mode))


def choose_mode(mode: str, layouts: Sequence[Layout], size: int) -> str:
    """Return the store's name. `auto`: where there are several groups, each rank that drives one writes a part; they are merged
    at the end, unless an ensemble of `size` bytes is too large for that."""
    if mode != "auto":
        return mode
    if all(layout.groups == 1 for layout in layouts):
        return "gather"
    return "merged" if size <= MERGED_UP_TO else "virtual"


def writing_ranks(mode: str, layouts: Sequence[Layout]) -> list[int]:
    """Return the ranks that write: rank 0, or those that drive a group in any of the layouts of a run."""
    if store_class(mode).writers == "root":
        return [0]
    return sorted({layout.leader(group) for layout in layouts for group in range(layout.groups)})


class EnsembleOutput:
    """One rank's part in writing an ensemble. Entered and left by all ranks of `comm` at once; only `write` is a rank's own.

    target   the ensemble
    mode     name of the store
    comm     all ranks; None for one process
    writers  ranks that write, each any members
    earlier  lead time and number of members that an interrupted run finished, which are written again
    """

    def __init__(
        self,
        target: StoreTarget,
        mode: str,
        *,
        comm: "Comm | None" = None,
        writers: Sequence[int] = (0,),
        earlier: Sequence[tuple[int, int]] = (),
    ):
        self.target, self.comm, self.writers, self.earlier = target, comm, list(writers), earlier
        self.store_class = store_class(mode)
        self.ranks = as_group(comm)
        self.rank = self.ranks.rank
        self.store: BaseStore | None = None

    @property
    def everywhere(self) -> bool:
        """Whether every rank that drives a group writes."""
        return self.store_class.writers == "groups"

    @property
    def writes(self) -> bool:
        """Whether this rank writes."""
        return self.rank in self.writers

    @property
    def put_back(self) -> list[tuple[int, int]]:
        """This rank's share of what an interrupted run finished."""
        if not self.writes:
            return []
        return [self.earlier[k] for k in split(len(self.earlier), len(self.writers), self.writers.index(self.rank))]

    def __enter__(self) -> Self:
        on_root(self.comm, lambda: self.store_class.prepare(self.target))
        opened: list[BaseStore] = []
        team = self.comm.Split(0 if self.writes else 1, self.rank) if self.comm and self.store_class.collective else None
        try:
            on_all(self.comm, lambda: self.open_store(opened, team))
        except UserError:
            if not self.store_class.collective:
                for store in opened:  # another rank could not open its own
                    store.discard()
                on_root(self.comm, lambda: self.store_class.abandon(self.target))
            raise
        self.store = opened[0] if opened else None
        return self

    def open_store(self, opened: list[BaseStore], team: "Comm | None") -> None:
        """Append this rank's store, if it writes."""
        if self.writes:
            opened.append(self.store_class.open(self.target, self.rank, team))

    def write(self, member: int, fields: Floats, facts: MemberFacts, lead: int = 0) -> None:
        """Write a member that this rank keeps, in physical units."""
        assert self.store is not None
        self.store.write(member, fields, facts, lead)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None and not issubclass(kind, SHARED) and self.ranks.size > 1:
            # this rank alone has failed: the others would not answer
            if self.store is not None and not self.store_class.collective:
                self.store.__exit__(kind, error, trace)
            return
        self.close(complete=kind is None)

    def close(self, complete: bool) -> None:
        """Finish the files; remove them where nothing was finished before an error."""
        finished = Reducer(self.comm).add(self.count)
        if not complete and not finished.any():
            on_all(self.comm, lambda: self.store.discard() if self.store else None)
            on_root(self.comm, lambda: self.store_class.abandon(self.target))
            return
        on_all(self.comm, lambda: self.store.close(complete) if self.store else None)
        summary = self.gather_summary()
        ranks = [rank for rank in self.writers if finished[rank]]
        on_root(self.comm, lambda: self.store_class.join(self.target, ranks, summary))

    def count(self) -> NDArray[np.int64]:
        """Return how many fields each rank has written: this rank's number in its place, 0 elsewhere."""
        counts = np.zeros(self.ranks.size, np.int64)
        counts[self.rank] = len(self.store.finished) if self.store else 0
        return counts

    def gather_summary(self) -> Summary:
        """Return statistics over the members of all ranks, on rank 0; one map of sums travels at a time."""
        schema = self.target.schema
        if not self.everywhere and self.store is not None:
            return self.store.summary
        total = schema.new_summary()
        if schema.content.summary and self.everywhere:
            for index in np.ndindex(schema.axes.shape[1:]):
                self.gather_column(total, index)
        return total

    def gather_column(self, total: Summary, index: tuple[int, ...]) -> None:
        """Add the moments of all ranks, of one case and lead time, to `total` on rank 0."""
        import torch

        shape = (len(total.means), *self.target.schema.statistics.grid)
        moments = self.store.summary.columns.get(index) if self.store else None
        counts = np.zeros(self.ranks.size)
        counts[self.rank] = moments.count if moments else 0
        counts = self.ranks.broadcast(self.ranks.sum_to_root(counts))
        for rank in np.flatnonzero(counts):
            if rank == 0 and moments and self.rank == 0:
                total.column(index, shape).merge(moments.count, moments.table)
            elif self.rank == rank and moments:
                self.ranks.exchange([(0, torch.from_numpy(moments.table))], [])
            elif self.rank == 0:
                table = torch.empty((6, *shape), dtype=torch.float64)
                self.ranks.exchange([], [(int(rank), table)])
                total.column(index, shape).merge(int(counts[rank]), table.numpy())
