"""Messages between these ranks: latency, bandwidth, the scan over ranks, and all that a round sends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import FieldMixture
from parampi.diffusion.sigmas import vp_linear
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.driven import Messages
from parampi.parallel import MODES, Group, Mode, affine_scan
from parampi.parallel.counted import CountedGroup
from parampi.samplers import DDIM
from parampi.solvers import Picard, Solver, Spectral

SMALL, LARGE = 8, 1 << 22
"""Bytes of the messages that show latency and bandwidth."""
REPEATS = 15
SIZES = (64, 256)
"""Grid points along a side."""
ROUND_SIZES = (8, 64)
ROUNDS = 4


@dataclass(frozen=True)
class ScanRow:
    """One scan, or one whole round of a solver: milliseconds on the slowest rank, and what the rank sent that sent most."""

    what: str
    numbers: int
    ranks: int
    milliseconds: float
    messages: float
    bytes: float
    collectives: float
    collective_bytes: float


def measure_messages(group: Group) -> Messages | None:
    """Return latency and bandwidth between the first and the last rank, on every rank; None for one rank."""
    if group.size == 1:
        return None
    small, large = ping(group, SMALL), ping(group, LARGE)
    numbers = group.broadcast(np.array([small, LARGE / max(large - small, 1e-9)]))
    return Messages(float(numbers[0]), float(numbers[1]))


def ping(group: Group, size: int) -> float:
    """Return the seconds of one message, half of those there and back, on rank 0."""
    buffer, last, spent = torch.zeros(size // 8, dtype=torch.float64), group.size - 1, list[float]()
    for _ in range(REPEATS):
        begin = time.perf_counter()
        if group.rank == 0:
            group.exchange([(last, buffer)], [])
            group.exchange([], [(last, buffer)])
        elif group.rank == last:
            group.exchange([], [(0, buffer)])
            group.exchange([(0, buffer)], [])
        spent.append((time.perf_counter() - begin) / 2)
    return median(spent)


def measure(group: Group) -> list[ScanRow]:
    """Return rows of scans with one point on each rank, and of rounds of two solvers. All ranks of the group call this."""
    rows = [measure_scan(group, mode, size) for size in SIZES for mode in MODES]
    solvers: dict[str, Solver] = {"Picard": Picard(), "Spectral": Spectral()}
    return rows + [measure_round(group, label, solver, size) for size in ROUND_SIZES for label, solver in solvers.items()]


def measure_scan(group: Group, mode: Mode, size: int) -> ScanRow:
    counted = CountedGroup(group)
    values = torch.randn(1, 1, 1, size, size, dtype=torch.float64)
    slopes = torch.full((1, 1, 1, 1, 1, 1), 0.5, dtype=torch.float64)
    first = torch.zeros(1, 1, 1, size, size, dtype=torch.float64)
    return repeated(
        counted, f"scan, {mode}", size**2, lambda: affine_scan(counted, slopes, values, first, group.size, mode), REPEATS
    )


def measure_round(group: Group, label: str, solver: Solver, size: int) -> ScanRow:
    """Return the row of a round with one point on each rank, of a closed form whose time does not count."""
    counted, network = CountedGroup(group), BatchedDenoiser(FieldMixture(size, components=6, cutoff=min(6, size // 2)))
    chain = SamplingProblem(
        network, DDIM().steps(vp_linear(4 * group.size + 8)), torch.zeros(1, dtype=torch.int64), (1, size, size)
    )
    engine = engine_for(chain, solver, counted, EngineOptions(group.size))
    return repeated(counted, f"round, {label}", size**2, engine.advance, ROUNDS)


def repeated(group: CountedGroup, what: str, numbers: int, work: Callable[[], object], times: int) -> ScanRow:
    before, spent = group.traffic.copy(), list[float]()
    for _ in range(times):
        group.group.broadcast(np.zeros(1))  # all begin at once, nearly
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    sent = group.traffic.since(before)
    mine = [1e3 * median(spent), *(count / times for count in vars(sent).values())]
    table = np.zeros((group.size, len(mine)))
    table[group.rank] = mine
    most = group.group.broadcast(group.group.sum_to_root(table)).max(0)
    milliseconds, *counts = (float(value) for value in most)
    return ScanRow(what, numbers, group.size, float(f"{milliseconds:.3g}"), *(round(count, 1) for count in counts))


def to_markdown(rows: Sequence[ScanRow]) -> str:
    header = ("what", "numbers", "ranks", "ms", "messages", "bytes", "calls of all ranks", "bytes of these")
    body = [[r.what, r.numbers, r.ranks, r.milliseconds, r.messages, r.bytes, r.collectives, r.collective_bytes] for r in rows]
    return markdown(header, body)
