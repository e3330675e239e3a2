"""How rounds, the engine's cost and messages grow with the size of fields and with the points of a rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from parampi.bench import engine
from parampi.bench.engine import SAMPLERS, check_names
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.exact import FieldMixture
from parampi.diffusion.sigmas import karras
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.ensemble import sample
from parampi.parallel import Group
from parampi.parallel.counted import CountedGroup, Traffic
from parampi.parallel.threads import on_threads
from parampi.solvers import Picard, Solver, Spectral

SIZES = (8, 16, 32, 64, 128, 256)
"""Grid points along a side of the fields: d = 64 to 65,536."""
POINTS = (1, 16)
"""Points on the rank whose cost is measured."""
SOLVERS: dict[str, Solver] = {"Picard": Picard(), "Spectral": Spectral()}
STEPS, LOWEST, HIGHEST, MEMBERS, TOLERANCE = 100, 0.01, 80.0, 2, 1e-3
REGIMES, LARGE_SCALES = 6, 3
"""Components of the mixture of fields, and the largest wavenumber in which their means differ, at all sizes."""
RANKS, ROUNDS = 2, 4
"""Ranks, with one point each, whose messages are counted, and in how many rounds."""


@dataclass(frozen=True)
class GrowthRow:
    """Rounds and costs of one solver and sampler for fields of d numbers.

    rounds        of all points in one window, the most of the members
    nanoseconds   of processor time per round, number and point, without the network, with so many points on the rank each
    passes        over the states of all points in a round, with the same points
    scan          bytes that a rank sends to others in a round, per number of a field
    verdict       bytes of a round that all ranks send together: evidence and verdict
    """

    solver: str
    sampler: str
    d: int
    rounds: int
    nanoseconds: list[float]
    passes: list[float]
    scan: float
    verdict: float


def measure(
    sizes: Sequence[int] = SIZES, *, solvers: Sequence[str] = (), samplers: Sequence[str] = (), timed: int = engine.TIMED
) -> list[GrowthRow]:
    """Return a row for each solver, sampler and size. Raises ConfigError for names that are none."""
    check_names("solver", solvers, list(SOLVERS))
    check_names("sampler", samplers, list(SAMPLERS))
    return [
        measure_one(solver, sampler, size, timed)
        for solver in solvers or SOLVERS
        for sampler in samplers or SAMPLERS
        for size in sizes
    ]


def measure_one(solver: str, sampler: str, size: int, timed: int) -> GrowthRow:
    shape, numbers = (1, size, size), size * size
    costs = engine.measure(solvers=[solver], samplers=[sampler], shapes=[shape], points=POINTS, rounds=timed)
    traffic = on_threads(RANKS, lambda group, rank: sent(solver, sampler, shape, network_of(size), group))
    return GrowthRow(
        solver=solver,
        sampler=sampler,
        d=numbers,
        rounds=rounds_of(solver, sampler, size),
        nanoseconds=[float(f"{1e6 * row.milliseconds / (row.points * numbers):.3g}") for row in costs],
        passes=[row.passes for row in costs],
        scan=round(max(one.bytes for one in traffic) / ROUNDS / numbers, 1),
        verdict=round(max(one.collective_bytes for one in traffic) / ROUNDS, 1),
    )


def network_of(size: int) -> FieldMixture:
    return FieldMixture(size, components=REGIMES, cutoff=LARGE_SCALES)


def rounds_of(solver: str, sampler: str, size: int) -> int:
    """Return the rounds of the member that takes the most."""
    levels = karras(STEPS, LOWEST, HIGHEST)
    drawn = sample(
        network_of(size), (1, size, size), sigmas=levels, members=MEMBERS, sampler=SAMPLERS[sampler], solver=SOLVERS[solver],
        tol=TOLERANCE, probe=False,
    )  # fmt: skip
    return int(drawn.report.rounds)


def sent(solver: str, sampler: str, shape: tuple[int, ...], network: Denoiser, group: Group) -> Traffic:
    """Return what this rank of a group sends in rounds of windows that slide, with one point on each rank."""
    counted = CountedGroup(group)
    equations = SAMPLERS[sampler].steps(karras(STEPS, LOWEST, HIGHEST))
    chain = SamplingProblem(BatchedDenoiser(network), equations, torch.zeros(1, dtype=torch.int64), shape)
    chains = engine_for(chain, SOLVERS[solver], counted, EngineOptions(group.size))
    chains.advance()
    before = counted.traffic.copy()
    for _ in range(ROUNDS):
        chains.advance()
    return counted.traffic.since(before)


def to_markdown(rows: Sequence[GrowthRow]) -> str:
    points = [f"{count} point{'s' * (count > 1)}" for count in POINTS]
    header = ("solver", "sampler", "d", "rounds", *(f"ns, {one}" for one in points), *(f"passes, {one}" for one in points))
    body = [[r.solver, r.sampler, r.d, r.rounds, *r.nanoseconds, *r.passes, r.scan, r.verdict] for r in rows]
    return markdown((*header, "scan, bytes / d", "verdict, bytes"), body)
