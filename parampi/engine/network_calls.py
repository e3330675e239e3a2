"""Calls of a network against their number of fields, on this device: time and memory, all ranks at once."""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.call_clock import wait_for
from parampi.parallel.agree import Reducer

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

REPEATS, PATIENCE = 7, 1.0
"""Most timed calls of one size, and seconds after which by default no further one begins."""
LONGEST = 20.0
"""Seconds of a call beyond which larger ones are not tried."""


@dataclass(frozen=True)
class NetworkCall:
    """A network call: median seconds on the slowest rank, and the bytes that it takes beyond those of the network."""

    fields: int
    seconds: float
    bytes: int


def measure_calls(
    network: BatchedDenoiser,
    shape: Sequence[int],
    level: float,
    conditions: BatchConditions | None = None,
    comm: "Comm | None" = None,
    most: int = 64,
    patience: float = PATIENCE,
) -> list[NetworkCall]:
    """Return calls of 1, 2, 4, ... `most` fields, while memory and patience last. All ranks of `comm` call at the same time."""
    rows, fields = list[NetworkCall](), 1
    while fields <= most and (not rows or 2 * rows[-1].seconds < LONGEST):
        part = None if conditions is None else BatchConditions(conditions.conditions, conditions.columns.repeat(fields))
        row = measure_one(network, torch.randn(fields, *shape, device=network.device), level, part, Reducer(comm), patience)
        if row is None:
            break
        rows.append(row)
        fields *= 2
    return rows


def measure_one(
    network: BatchedDenoiser,
    x: Tensor,
    level: float,
    conditions: BatchConditions | None,
    ranks: Reducer,
    patience: float,
) -> NetworkCall | None:
    """Return the row of one size; None where the device has not the memory."""
    levels, spent, used = x.new_full((len(x),), level), list[float](), 0
    try:
        used = bytes_of(lambda: network(x, levels, conditions), network.device)
        wait_for(network.device)
        wait(ranks)
        while len(spent) < REPEATS and sum(spent) < patience:
            begin = time.perf_counter()
            network(x, levels, conditions)
            wait_for(network.device)
            spent.append(time.perf_counter() - begin)
    except torch.OutOfMemoryError:
        spent = []
    slowest = largest(ranks, [median(spent) if spent else float("inf"), used])
    return None if slowest[0] == float("inf") else NetworkCall(len(x), slowest[0], int(slowest[1]))


def bytes_of(call: Callable[[], object], device: torch.device) -> int:
    """Return by how much a call raises the memory that is in use: of the GPU, else the largest so far of this process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return int(torch.cuda.max_memory_allocated(device)) - int(before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)


def wait(ranks: Reducer) -> None:
    if ranks.comm is not None:
        ranks.comm.Barrier()


def largest(ranks: Reducer, numbers: list[float]) -> list[float]:
    """Return the largest of each number over all ranks."""
    table = np.zeros((ranks.size, len(numbers)))
    table[ranks.rank] = numbers
    total: list[float] = ranks.add(lambda: table).max(0).tolist()
    return total
