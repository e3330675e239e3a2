"""Requests to stop: a signal came, or time is up."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
AT_ONCE = "came again and ends the run at once"
SAME = 1.0
"""Seconds within which a signal that comes twice is one, which came on two ways: from the batch system and by the launcher."""


@dataclass
class Arrivals:
    """Arrivals of signals, to know those that come again. A handler and a watchdog may both report one.

    SIGUSR1 never counts as come again. It only warns, and a batch system warns again where its first message was not answered
    in time. Slurm did so on a busy node.
    """

    first: dict[int, float] = field(default_factory=dict)

    def again(self, number: int) -> bool:
        """Return whether a signal came before, as it comes now, and means more by coming again."""
        now = time.monotonic()
        late = now - self.first.setdefault(number, now) > SAME
        return late and number != signal.SIGUSR1


def leave_at_once(number: int) -> None:
    """End this process, as a signal came again."""
    os.write(2, f"parampi: {signal.Signals(number).name} {AT_ONCE}\n".encode())
    os._exit(128 + number)


@dataclass
class StopRequest:
    """A request to stop: a signal that was `received`, or a time of `seconds` from `begin` that is over.

    at_once   ends the run when a signal comes again
    process   whose request it is; children that it forks end by signals, as if nobody listened
    """

    seconds: float | None = None
    begin: float = field(default_factory=time.monotonic)
    received: str = ""
    arrivals: Arrivals = field(default_factory=Arrivals)
    at_once: Callable[[int], None] = leave_at_once
    process: int = field(default_factory=os.getpid)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal; one that comes again ends the run at once."""
        if os.getpid() != self.process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.arrivals.again(number):
            self.at_once(number)
        self.received = signal.Signals(number).name
        if number == signal.SIGINT:  # Ctrl-C
            signal.signal(number, signal.default_int_handler)
            os.write(2, b"\nstopping after this round; Ctrl-C once more stops at once\n")

    def over(self, ahead: float) -> bool:
        """Return whether another `ahead` seconds would not fit into the time."""
        return self.seconds is not None and time.monotonic() - self.begin + ahead >= self.seconds

    def listen(self, signals: Sequence[signal.Signals] = SIGNALS) -> dict[signal.Signals, object]:
        """Let signals only set a mark from now on, and return what they did before. Only a main thread can do this."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self.receive) for number in signals}

    @staticmethod
    def deafen() -> None:
        """Ignore the signals of batch systems until this process ends.

        The interpreter puts back the deadly default of every handler before MPI is finalized. A batch system's warning that
        came then would kill one rank, and the others would wait for it until the time limit.
        """
        for number in SIGNALS:
            if number != signal.SIGINT:
                signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def listening(self, signals: Sequence[signal.Signals] = SIGNALS) -> Iterator["StopRequest"]:
        """Listen, and restore at the end what signals did before."""
        before = self.listen(signals)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)  # type: ignore[arg-type]
