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
from parampi.parallel import Doubling, Group, ScanSize, Transposed, scan_in_place
from parampi.parallel.counted import CountedGroup
from parampi.samplers import DDIM
from parampi.solvers import Picard, Solver, Spectral

SMALL, LARGE = 8, 1 << 22
"""Bytes of the messages that show latency and bandwidth."""
REPEATS = 15
NUMBERS = (64**2, 256**2)
"""Numbers of the fields that are scanned."""
ROUND_SIZES = (8, 64)
"""Grid points along a side of the fields of whole rounds."""
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


def measure(group: Group, numbers: Sequence[int] = ()) -> list[ScanRow]:
    """Return rows of scans with one point on each rank, and of rounds of two solvers; of fields of so many `numbers` scans
    alone. All ranks of the group call this."""
    rows = [row for size in numbers or NUMBERS for row in measure_scans(group, size)]
    solvers: dict[str, Solver] = {} if numbers else {"Picard": Picard(), "Spectral": Spectral()}
    return rows + [measure_round(group, label, solver, size) for size in ROUND_SIZES for label, solver in solvers.items()]


def measure_scans(group: Group, numbers: int) -> list[ScanRow]:
    """Return rows of both ways of a scan in fast mode, of which that one is named fast that is taken, and of one in bitwise
    mode."""
    counted, ranks = CountedGroup(group), range(group.size)
    y = torch.randn(2, 1, numbers, dtype=torch.float64)
    slopes = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    transposes = ScanSize.of(slopes, y.shape[1:], group.size).transposes
    scans: dict[str, Callable[[], None]] = {}
    if group.size > 1:
        scans["transposed (fast)" if transposes else "transposed"] = lambda: Transposed(counted, slopes, ranks)(y)
        scans["doubling" if transposes else "doubling (fast)"] = lambda: Doubling(counted, slopes, ranks)(y)
    scans["bitwise"] = lambda: scan_in_place(counted, slopes, y, group.size, "bitwise")
    return [repeated(counted, f"scan, {name}", numbers, work, REPEATS) for name, work in scans.items()]


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
