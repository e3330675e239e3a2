"""Seconds of network calls, without a wait for the GPU that makes them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

MOST = 64
"""Calls whose time is not yet read."""


class CallClock:
    """Clock of calls on a device. On a GPU marks in its queue take the time; they are read when somebody asks, so that the CPU
    can queue what follows a call while it still runs."""

    def __init__(self, device: torch.device):
        self.device, self.spent = device, 0.0
        self.marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is called inside."""
        if self.device.type != "cuda":
            begin = time.perf_counter()
            yield
            self.spent += time.perf_counter() - begin
            return
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        stream = torch.cuda.current_stream(self.device)
        before.record(stream)
        yield
        after.record(stream)
        self.marks.append((before, after))
        if len(self.marks) > MOST:
            self.read_so_far()

    def read_so_far(self) -> float:
        """Return the seconds of the calls that have ended; waits for none."""
        while self.marks and self.marks[0][1].query():  # type: ignore[no-untyped-call]
            self.spent += milliseconds(self.marks.pop(0)) / 1000
        return self.spent

    @property
    def seconds(self) -> float:
        """Seconds of all calls so far; waits for them."""
        while self.marks:
            self.marks[0][1].synchronize()
            self.spent += milliseconds(self.marks.pop(0)) / 1000
        return self.spent


def milliseconds(marks: tuple[torch.cuda.Event, torch.cuda.Event]) -> float:
    return float(marks[0].elapsed_time(marks[1]))


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what was queued on it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
