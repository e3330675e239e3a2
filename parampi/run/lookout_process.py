"""The process beside a run: it reads signs of life from its standard input, and kills the run when they stay away.

A script without imports of the package, so that it starts in 20 ms and needs 8 MB.
"""

import os
import select
import signal
import struct
import sys
import time

TICKS, SHORTEST, LONGEST = 10, 0.05, 10.0
"""Signs of life within the time limit, and least and most seconds between two."""
SLACK = 4
"""Signs of life that may be late beyond the time limit. A rank of the same node is first, and ends the job in better order."""
LAST_WORDS = 0.5
"""Seconds in which the process shows its stack and ends."""
PATIENCE = 5.0
"""Seconds after which the process is ended whose message nobody reads."""
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
"""Signals that are meant for the run; this process ends with it."""


def tick_of(limit: float) -> float:
    """Return the seconds between two signs of life where silence has a time limit."""
    return min(max(limit / TICKS, SHORTEST), LONGEST)


def look(process: int, place: str, limit: float, stack: int) -> None:
    """Read signs of life from the standard input until it ends, and kill a process that gives none."""
    silence, last, poll = 0.0, time.monotonic(), select.poll()
    poll.register(0, select.POLLIN)
    while os.getppid() == process:
        tick = tick_of(limit)
        ready = poll.poll(1000 * tick)
        passed, last = time.monotonic() - last, time.monotonic()
        if ready:
            signs = os.read(0, 4096)
            if not signs:
                return
            silence, limit = 0.0, struct.unpack("d", signs[-8:])[0]
        elif not is_stopped(process):
            silence += min(passed, 2 * tick)
        if silence > limit + SLACK * tick:
            end(process, f"{place} has given no sign of life for {silence:.1f} s (parallel.hang_timeout)", stack)


def is_stopped(process: int) -> bool:
    """Return whether a process is stopped, by a signal or a debugger, where the system tells that."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def end(process: int, reason: str, stack: int) -> None:
    """Kill a process, and say why."""

    def kill(*_: object) -> None:
        if os.getppid() == process:
            os.kill(process, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGALRM, kill)  # also where the message cannot be written
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    remedy = (
        "C code that it called hangs and keeps Python's lock; it is killed, and parampi resume goes on from what was kept, "
        "with a longer parallel.hang_timeout if this was no hang"
    )
    os.write(2, f"parampi: {reason}: {remedy}{'; it is at' * bool(stack)}\n".encode())
    if stack:
        os.kill(process, stack)
        until = time.monotonic() + LAST_WORDS
        while os.getppid() == process and time.monotonic() < until:
            time.sleep(SHORTEST)
    kill()


if __name__ == "__main__":
    for ignored in IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
    look(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
