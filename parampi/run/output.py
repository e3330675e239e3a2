"""Where the finished members of a run go: into one file by rank 0, or by every rank that drives a group of ranks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from parampi.errors import InterruptionError, NonFiniteError, UserError
from parampi.fields import MemberFacts, NetCDFStore
from parampi.fields.atomic_files import partial_name, put_in_place
from parampi.fields.stores import mpio as parallel_file
from parampi.fields.stores import virtual as joint_file
from parampi.fields.stores.base import BaseStore, Floats
from parampi.fields.stores.schema import EnsembleSchema
from parampi.fields.stores.summary import Summary
from parampi.parallel import Layout, as_group, split
from parampi.parallel.agree import Reducer, on_all, on_root

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

Mode = Literal["gather", "virtual", "mpio"]
SHARED = (UserError, NonFiniteError, InterruptionError)
"""Errors that all ranks raise alike."""


def choose_mode(wanted: str, layouts: Sequence[Layout]) -> Mode:
    """`auto` is one file by each rank that drives a group, where there are several."""
    if wanted == "auto":
        return "virtual" if any(layout.groups > 1 for layout in layouts) else "gather"
    return wanted  # type: ignore[return-value]


def writers(mode: Mode, layouts: Sequence[Layout]) -> list[int]:
    """Ranks that write: rank 0, or those that drive a group in any of the layouts of a run."""
    if mode == "gather":
        return [0]
    return sorted({layout.leader(group) for layout in layouts for group in range(layout.groups)})


@dataclass
class Output:
    """One rank's part in writing an ensemble. Entered and left by all ranks of `comm` together; only `write` is a rank's own.

    `writers`: ranks that write, each any members; `earlier`: lead time and number of what an interrupted run finished, which is
    written again; `ensemble`: a name that no other run has.
    """

    path: Path
    outline: EnsembleSchema
    comm: "Comm | None"
    mode: Mode
    writers: Sequence[int]
    earlier: Sequence[tuple[int, int]]
    ensemble: str
    overwrite: bool = False
    store: BaseStore | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.everyone = as_group(self.comm)
        self.rank = self.everyone.rank

    @property
    def everywhere(self) -> bool:
        """Whether every rank that drives a group writes."""
        return self.mode != "gather"

    @property
    def writes(self) -> bool:
        return self.rank in self.writers

    @property
    def put_back(self) -> list[tuple[int, int]]:
        """This rank's share of what an interrupted run finished."""
        if not self.writes:
            return []
        return [self.earlier[k] for k in split(len(self.earlier), len(self.writers), list(self.writers).index(self.rank))]

    @property
    def part(self) -> Path:
        return joint_file.part_name(self.path, self.ensemble, self.rank)

    def __enter__(self) -> Self:
        if self.mode == "mpio":
            self.enter_parallel()
            return self
        opened: list[BaseStore | None] = []
        try:
            on_all(self.comm, lambda: opened.append(self.open_serial()))
        except UserError:
            for store in filter(None, opened):  # another rank could not
                store.discard()
            raise
        self.store = opened[0]
        return self

    def open_serial(self) -> BaseStore | None:
        if not self.writes:
            return None
        outline, joint = self.outline, self.mode == "virtual"
        return NetCDFStore(
            self.part if joint else self.path, outline.statistics, outline.places.numbers, outline.seed, outline.attributes,
            self.overwrite or joint, outline.places.cases, outline.content, outline.places.leads, summarised=not joint,
            cells=outline.cells,
        )  # fmt: skip

    def enter_parallel(self) -> None:
        assert self.comm is not None
        on_root(self.comm, lambda: parallel_file.create(self.path, self.outline))
        self.hands = self.comm.Split(0 if self.writes else 1, self.rank)
        self.store = on_all(self.comm, self.open_parallel)

    def open_parallel(self) -> BaseStore | None:
        return parallel_file.ParallelStore(self.path, self.outline, self.hands) if self.writes else None

    def write(self, member: int, fields: Floats, facts: MemberFacts, lead: int = 0) -> None:
        """A member that this rank keeps, in physical units."""
        assert self.store is not None
        self.store.write(member, fields, facts, lead)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None and not issubclass(kind, SHARED) and self.everyone.size > 1:
            # this rank is alone with its trouble: nobody would answer
            if self.store is not None and self.mode != "mpio":
                self.store.__exit__(kind, error, trace)
            return
        self.close(whole=kind is None)

    def close(self, whole: bool) -> None:
        """Finish the files, or leave none behind where nothing was finished before an error."""
        finished = Reducer(self.comm).add(self.count)
        if not whole and not finished.any():
            on_all(self.comm, self.discard_mine)
            on_root(self.comm, self.discard)
            return
        on_all(self.comm, lambda: self.close_mine(whole))
        if self.everywhere:
            summary = self.summed()
            on_root(self.comm, lambda: self.complete(summary, finished))
        if self.mode != "virtual":
            on_root(self.comm, lambda: joint_file.remove_stale_parts(self.path, []))

    def count(self) -> NDArray[np.int64]:
        """Fields that this rank has written, in its place among all ranks."""
        counts = np.zeros(self.everyone.size, np.int64)
        counts[self.rank] = len(self.store.finished) if self.store else 0
        return counts

    def close_mine(self, whole: bool) -> None:
        if self.store is None:
            return
        if self.mode == "virtual" and not self.store.finished:
            self.discard_mine()
        else:
            self.store.close(complete=whole)

    def discard_mine(self) -> None:
        if self.store is not None:
            self.store.is_open = False
            self.store.discard()

    def discard(self) -> None:
        if self.mode == "mpio":
            partial_name(self.path).unlink(missing_ok=True)
        if self.mode == "virtual" and not self.path.exists():
            joint_file.remove_stale_parts(self.path, [])

    def complete(self, summary: Summary, finished: NDArray[np.int64]) -> None:
        """On rank 0, after all ranks have closed theirs; `finished` (ranks,) says who wrote how much."""
        if self.mode == "mpio":
            parallel_file.complete(self.path, self.outline, summary)
            put_in_place(self.path, self.overwrite)
        else:
            names = [joint_file.part_name(self.path, self.ensemble, rank) for rank in self.writers if finished[rank]]
            joint_file.join(self.path, self.outline, names, summary, self.overwrite)

    def summed(self) -> Summary:
        """Statistics over the members of all ranks, on rank 0; one map of sums travels at a time."""
        import torch

        outline = self.outline
        total = Summary(outline.content, outline.variable_slots, outline.statistics.mean_of(outline.chosen))
        mine = getattr(self.store, "summary", None)
        if not outline.content.summary:
            return total
        shape = (len(outline.chosen), *outline.statistics.grid)
        for place in np.ndindex(outline.places.shape[1:]):
            running = mine.columns.get(place) if mine else None
            counts = np.zeros(self.everyone.size)
            counts[self.rank] = running.count if running else 0
            counts = self.everyone.broadcast(self.everyone.sum_to_root(counts))
            for rank in np.flatnonzero(counts):
                if rank == 0 and running and self.rank == 0:
                    total.column(place, shape).merge(running.count, running.table)
                elif self.rank == rank and running:
                    self.everyone.exchange([(0, torch.from_numpy(running.table))], [])
                elif self.rank == 0:
                    table = torch.empty((6, *shape), dtype=torch.float64)
                    self.everyone.exchange([], [(int(rank), table)])
                    total.column(place, shape).merge(int(counts[rank]), table.numpy())
        return total
