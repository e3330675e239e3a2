"""The cost of a round besides the network: step map, scan, norms, verdict, sliding and noise, on one rank."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import FieldMixture
from parampi.diffusion.sigmas import vp_linear
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel import MODES, Mode, SerialGroup
from parampi.samplers import DDIM
from parampi.solvers import Picard

SHAPE, WINDOW, ROUNDS = (1, 64, 64), 64, 30


@dataclass(frozen=True)
class OverheadRow:
    """Milliseconds per round, median over rounds, without the network's."""

    mode: str
    sampler: str
    members: int
    window: int
    milliseconds: float
    points_per_round: float


def measure() -> list[OverheadRow]:
    """Return rows of one thread, one rank, float64 and 1000 steps; the window slides, so states move and noise is made in every
    round."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [measure_one(mode, eta, members) for members in (1, 4) for mode in MODES for eta in (0.0, 1.0)]
    finally:
        torch.set_num_threads(threads)


def measure_one(mode: Mode, eta: float, members: int) -> OverheadRow:
    network = BatchedDenoiser(FieldMixture(), padded=mode == "bitwise")
    chain = SamplingProblem(network, DDIM(eta).steps(vp_linear(1000)), torch.arange(members), SHAPE)
    engine = engine_for(chain, Picard(), SerialGroup(), EngineOptions(WINDOW, mode=mode))
    engine.advance()
    spent, begin = [], engine.first.copy()
    for _ in range(ROUNDS):
        start, before = time.perf_counter(), network.seconds
        engine.advance()
        spent.append(time.perf_counter() - start - (network.seconds - before))
    slid = float((engine.first - begin).mean()) / ROUNDS
    return OverheadRow(mode, "ddpm" if eta else "ddim", members, WINDOW, round(1e3 * median(spent), 2), round(slid, 1))


def to_markdown(rows: Sequence[OverheadRow]) -> str:
    header = ("mode", "sampler", "members", "window", "ms per round", "points accepted per round")
    return markdown(header, [[r.mode, r.sampler, r.members, r.window, r.milliseconds, r.points_per_round] for r in rows])
