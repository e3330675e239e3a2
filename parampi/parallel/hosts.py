"""The hosts of a job's ranks, and waiting that leaves them to others."""

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

T = TypeVar("T")
LONGEST_NAME = 256
"""Bytes of a host's name that are kept."""
NAP = 0.005
"""Seconds between two looks of a rank that waits quietly."""


def host_names(comm: "Comm | None") -> list[str]:
    """Return the name of each rank's host, on every rank."""
    mine = socket.gethostname().encode()[:LONGEST_NAME]
    if comm is None:
        return [mine.decode(errors="replace")]
    table = np.zeros((comm.Get_size(), LONGEST_NAME), np.uint8)
    comm.Allgather(np.frombuffer(mine.ljust(LONGEST_NAME, b"\0"), np.uint8).copy(), table)
    return [row.tobytes().rstrip(b"\0").decode(errors="replace") for row in table]


def undisturbed(comm: "Comm | None", work: Callable[[], T]) -> T | None:
    """Return on rank 0 what `work` returns there, while all other ranks sleep: MPI itself waits by computing, and where ranks
    outnumber cores that would slow `work` down."""
    if comm is None:
        return work()
    comm.Barrier()
    result = work() if comm.Get_rank() == 0 else None
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(NAP)
    return result
