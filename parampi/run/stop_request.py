"""When to stop: a signal came, or time is up."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@dataclass
class StopRequest:
    """Whether it is time to stop: a signal came, or what lies ahead would not fit into `seconds` any more."""

    seconds: float | None = None
    begin: float = field(default_factory=time.monotonic)
    received: str = ""

    def ring(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        if number == signal.SIGINT:  # Ctrl-C
            signal.signal(number, signal.default_int_handler)
            os.write(2, b"\nstopping after this round; Ctrl-C once more stops at once\n")

    def over(self, ahead: float) -> bool:
        return self.seconds is not None and time.monotonic() - self.begin + ahead >= self.seconds

    def listen(self, signals: Sequence[signal.Signals] = SIGNALS) -> dict[signal.Signals, object]:
        """Signals only set a mark from now on; what they did before. Only a process's main thread can do this."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self.ring) for number in signals}

    @contextmanager
    def listening(self, signals: Sequence[signal.Signals] = SIGNALS) -> Iterator["StopRequest"]:
        """As `listen`, but what signals did before is restored."""
        before = self.listen(signals)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)  # type: ignore[arg-type]


early: StopRequest | None = None
"""That of a command line, which listens from the start of its process to its end."""
