"""Signs of life: ranks of a node count in memory that they share, so that each sees whether its neighbour is stopped."""

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

GONE = -1
"""In the place of a count: this rank counts no more, and nobody need mind."""
ROOM = 64
"""Bytes of a rank, a cache line."""


class Heartbeats:
    """The counts of this rank and of the next one of its node. Made and closed by all ranks of `comm`, in which they call MPI.
    `node` has those that share memory.

    Between these, only memory is written and read, from any thread, whatever the ranks do with MPI meanwhile.

    neighbour  its name for messages
    first      whether this rank is the first of its node
    """

    def __init__(self, comm: "Comm", node: "Comm"):
        from mpi4py import MPI

        self.node: Any = node
        local, size = self.node.Get_rank(), self.node.Get_size()
        self.first = local == 0
        self.window: Any = MPI.Win.Allocate_shared(ROOM, 1, comm=self.node)  # type: ignore[arg-type]
        memory: list[Any] = [self.window.Shared_query(rank)[0] for rank in (local, (local + 1) % size)]
        self.mine, self.others = (np.frombuffer(place, np.int64) for place in memory)
        self.mine[0] = self.heard = 0
        ranks = np.empty(size, np.int64)
        self.node.Allgather(np.array([comm.Get_rank()], np.int64), ranks)  # all counts are 0 from here on
        self.neighbour = f"rank {ranks[(local + 1) % size]} of {comm.Get_size()}"

    def beat(self) -> bool:
        """Count, and return whether the neighbour has counted since the last time, or need not."""
        self.mine[0] += 1
        before, self.heard = self.heard, int(self.others[0])
        return self.heard == GONE or self.heard != before

    def leave(self) -> None:
        """Count no more."""
        self.mine[0] = GONE

    def close(self) -> None:
        """Give the memory back, with all ranks."""
        del self.mine, self.others
        self.window.Free()
        self.node.Free()


def heartbeats_of(comm: "Comm") -> Heartbeats | None:
    """Return the signs of life of a node; None, with a line, where it has no memory to share (a full /dev/shm)."""
    from mpi4py import MPI

    node = comm.Split_type(MPI.COMM_TYPE_SHARED, key=comm.Get_rank())
    try:
        return Heartbeats(comm, node)
    except MPI.Exception as error:
        if node.Get_rank() == 0:
            place, reason = MPI.Get_processor_name(), str(error).strip().splitlines()[-1]
            print(
                f"parampi: {place} has no memory for signs of life ({reason}; is /dev/shm full?); the run goes on, and a rank "
                f"that is stopped is noticed only by those that wait for it",
                file=sys.stderr,
                flush=True,
            )
        node.Free()
        return None
