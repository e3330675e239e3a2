"""Measurements for a plan: the engine's cost on this machine, and a pilot."""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchedDenoiser
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.base import RoundEngine
from parampi.engine.driven import Messages, drive
from parampi.engine.history import Round
from parampi.parallel import Group, SerialGroup, scan_in_place
from parampi.parallel.counted import CountedGroup
from parampi.parallel.threads import on_threads
from parampi.run.planning.costs import Costs, Line
from parampi.run.planning.sweeps import Chain
from parampi.solvers import Serial, Solver, Spectral

ENGINE_ROUNDS = 8
"""Rounds in which the engine is measured."""
PAUSE = 0.02
"""Longest pause in the place of the network's call, after which the engine finds its core and caches as they are in a run."""
JUDGED, JUDGED_NUMBERS = 32, 1 << 20
"""Points of a window whose verdict is measured, and numbers of their states up to which it is."""
REPEATS = 9
"""Scans of which the median counts."""
STATES, SPECTRAL_STATES = 6, 10
SCANS, SPECTRAL_SCANS = 1, 2
"""Scans of a sweep."""
MOVES, SPECTRAL_MOVES = (1, 1), (6, 5)
"""Messages, and states in them, that go to the rank before when windows slide, the last state that guesses pass on included."""
COLLECTIVES, SPECTRAL_COLLECTIVES = 2, 3
"""Calls of all ranks in a round: evidence and verdict, and what was learned."""


class Bent:
    """Denoiser of nearly white noise that costs nearly nothing: with it a round is the engine's."""

    any_dtype = True

    def __init__(self, sigma_data: float):
        self.sigma_data = sigma_data

    def __call__(self, x: Tensor, sigma: Tensor, *condition: Tensor) -> Tensor:
        level, variance = sigma.view(-1, *[1] * (x.ndim - 1)), self.sigma_data**2
        gain = variance / (variance + level**2)
        return gain * x + 0.1 * self.sigma_data * torch.tanh(x.roll(1, -1) / (1 + level))


def engine_costs(
    problem: SamplingProblem, solver: Solver, options: EngineOptions, points: int, pause: float = 0.0
) -> tuple[Line, Line]:
    """Return the seconds of a round and of the setting up, by points on a rank, up to so many; on this machine. A call of the
    network is a `pause`; what the first round takes beyond others counts as setting up."""
    free = emptied(problem)
    sizes = [1] if isinstance(solver, Serial) else sorted({1, max(2, min(points, problem.steps))})
    rounds, setups = [], []
    for size in sizes:
        run = drive(
            free, solver, SerialGroup(), replace(options, window=size), [0], messages=Messages(), most=ENGINE_ROUNDS,
            simulated=lambda fields: pause,
        )  # fmt: skip
        own = [seconds - run.network_own / len(run.own) for seconds in run.own]
        usual, lengths = median(own[1:] or own), run.lengths[1:] or run.lengths
        rounds.append((sum(lengths) / len(lengths), usual))
        setups.append((float(size), max(0.0, own[0] - usual)))
    return through(rounds), through(setups)


def emptied(problem: SamplingProblem) -> SamplingProblem:
    """Return the steps of a problem with a network that costs next to nothing."""
    return replace(problem, network=BatchedDenoiser(Bent(float(problem.sigma_data))), conditions=None, leads=None)


def verdict_of(problem: SamplingProblem, solver: Solver, options: EngineOptions) -> float:
    """Return the seconds by which the verdict grows with a point of the window, which rank 0 gives for all ranks; 0 for large
    fields, of which it is no part to speak of."""
    points, free = min(JUDGED, problem.steps), replace(emptied(problem), members=torch.zeros(1, dtype=torch.int64))
    if points < 2 or points * math.prod(problem.shape) > JUDGED_NUMBERS:
        return 0.0
    spent = []
    for size in (1, points):
        engine, judged = engine_for(free, solver, SerialGroup(), replace(options, window=size)), list[float]()
        assert isinstance(engine, RoundEngine), "one member has no halves, and one lead time no relay"
        while not engine.finished and len(judged) < ENGINE_ROUNDS:
            observed = engine.step(engine.evaluate(engine.collect()))
            begin = time.thread_time()
            slides = engine.judge(observed)
            judged.append(time.thread_time() - begin)
            engine.move_on(slides)
        spent.append(median(judged))
    return max(0.0, spent[1] - spent[0]) / (points - 1)


def handling_of(problem: SamplingProblem, *, within: bool) -> float:
    """Return the processor's seconds for a state that a rank sends in a scan: what two ranks that are threads take beyond one,
    without their waiting. `within`: whether slopes differ within a field."""
    field, like = math.prod(problem.shape), torch.zeros(1, dtype=problem.dtype, device=problem.device)
    slopes = like.new_zeros((1, 1, 1, field if within else 1))

    def scan(group: Group, rank: int) -> float:
        counted, spent, y = CountedGroup(group), list[float](), like.new_zeros((2, 1, field))
        for _ in range(REPEATS):
            begin, waited = time.thread_time(), counted.cpu
            scan_in_place(counted, slopes, y, group.size)
            spent.append(time.thread_time() - begin - counted.cpu + waited)
        return median(spent)

    return max(0.0, max(on_threads(2, scan)) - scan(SerialGroup(), 0))


def through(points: Sequence[tuple[float, float]]) -> Line:
    """Return the line through the first and the last point, not falling."""
    (a, low), (b, high) = points[0], points[-1]
    each = max(0.0, (high - low) / (b - a)) if b > a else 0.0
    return Line(max(0.0, low - each * a), each)


@dataclass
class Track:
    """Record of a member's rounds: the points of their windows, and where the windows stood after them."""

    lengths: list[int] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)

    def __call__(self, entry: Round, steps: int) -> None:
        self.lengths.append(int(entry.lengths[0]))
        self.reached.append(int(entry.first[0] + entry.slides[0]))

    def rounds_until(self, point: int) -> int:
        """Return how many rounds were made until the window stood at a point, or beyond it."""
        return next(made for made, reached in enumerate(self.reached, 1) if reached >= point)


def tracked(problem: SamplingProblem, solver: Solver, options: EngineOptions, member: int, window: int) -> tuple[Track, float]:
    """Return what rounds of a member had that is drawn on this rank, and its evaluations per point."""
    track = Track()
    run = drive(
        problem, solver, SerialGroup(), replace(options, window=window, watch=track), [member], messages=Messages()
    )  # fmt: skip
    return track, run.evaluations / sum(track.lengths)


def pilot(
    problem_of: Callable[[int], SamplingProblem],
    solver: Solver,
    options: EngineOptions,
    members: Sequence[int],
    windows: Sequence[int],
) -> list[Chain]:
    """Return the rounds of members in windows of some lengths, drawn one member after another on this rank; of the member that
    takes the most."""
    chains = []
    for window in windows:
        tracks = [tracked(problem_of(member), solver, options, member, window) for member in members]
        track, evaluated = max(tracks, key=lambda one: len(one[0].lengths))
        chains.append(Chain(window, [float(length) for length in track.lengths if length], evaluated))
    return chains


def costs_of(
    problem: SamplingProblem,
    solver: Solver,
    options: EngineOptions,
    calls: Sequence[tuple[int, float, int]],
    *,
    messages: Messages,
    ranks_here: int,
    points: int,
) -> Costs:
    """Return what this machine's rounds cost; the engine is measured now."""
    pause = min(PAUSE, calls[0][1])
    engine, setup = engine_costs(problem, solver, options, points, pause)
    serial = engine_costs(problem, Serial(), options, 1, pause)[0] if problem.equations.causal else engine
    spectral = isinstance(solver, Spectral)
    return Costs(
        calls=calls,
        engine=engine,
        serial=serial,
        setup=setup,
        messages=messages,
        verdict=verdict_of(problem, solver, options),
        handling=handling_of(problem, within=spectral),
        scans=SPECTRAL_SCANS if spectral else SCANS,
        moves=SPECTRAL_MOVES if spectral else MOVES,
        collectives=SPECTRAL_COLLECTIVES if spectral else COLLECTIVES,
        taps=problem.equations.taps,
        within=spectral,
        field=math.prod(problem.shape),
        item=problem.dtype.itemsize,
        states=SPECTRAL_STATES if spectral else STATES,
        ranks_here=ranks_here if problem.device.type == "cpu" else 1,
        cores=os.cpu_count() or 1,
    )
