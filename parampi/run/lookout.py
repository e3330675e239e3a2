"""A process beside this one that ends it where no thread of Python can: C code hangs that does not give Python's lock back."""

import faulthandler
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress

from parampi.run import lookout_process

PROCESS = lookout_process.__file__
STACK = int(getattr(signal, "SIGRTMAX", 3)) - 3
"""The signal at which a process shows its stack and ends, one that nobody uses; 0 where there is none."""


class Lookout:
    """A process that kills this one, with its stack, after silence that is too long. Time in which this process is stopped, by
    a signal, a debugger or a batch system, does not count.

    place  of this process, for messages
    limit  seconds of silence
    """

    def __init__(self, place: str, limit: float):
        self.shows_stack = show_stack_at(STACK)
        self.ours, theirs = socket.socketpair()
        number = STACK if self.shows_stack else 0
        command = [sys.executable, "-I", "-S", PROCESS, str(os.getpid()), place, str(limit), str(number)]
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        try:
            self.process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment)
        except BaseException:
            self.forget()
            raise
        finally:
            theirs.close()

    def tell(self, limit: float) -> None:
        """Give a sign of life; silence from now on may last `limit` seconds."""
        with suppress(OSError):  # the process is stopped or gone, and the run goes on
            self.ours.send(struct.pack("d", limit), socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0))

    def close(self) -> None:
        """End the process."""
        self.forget()
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        self.ours.close()
        if self.shows_stack:
            faulthandler.unregister(STACK)


def lookout_beside(place: str, limit: float) -> Lookout | None:
    """Return a lookout for this process; None where no other process can be started."""
    name = os.path.basename(sys.executable or "")
    if not name.startswith(("python", "pypy")) or not os.path.isfile(PROCESS):
        return None  # Python is part of another program, which must not start again
    try:
        return Lookout(place, limit)
    except OSError:
        return None


def show_stack_at(number: int) -> bool:
    """Let a signal show the main thread's stack as it ends the process, whoever has Python's lock; return whether it does."""
    if not number or signal.getsignal(number) != signal.SIG_DFL:
        return False
    faulthandler.register(number, file=2, all_threads=False, chain=True)  # to what ends the process
    return True
