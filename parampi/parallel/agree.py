"""Agreement of ranks: a value that rank 0 has, or the first rank's error, becomes known to all."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from parampi import errors
from parampi.errors import UserError

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

T = TypeVar("T")


def broadcast_json(comm: "Comm | None", value: Any, root: int = 0) -> Any:
    """Return the root's value, made of what JSON knows, on every rank."""
    if comm is None:
        return value
    data = np.frombuffer(json.dumps(value).encode(), np.uint8) if comm.Get_rank() == root else np.empty(0, np.uint8)
    size = np.array([len(data)], np.int64)
    comm.Bcast(size, root=root)
    text = data.copy() if comm.Get_rank() == root else np.empty(int(size[0]), np.uint8)
    comm.Bcast(text, root=root)
    return json.loads(text.tobytes())


def described(error: UserError) -> list[str]:
    return [type(error).__name__, str(error)]


def revive(kind: str, message: str) -> UserError:
    error: UserError = getattr(errors, kind, UserError)(message)
    return error


def on_root(comm: "Comm | None", work: Callable[[], T]) -> T:
    """Return on every rank what `work` returns on rank 0 (made of what JSON knows). Raises on every rank a UserError there."""
    answer: list[Any] = [None, None]
    if comm is None or comm.Get_rank() == 0:
        try:
            answer = [None, work()]
        except UserError as error:
            answer = [described(error), None]
    trouble, value = broadcast_json(comm, answer)
    if trouble:
        raise revive(*trouble)
    result: T = value
    return result


class Reducer:
    """Sum of numbers over the ranks of a communicator."""

    def __init__(self, comm: "Comm | None"):
        self.comm = comm
        self.rank, self.size = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())

    def add(self, work: Callable[[], np.ndarray]) -> np.ndarray:
        """Return on every rank the sum of what `work` returns on each. Raises on every rank a UserError of any."""
        mine = np.ascontiguousarray(on_all(self.comm, work))
        if self.comm is None:
            return mine
        total = np.empty_like(mine)
        self.comm.Allreduce(mine, total)
        return total


def on_all(comm: "Comm | None", work: Callable[[], T]) -> T:
    """Return what `work` returns on each rank. Raises on every rank a UserError of any, the lowest rank's."""
    value, trouble = None, None
    try:
        value = work()
    except UserError as error:
        trouble = error
    if comm is None:
        first = 0 if trouble else -1
    else:
        flags = np.zeros(comm.Get_size(), np.int64)
        flags[comm.Get_rank()] = trouble is not None
        total = np.empty_like(flags)
        comm.Allreduce(flags, total)
        first = int(np.argmax(total)) if total.any() else -1
    if first >= 0:
        raise revive(*broadcast_json(comm, described(trouble) if trouble else None, first))
    return value  # type: ignore[return-value]
