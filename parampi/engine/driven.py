"""An engine driven to the end on one rank of a group, with a clock for everything that takes time."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from parampi.engine import Engine, EngineOptions, SamplingProblem, engine_for
from parampi.engine.clocked_network import BatchSeconds, CallCosts, ClockedNetwork
from parampi.parallel.counted import CountedGroup, Traffic
from parampi.parallel.group import Group
from parampi.solvers import Solver


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


@dataclass(frozen=True)
class RankCosts:
    """Time that one rank spent on members of its group: seconds by the wall clock, and `own` seconds of each round.

    network      what the rank waited for calls of the network, by the wall clock
    network_own  the same by its own clock: what calls took, or were to take where they are simulated, and nothing hid
    busy         what its accelerator worked at calls, where it is simulated; else `network_own`
    messages     what this rank's messages take where nobody is late; `communication` is what they took
    own      of each round: what it waited for the network, this rank's CPU time in the engine, and its messages where nobody
             is late; the first includes the setting up
    lengths  points that the first member's window had, in each round
    """

    wall: float
    setup: float
    network: float
    network_own: float
    busy: float
    communication: float
    output: float
    messages: float
    own: list[float]
    rounds: int
    evaluations: int
    lengths: list[int]


def seconds_of_rounds(engine: Engine, clock: Callable[[], float], spent: float, most: int | None) -> list[float]:
    """Advance an engine to the end or for `most` rounds; returns the seconds of each by a clock that stood at `spent`."""
    own = list[float]()
    while not engine.finished and (most is None or len(own) < most):
        engine.advance()
        now = clock()
        own.append(now - spent)
        spent = now
    return own


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
    network, counted = ClockedNetwork(problem.network), CountedGroup(group)
    own_clock = partial(own_seconds, network.costs, counted, messages)
    if simulated:
        network.simulate(simulated, own_clock)
    begin, spent = time.perf_counter(), own_clock()
    engine = engine_for(replace(problem, network=network, members=torch.tensor(list(members))), solver, counted, options)
    setup = time.perf_counter() - begin
    own = seconds_of_rounds(engine, own_clock, spent, most)
    drawn = time.perf_counter()
    if group.rank == 0:
        write(engine.result)
    end, history, costs = time.perf_counter(), engine.history, network.costs
    return RankCosts(
        wall=end - begin,
        setup=setup,
        network=costs.wall if simulated else network.seconds,
        network_own=costs.own,
        busy=costs.busy if simulated else costs.own,
        communication=counted.seconds,
        output=end - drawn,
        messages=messages.seconds(counted.traffic, counted.size),
        own=own,
        rounds=history.group_rounds,
        evaluations=int(history.evaluations.sum()),
        lengths=[int(entry.lengths[0]) for entry in history.log],
    )


def own_seconds(calls: CallCosts, group: CountedGroup, messages: Messages) -> float:
    """Return this rank's own seconds so far, on a clock that stands still while it waits for others or for a core."""
    engine = time.thread_time() - calls.cpu - group.cpu
    return engine + calls.own + messages.seconds(group.traffic, group.size)


def write(fields: Tensor) -> None:
    """Write fields to the disk, as an ensemble file of single precision would."""
    with tempfile.TemporaryFile() as file:
        file.write(np.ascontiguousarray(fields.cpu().float().numpy()).tobytes())
        file.flush()


def critical(ranks: Sequence[RankCosts]) -> float:
    """Return the own seconds of a group: in every round those of its slowest rank."""
    return float(np.max([one.own for one in ranks], axis=0).sum())
