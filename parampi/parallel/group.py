"""The few messages that parampi sends, under one small contract: one process alone, or an MPI communicator."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from parampi.parallel.transport import Transport

if TYPE_CHECKING:
    from mpi4py.MPI import Comm as Comm

POSTED = 7
"""Tag of posted messages."""
MOST_POSTED = 8
"""Most messages of a rank that are on their way."""
Message = tuple[int, Tensor]
"""The other rank, and the contiguous tensor to send to it or to receive from it."""


class Group(Protocol):
    """Ranks that share members. Buffers are contiguous tensors (any device) or NumPy arrays; nothing is pickled."""

    rank: int
    size: int
    seconds: float
    """Time this rank has spent in messages, waiting included."""

    def exchange(self, sends: Sequence[Message], receives: Sequence[Message]) -> None:
        """Send and receive point to point, all at once. Returns when all receives are filled."""
        ...

    def sum_to_root(self, numbers: np.ndarray) -> np.ndarray:
        """Return the sum over ranks, on rank 0; other ranks get their own numbers back."""
        ...

    def rows_to_root(self, rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        """Return the rows (n, ...) of all ranks one after another, on rank 0; other ranks get their own back. `counts` are the
        ranks' numbers of rows, which all know."""
        ...

    def broadcast(self, numbers: np.ndarray) -> np.ndarray:
        """Return rank 0's numbers, on every rank; in place."""
        ...


class Post(Protocol):
    """Messages that one rank sends at any time and another takes when it gets to them, in the order they were sent."""

    def send(self, rank: int, tensor: Tensor) -> None:
        """Send a contiguous tensor. Waits only where too many are on their way."""
        ...

    def waiting(self, block: bool) -> int | None:
        """Return a rank of which a message waits, None where none does; `block`: wait for one."""
        ...

    def take(self, rank: int, tensor: Tensor) -> None:
        """Receive the next message of a rank into a contiguous tensor."""
        ...

    def finish(self) -> None:
        """Wait until all that was sent has been taken."""
        ...


class SerialGroup:
    """A group of one rank; needs no MPI."""

    rank, size, seconds = 0, 1, 0.0

    def exchange(self, sends: Sequence[Message], receives: Sequence[Message]) -> None:
        if sends or receives:
            raise ValueError("a group of one rank has nobody to talk to")

    def sum_to_root(self, numbers: np.ndarray) -> np.ndarray:
        return numbers

    def rows_to_root(self, rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        return rows

    def broadcast(self, numbers: np.ndarray) -> np.ndarray:
        return numbers


class MPIGroup:
    """A group over an MPI communicator, which stays the caller's."""

    def __init__(self, comm: "Comm", transport: Transport | None = None):
        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        self.transport = transport or Transport.detect()
        self.seconds = 0.0

    def exchange(self, sends: Sequence[Message], receives: Sequence[Message]) -> None:
        begin = time.perf_counter()
        landing = [self.transport.landing(tensor) for _, tensor in receives]
        pending = [self.comm.Irecv(self.transport.buffer(t), source=r) for (r, _), t in zip(receives, landing, strict=True)]
        leaving = [self.transport.leaving(tensor) for _, tensor in sends]
        pending += [self.comm.Isend(self.transport.buffer(t), dest=r) for (r, _), t in zip(sends, leaving, strict=True)]
        type(pending[0]).Waitall(pending) if pending else None
        for (_, tensor), landed in zip(receives, landing, strict=True):
            self.transport.land(landed, tensor)
        self.seconds += time.perf_counter() - begin

    def sum_to_root(self, numbers: np.ndarray) -> np.ndarray:
        begin = time.perf_counter()
        total = np.empty(numbers.shape, numbers.dtype)
        self.comm.Reduce(np.ascontiguousarray(numbers), total, root=0)
        self.seconds += time.perf_counter() - begin
        return total if self.rank == 0 else numbers

    def rows_to_root(self, rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        begin = time.perf_counter()
        size = rows[:1].size if len(rows) else 0  # of a row, on ranks that have any
        whole = np.empty((sum(counts), *rows.shape[1:]), rows.dtype) if self.rank == 0 else None
        into = None if whole is None else [whole, [count * size for count in counts]]
        self.comm.Gatherv(np.ascontiguousarray(rows), into, root=0)
        self.seconds += time.perf_counter() - begin
        return rows if whole is None else whole

    def broadcast(self, numbers: np.ndarray) -> np.ndarray:
        begin = time.perf_counter()
        self.comm.Bcast(numbers, root=0)
        self.seconds += time.perf_counter() - begin
        return numbers


def as_group(comm: "Comm | None") -> Group:
    """Return the group of a communicator; that of this process alone for None or a communicator of one rank."""
    if comm is None or comm.Get_size() == 1:
        return SerialGroup()
    return MPIGroup(comm)


def empty_like_message(shape: Sequence[int], like: Tensor) -> Tensor:
    """Return a contiguous buffer to receive a tensor of this shape."""
    return torch.empty(tuple(shape), dtype=like.dtype, device=like.device)


class MPIPost:
    """A post over an MPI communicator, beside the messages of its groups."""

    def __init__(self, comm: "Comm", transport: Transport | None = None):
        self.comm, self.transport = comm, transport or Transport.detect()
        self.sent: list[tuple[Any, Tensor]] = []

    def send(self, rank: int, tensor: Tensor) -> None:
        leaving = self.transport.leaving(tensor.clone())
        self.sent.append((self.comm.Isend(self.transport.buffer(leaving), dest=rank, tag=POSTED), leaving))
        while len(self.sent) > MOST_POSTED:
            self.sent.pop(0)[0].Wait()

    def waiting(self, block: bool) -> int | None:
        from mpi4py import MPI

        status = MPI.Status()
        if block:
            self.comm.Probe(MPI.ANY_SOURCE, POSTED, status)
        elif not self.comm.Iprobe(MPI.ANY_SOURCE, POSTED, status):
            return None
        return int(status.Get_source())

    def take(self, rank: int, tensor: Tensor) -> None:
        landing = self.transport.landing(tensor)
        self.comm.Recv(self.transport.buffer(landing), source=rank, tag=POSTED)
        self.transport.land(landing, tensor)

    def finish(self) -> None:
        while self.sent:
            self.sent.pop(0)[0].Wait()
