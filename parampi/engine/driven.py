"""An engine driven to the end on one rank of a group, with a clock for everything that takes time."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.call_clock import wait_for
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel.counted import CountedGroup, Traffic
from parampi.parallel.group import Group
from parampi.solvers import Solver

BatchSeconds = Callable[[int], float]
"""Seconds of a network call, by its number of fields."""


@dataclass(frozen=True)
class Messages:
    """Cost of messages: seconds before the first byte arrives, and bytes per second."""

    latency: float = 5e-6
    bandwidth: float = 5e9

    def seconds(self, traffic: Traffic, ranks: int) -> float:
        """Return what the traffic of a rank takes where nobody is late; a call of all ranks takes log2(ranks) messages."""
        depth = (ranks - 1).bit_length()
        count = traffic.messages + depth * traffic.collectives
        return count * self.latency + (traffic.bytes + depth * traffic.collective_bytes) / self.bandwidth


class ClockedNetwork(BatchedDenoiser):
    """A denoiser whose calls take as long as they take, or with `simulated` as long as that says: then a call sleeps. `own` are
    seconds on a clock that stands still while many ranks on few cores keep a call waiting: those that are simulated, the CPU
    time of one thread, else the clock's. `cpu` is CPU time, which is not the engine's."""

    simulated: BatchSeconds | None = None
    own, cpu = 0.0, 0.0

    def __call__(self, x: Tensor, sigma: Tensor, conditions: BatchConditions | None = None) -> Tensor:
        begin, cpu = time.perf_counter(), time.thread_time()
        result = super().__call__(x, sigma, conditions)
        wait_for(self.device)
        if self.simulated is None or not len(x):
            alone = self.device.type == "cpu" and torch.get_num_threads() == 1
            self.own += time.thread_time() - cpu if alone else time.perf_counter() - begin
        else:
            size = self.batch or len(x)
            seconds = sum(self.simulated(min(size, len(x) - start)) for start in range(0, len(x), size))
            time.sleep(max(0.0, seconds - (time.perf_counter() - begin)))
            self.own += seconds
        self.clock.spent += 0.0 if self.simulated is None else time.perf_counter() - begin
        self.cpu += time.thread_time() - cpu
        return result


@dataclass(frozen=True)
class RankCosts:
    """Time that one rank spent on members of its group: seconds by the wall clock, and `own` seconds of each round.

    network_own  what calls of the network took, or were to take where they are simulated
    messages     what this rank's messages take where nobody is late; `communication` is what they took
    own      of each round: the network, this rank's CPU time in the engine, and its messages where nobody is late; the first
             includes the setting up
    lengths  points that the first member's window had, in each round
    """

    wall: float
    setup: float
    network: float
    network_own: float
    communication: float
    output: float
    messages: float
    own: list[float]
    rounds: int
    evaluations: int
    lengths: list[int]


def drive(
    problem: SamplingProblem,
    solver: Solver,
    group: Group,
    options: EngineOptions,
    members: Sequence[int],
    *,
    messages: Messages,
    simulated: BatchSeconds | None = None,
    most: int | None = None,
) -> RankCosts:
    """Return what it cost this rank to draw members, to the end or for `most` rounds; rank 0 writes their fields to a file that
    is thrown away."""
    network = ClockedNetwork(problem.network.denoiser, problem.network.batch, problem.network.padded)
    network.simulated, counted = simulated, CountedGroup(group)
    begin, own, spent = time.perf_counter(), list[float](), own_clock(network, counted, messages)
    engine = engine_for(replace(problem, network=network, members=torch.tensor(list(members))), solver, counted, options)
    setup = time.perf_counter() - begin
    while not engine.finished and (most is None or len(own) < most):
        engine.advance()
        now = own_clock(network, counted, messages)
        own.append(now - spent)
        spent = now
    drawn = time.perf_counter()
    if group.rank == 0:
        write(engine.result)
    end, history = time.perf_counter(), engine.history
    return RankCosts(
        wall=end - begin,
        setup=setup,
        network=network.seconds,
        network_own=network.own,
        communication=counted.seconds,
        output=end - drawn,
        messages=messages.seconds(counted.traffic, counted.size),
        own=own,
        rounds=history.group_rounds,
        evaluations=int(history.evaluations.sum()),
        lengths=[int(entry.lengths[0]) for entry in history.log],
    )


def own_clock(network: ClockedNetwork, group: CountedGroup, messages: Messages) -> float:
    """Return this rank's own seconds so far, on a clock that stands still while it waits for others or for a core."""
    engine = time.thread_time() - network.cpu - group.cpu
    return engine + network.own + messages.seconds(group.traffic, group.size)


def write(fields: Tensor) -> None:
    """Write fields to the disk, as an ensemble file of single precision would."""
    with tempfile.TemporaryFile() as file:
        file.write(np.ascontiguousarray(fields.cpu().float().numpy()).tobytes())
        file.flush()


def critical(ranks: Sequence[RankCosts]) -> float:
    """Return the own seconds of a group: in every round those of its slowest rank."""
    return float(np.max([one.own for one in ranks], axis=0).sum())
