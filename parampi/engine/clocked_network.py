"""Networks whose calls are clocked, on accelerators that there are or that are simulated."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.call_clock import wait_for
from parampi.diffusion.call_queue import CallQueue

BatchSeconds = Callable[[int], float]
"""Seconds of a network call, by its number of fields."""


@dataclass
class CallCosts:
    """Seconds of one rank's calls.

    own   in which the rank waited for calls, on a clock that stands still while many ranks on few cores keep it waiting
    busy  in which its accelerator worked at them
    cpu   CPU time, which is not the engine's
    wall  in which the rank waited by the wall clock
    """

    own: float = 0.0
    busy: float = 0.0
    cpu: float = 0.0
    wall: float = 0.0


class SimulatedAccelerator(CallQueue):
    """One rank's accelerator: calls return at once and are made one after another; who reads the fields of one sleeps until it
    is over. `own_clock` tells the seconds of a rank that has a core; by it calls are over too, whatever the wall clock says."""

    def __init__(self, seconds: BatchSeconds, costs: CallCosts, own_clock: Callable[[], float]):
        self.seconds, self.costs, self.own_clock = seconds, costs, own_clock
        self.over = 0.0, 0.0
        """When all calls so far are over, by the wall clock and by the rank's own."""

    def enter(self, begun: float, sizes: list[int]) -> None:
        """Queue calls of so many fields, which were begun at a time of the wall clock."""
        seconds = sum(map(self.seconds, sizes))
        self.over = max(begun, self.over[0]) + seconds, max(self.own_clock(), self.over[1]) + seconds
        self.costs.busy += seconds

    def mark(self) -> Any:
        return self.over

    def wait(self, mark: Any, fields: Tensor) -> None:
        begin, (wall, own) = time.perf_counter(), mark
        time.sleep(max(0.0, wall - begin))
        self.costs.wall += time.perf_counter() - begin
        self.costs.own += max(0.0, own - self.own_clock())


class ClockedNetwork(BatchedDenoiser):
    """A denoiser whose calls take as long as they take, or on a simulated accelerator as long as that takes. `costs` are those
    of all calls, however many copies of this object make them. Calls that are not simulated count as `own` by the CPU time of
    one thread, else by the wall clock."""

    def __init__(self, inner: BatchedDenoiser):
        super().__init__(inner.denoiser, inner.batch, inner.padded)
        self.costs = CallCosts()

    def simulate(self, seconds: BatchSeconds, own_clock: Callable[[], float]) -> None:
        """Make calls on a simulated accelerator from now on."""
        self.queue = SimulatedAccelerator(seconds, self.costs, own_clock)

    def beside(self) -> Self:
        other = super().beside()
        if isinstance(self.queue, SimulatedAccelerator):
            other.queue = self.queue
        return other

    def __call__(self, x: Tensor, sigma: Tensor, conditions: BatchConditions | None = None) -> Tensor:
        begin, cpu = time.perf_counter(), time.thread_time()
        result = super().__call__(x, sigma, conditions)
        if not isinstance(self.queue, SimulatedAccelerator):
            self.count(begin, cpu)
            return result
        self.costs.cpu += time.thread_time() - cpu
        size = self.batch or max(len(x), 1)
        self.queue.enter(begin, [min(size, len(x) - start) for start in range(0, len(x), size)])
        self.costs.wall += time.perf_counter() - begin
        if not self.apart:
            self.queue.wait(self.queue.mark(), result)
        return result

    def count(self, begin: float, cpu: float) -> None:
        """Count a call that has been made here, or been queued on a device; one that is not to run beside the rest is waited
        for."""
        if not self.apart:
            wait_for(self.device)
        alone = self.device.type == "cpu" and torch.get_num_threads() == 1
        used = time.thread_time() - cpu
        self.costs.own += used if alone else time.perf_counter() - begin
        self.costs.cpu += used
