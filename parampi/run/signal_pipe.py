"""A pipe into which the numbers of signals are written when they come, whatever the main thread is doing."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NOTHING = -1
"""In the place of a file descriptor."""
PIPES: set[int] = set()
"""File descriptors of this process, into which signals are written."""


@contextmanager
def woken_by_signals() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a pipe into which the numbers of signals are written when they come, also while the main thread
    is in a call that no handler interrupts. A program that has its own such pipe keeps it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    PIPES.add(writing)
    ours = threading.current_thread() is threading.main_thread()
    if ours and (theirs := signal.set_wakeup_fd(writing, warn_on_full_buffer=False)) != NOTHING:
        signal.set_wakeup_fd(theirs)
        ours = False
    try:
        yield reading, writing
    finally:
        if ours and (theirs := signal.set_wakeup_fd(NOTHING)) != writing:
            signal.set_wakeup_fd(theirs)
        PIPES.remove(writing)
        os.close(reading)
        os.close(writing)


def keep_own_signals() -> None:
    """Write the signals of a process that was forked nowhere: its parent's watchdog would take them for the parent's."""
    if threading.current_thread() is threading.main_thread() and (theirs := signal.set_wakeup_fd(NOTHING)) not in PIPES:
        signal.set_wakeup_fd(theirs)


os.register_at_fork(after_in_child=keep_own_signals)
