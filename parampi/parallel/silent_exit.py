"""Ends without a word: a network that leaves Python with code 0 must not look like a run that is complete."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from parampi.parallel.launch import end_job, place_of

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


@contextmanager
def no_silent_exit(comm: "Comm | None") -> Iterator[None]:
    """End the job with code 1 and a line where this process calls `os._exit(0)` or `sys.exit(0)`.

    Launchers then kill the other ranks, which cannot say a word, and return 0. Children that this process forks may call
    `os._exit(0)`, as they do at their end.
    """
    leave, process = os._exit, os.getpid()

    def announce(status: int) -> None:
        if status == 0 and os.getpid() == process:
            os._exit = leave
            stack = "".join(traceback.format_stack())
            end_job(comm, 1, f"{place_of(comm)} called os._exit(0) before the run was complete, and ends the job\n{stack}")
        leave(status)

    os._exit = announce  # type: ignore[assignment]
    try:
        yield
    except SystemExit as error:
        if error.code:
            raise
        raise RuntimeError("sys.exit was called before the run was complete") from error
    finally:
        os._exit = leave
