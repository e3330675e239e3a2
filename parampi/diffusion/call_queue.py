"""Where network calls run: in the order of everything else, or on a GPU in a queue of their own, beside what is queued next."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class CallQueue:
    """Calls in the order of everything else: on a CPU they are over when they return, and on a GPU before whatever is queued
    after them."""

    @contextmanager
    def running(self, inputs: Iterable[Tensor]) -> Iterator[None]:
        """Queue what is called inside, which reads `inputs`."""
        yield

    def mark(self) -> Any:
        """Return the place in the queue that lies behind all calls so far."""
        return None

    def wait(self, mark: Any, fields: Tensor) -> None:
        """Let everything that is queued from now on wait for a place, and then read the fields of a call before it."""


class OwnStream(CallQueue):
    """Calls on a stream of their own of a CUDA device. They wait for what was queued on the caller's stream before them;
    nothing waits for them before `wait`. The CPU never does."""

    def __init__(self, device: torch.device):
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @contextmanager
    def running(self, inputs: Iterable[Tensor]) -> Iterator[None]:
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        for tensor in inputs:
            if tensor.is_cuda:  # memory that is given back while a call still reads it must not be used before the call is over
                tensor.record_stream(self.stream)
        with torch.cuda.stream(self.stream):
            yield

    def mark(self) -> Any:
        return self.stream.record_event()

    def wait(self, mark: Any, fields: Tensor) -> None:
        caller = torch.cuda.current_stream(self.stream.device)
        caller.wait_event(mark)
        fields.record_stream(caller)  # made in the memory of the calls' stream, and read on this one


def queue_beside(device: torch.device) -> CallQueue:
    """Return a queue of calls that run beside the rest; only CUDA devices have such."""
    return OwnStream(device) if device.type == "cuda" else CallQueue()
