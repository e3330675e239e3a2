"""Queues of network calls: on a CUDA device a stream of their own, whose order is told here by a stream that writes down what
it is asked for; on a GPU itself see ../test_device.py."""

from contextlib import contextmanager
from typing import ClassVar

import pytest
import torch

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.call_queue import CallQueue, OwnStream, queue_beside

CUDA = torch.device("cuda")


class Stream:
    """A stream by its name; everything asked of any of them is in `told`."""

    told: ClassVar[list] = []

    def __init__(self, name):
        self.name = "calls" if isinstance(name, torch.device) else name
        self.device = CUDA

    def wait_stream(self, other):
        Stream.told.append(f"{self.name} waits for what {other.name} has queued")

    def wait_event(self, event):
        Stream.told.append(f"{self.name} waits for {event}")

    def record_event(self):
        Stream.told.append(f"{self.name} marks its end")
        return f"the end of {self.name}"


class Field:
    """A tensor on a device, or on the CPU."""

    def __init__(self, name, is_cuda=True):
        self.name, self.is_cuda = name, is_cuda

    def record_stream(self, stream):
        Stream.told.append(f"the memory of {self.name} is used on {stream.name}")


@pytest.fixture
def told(monkeypatch):
    @contextmanager
    def entered(stream):
        Stream.told.append(f"into {stream.name}")
        yield
        Stream.told.append(f"out of {stream.name}")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("rank"))
    monkeypatch.setattr(Stream, "told", [])
    return Stream.told


def test_a_stream_of_its_own_and_the_callers_wait_for_one_another_where_they_must(told):
    queue = queue_beside(CUDA)
    assert isinstance(queue, OwnStream)
    with queue.running([Field("x"), Field("levels"), Field("members", is_cuda=False)]):
        Stream.told.append("the network")
    queue.wait(queue.mark(), Field("what was drawn"))
    assert told == [
        "calls waits for what rank has queued",
        "the memory of x is used on calls",
        "the memory of levels is used on calls",
        "into calls",
        "the network",
        "out of calls",
        "calls marks its end",
        "rank waits for the end of calls",
        "the memory of what was drawn is used on rank",
    ]


def test_a_stream_is_left_by_a_call_that_fails(told):
    queue = queue_beside(CUDA)
    with pytest.raises(ValueError, match="no"), queue.running([]):
        raise ValueError("no")
    assert queue.mark() == "the end of calls"


class Witness(CallQueue):
    """Writes down what calls read and what is waited for."""

    def __init__(self):
        self.seen = []

    @contextmanager
    def running(self, inputs):
        self.seen.append([tuple(tensor.shape) for tensor in inputs])
        yield

    def wait(self, mark, fields):
        self.seen.append(tuple(fields.shape))


def test_all_that_a_call_reads_is_told_to_its_queue():
    network = BatchedDenoiser(lambda x, sigma, condition: x * condition[:, :, None]).beside()
    network.queue = Witness()
    x, conditions = torch.ones(3, 2, 2), BatchConditions(torch.ones(2, 2), torch.tensor([0, 1, 1]))
    network(x, torch.ones(3), conditions)
    network.derivative(x, torch.ones(3), x, conditions)
    call = [(3, 2, 2), (3,), (2, 2), (3,)]
    # a derivative is read at once, and so it is waited for
    assert network.queue.seen == [call, [(3, 2, 2), *call], (3, 2, 2)]


def test_what_a_call_returned_outlives_the_next_one_beside_it():
    """A network that is compiled may return the same memory in every call."""
    memory = torch.zeros(2, 1)

    def same_memory(x, sigma):
        return memory.copy_(2 * x)

    apart, plain = BatchedDenoiser(same_memory).beside(), BatchedDenoiser(same_memory)
    for network, kept in ((apart, True), (plain, False)):
        first = network(torch.ones(2, 1), torch.ones(2))
        network(torch.full((2, 1), 5.0), torch.ones(2))
        assert torch.equal(first, torch.full((2, 1), 2.0)) == kept
