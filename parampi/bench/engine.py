"""What a round costs besides the network: time, kernels, transforms, bytes moved and memory, on one rank."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from statistics import median

import torch
from torch import Tensor

from parampi.bench.dispatch_counts import DispatchCounts
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.sigmas import karras
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.base import RoundEngine
from parampi.errors import ConfigError
from parampi.parallel import Mode, SerialGroup
from parampi.samplers import DDIM, Collocation, Sampler
from parampi.solvers import ParaTAA, Picard, Solver, Spectral

SOLVERS: dict[str, Solver] = {"Picard": Picard(), "Spectral": Spectral(), "ParaTAA": ParaTAA(), "collocation": Spectral()}
SAMPLERS: dict[str, Sampler] = {"ddim": DDIM(), "ddpm": DDIM(1.0)}
SMALL = (((1, 64, 64), (1, 32)), ((1, 256, 256), (1, 4)))
"""Shapes of fields and numbers of points that are measured unless others are named."""
CHAIN, WARM, TIMED, SETUP = 2000, 4, 12, 100
"""Points of the whole chain; rounds before the first that is timed, and timed; points of the run that is set up."""
TOLERANCE, NEVER = 1e-3, 1e-300
"""Tolerance of windows that slide, and one that collocation does not meet while it is measured."""


@dataclass(frozen=True)
class Case:
    """Case to measure: a solver, by its name, a sampler, and fields."""

    solver: str
    sampler: str
    shape: tuple[int, ...]
    points: int
    dtype: torch.dtype = torch.float64
    device: str = "cpu"
    mode: Mode = "fast"


@dataclass(frozen=True)
class EngineRow:
    """Cost of a round without the network's, of `points` points on one rank.

    milliseconds  of processor time (on a GPU: of time) per round, median over rounds
    forward, inverse  Fourier transforms per point
    passes        over the states of all points: bytes that operators read and write, relative to those of the states
    kernels       operators that are dispatched
    states        most memory in use, relative to one state for each point, with what the network returned
    setup         milliseconds before the first round of a run of 100 points, with its first guess
    """

    solver: str
    sampler: str
    shape: str
    points: int
    dtype: str
    device: str
    milliseconds: float
    forward: float
    inverse: float
    passes: float
    megabytes: float
    kernels: int
    states: float
    setup: float


class PointwiseData:
    """Closed-form denoiser that costs next to nothing: every grid point is near 1 or near -1, by itself, with variance 1/4."""

    any_dtype = True

    def __init__(self, counts: DispatchCounts, device: str):
        self.counts, self.device, self.seconds = counts, torch.device(device), 0.0

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        begin = clock(x)
        with self.counts.pause():
            squares = sigma.view(-1, *[1] * (x.ndim - 1)) ** 2
            width = squares + 0.25
            denoised = (0.25 * x + squares * (x / width).tanh()) / width
        self.counts.hold([denoised])
        self.seconds += clock(denoised) - begin
        return denoised


def clock(tensor: Tensor) -> float:
    """Return this process's seconds on a CPU, and seconds that have passed where there is a GPU to wait for."""
    if not tensor.is_cuda:
        return time.process_time()
    torch.cuda.synchronize(tensor.device)
    return time.perf_counter()


def measure(
    *,
    solvers: Sequence[str] = (),
    samplers: Sequence[str] = (),
    shapes: Sequence[tuple[int, ...]] = (),
    points: Sequence[int] = (),
    dtypes: Sequence[torch.dtype] = (torch.float64,),
    device: str = "cpu",
    mode: Mode = "fast",
    rounds: int = TIMED,
) -> list[EngineRow]:
    """Return rows of one thread and one rank. Raises ConfigError for names that are none, and where there is no such device."""
    check_names("solver", solvers, list(SOLVERS))
    check_names("sampler", samplers, list(SAMPLERS))
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = 'cuda', but there is no GPU that PyTorch can use; take 'cpu'")
    sizes = sizes_of(shapes, points)
    cases = [
        Case(solver, sampler, shape, n, dtype, device, mode)
        for dtype in dtypes
        for shape, counts in sizes
        for n in counts
        for solver in solvers or SOLVERS
        for sampler in samplers or SAMPLERS
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [measure_one(case, rounds) for case in cases if measurable(case)]
    finally:
        torch.set_num_threads(threads)


def check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raise ConfigError for a name that is none of those known."""
    for name in names:
        if name not in known:
            raise ConfigError(f"the {what} {name!r} is not measured; choose one of {', '.join(known)}")


def sizes_of(shapes: Sequence[tuple[int, ...]], points: Sequence[int]) -> Iterable[tuple[tuple[int, ...], Sequence[int]]]:
    """Return shapes and the numbers of points that are measured of each."""
    if not shapes:
        return [(shape, points or usual) for shape, usual in SMALL]
    return [(shape, points or (1, 4)) for shape in shapes]


def measurable(case: Case) -> bool:
    """Return whether there is such a run: collocation is deterministic, and reads four points."""
    return case.solver != "collocation" or (case.sampler == "ddim" and case.points > Collocation().order)


def engine_of(case: Case, network: PointwiseData, steps: int, window: int) -> RoundEngine:
    sampler = Collocation() if case.solver == "collocation" else SAMPLERS[case.sampler]
    equations = sampler.steps(karras(case.points if case.solver == "collocation" else steps))
    problem = SamplingProblem(
        BatchedDenoiser(network, padded=case.mode == "bitwise"),
        equations, torch.arange(1), case.shape, dtype=case.dtype, device=network.device,
    )  # fmt: skip
    tolerance = TOLERANCE if equations.causal else NEVER
    engine = engine_for(
        problem, SOLVERS[case.solver], SerialGroup(), EngineOptions(window, tolerance=tolerance, mode=case.mode)
    )
    assert isinstance(engine, RoundEngine)
    return engine


def measure_one(case: Case, rounds: int = TIMED) -> EngineRow:
    """Time rounds, and count in another one what they do."""
    counts = DispatchCounts()
    network = PointwiseData(counts, case.device)
    engine, spent = engine_of(case, network, CHAIN, case.points), []
    for _ in range(WARM + rounds):
        begin, before = clock(engine.result), network.seconds
        engine.advance()
        spent.append(clock(engine.result) - begin - (network.seconds - before))
    del engine
    counted(case, counts, network)
    state = prod(case.shape) * case.dtype.itemsize
    numbers = case.points * prod(case.shape)
    sampler = "ode" if case.solver == "collocation" else case.sampler
    return EngineRow(
        solver=case.solver,
        sampler=sampler,
        shape="x".join(map(str, case.shape)),
        points=case.points,
        dtype=str(case.dtype).removeprefix("torch."),
        device=case.device,
        milliseconds=round(1e3 * median(spent[WARM:]), 2),
        forward=round(counts.forward / numbers, 1),
        inverse=round(counts.inverse / numbers, 1),
        passes=round(counts.bytes / (state * case.points), 1),
        megabytes=round(counts.bytes / 1e6, 1),
        kernels=counts.kernels,
        states=round(counts.peak / (state * case.points), 1),
        setup=round(1e3 * set_up(case, network), 1),
    )


def counted(case: Case, counts: DispatchCounts, network: PointwiseData) -> None:
    """Count what one round does, and the most memory of a few rounds."""
    with counts:
        engine = engine_of(case, network, CHAIN, case.points)
        for _ in range(WARM):
            engine.advance()
        counts.forget()
        engine.advance()


def set_up(case: Case, network: PointwiseData) -> float:
    """Return the seconds before the first round of a run of `SETUP` points, all in a window but where fields are large."""
    points = SETUP if prod(case.shape) <= 2**17 else min(SETUP, case.points)
    begin = clock(torch.zeros(0, device=network.device))
    engine = engine_of(case, network, SETUP, points)
    engine.collect()
    return clock(engine.result) - begin


HEADER = (
    "solver", "sampler", "field", "points", "dtype", "ms per round", "forward, inverse", "passes", "MB", "kernels",
    "states per point", "set-up, ms",
)  # fmt: skip


def to_markdown(rows: Sequence[EngineRow]) -> str:
    cells = []
    for r in rows:
        subject = r.solver, r.sampler, r.shape, r.points, f"{r.dtype} {r.device}"
        cells.append(
            [*subject, r.milliseconds, f"{r.forward:g}, {r.inverse:g}", r.passes, r.megabytes, r.kernels, r.states, r.setup]
        )
    return markdown(HEADER, cells)
