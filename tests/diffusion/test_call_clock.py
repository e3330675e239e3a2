"""The clock of network calls: by the clock on a CPU, by marks in the queue of a GPU."""

import time

import pytest
import torch

from parampi.diffusion import call_clock
from parampi.diffusion.call_clock import CallClock


def test_on_a_cpu():
    clock = CallClock(torch.device("cpu"))
    with clock.running():
        time.sleep(0.01)
    assert clock.seconds >= 0.01


class Mark:
    """An event: `now` counts the milliseconds of the queue; those up to `done` are over."""

    now, done, waits = 0.0, 0.0, 0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self, stream):
        self.at = Mark.now

    def query(self):
        return self.at <= Mark.done

    def synchronize(self):
        Mark.waits, Mark.done = Mark.waits + (not self.query()), max(Mark.done, self.at)

    def elapsed_time(self, other):
        assert other.query()
        return other.at - self.at


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Mark)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    Mark.now, Mark.done, Mark.waits = 0.0, 0.0, 0
    return CallClock(torch.device("cuda"))


def called(clock, times):
    for _ in range(times):
        with clock.running():
            Mark.now += 5
        Mark.now += 100


def test_on_a_gpu_nobody_waits_until_somebody_asks(gpu):
    called(gpu, 3)
    assert Mark.waits == 0
    assert gpu.seconds == pytest.approx(0.015) and Mark.waits == 3
    assert gpu.seconds == pytest.approx(0.015) and Mark.waits == 3


def test_marks_that_are_over_are_not_kept(gpu):
    called(gpu, call_clock.MOST)
    Mark.done = Mark.now
    called(gpu, 10)
    assert len(gpu.marks) == 10 and Mark.waits == 0, "only those that are not known to be over"
    assert gpu.seconds == pytest.approx(0.005 * (call_clock.MOST + 10))
