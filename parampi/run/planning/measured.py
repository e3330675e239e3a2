"""Measurements for a plan: the engine's cost on this machine, and a pilot."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchedDenoiser
from parampi.engine import EngineOptions, SamplingProblem
from parampi.engine.driven import Messages, drive
from parampi.engine.history import Round
from parampi.parallel import SerialGroup
from parampi.run.planning.costs import Costs, Line
from parampi.run.planning.sweeps import Chain
from parampi.solvers import Serial, Solver, Spectral

ENGINE_ROUNDS = 6
"""Rounds in which the engine is measured."""
STATES, SPECTRAL_STATES, SPECTRAL_SCANS = 6, 10, 3


class Bent:
    """Denoiser of nearly white noise that costs nearly nothing: with it a round is the engine's."""

    any_dtype = True

    def __init__(self, sigma_data: float):
        self.sigma_data = sigma_data

    def __call__(self, x: Tensor, sigma: Tensor, *condition: Tensor) -> Tensor:
        level, variance = sigma.view(-1, *[1] * (x.ndim - 1)), self.sigma_data**2
        gain = variance / (variance + level**2)
        return gain * x + 0.1 * self.sigma_data * torch.tanh(x.roll(1, -1) / (1 + level))


def engine_costs(problem: SamplingProblem, solver: Solver, options: EngineOptions, points: int) -> tuple[Line, Line]:
    """Return the seconds of a round and of the setting up, by points on a rank, up to so many; on this machine."""
    free = replace(problem, network=BatchedDenoiser(Bent(float(problem.sigma_data))), conditions=None, leads=None)
    sizes = [1] if isinstance(solver, Serial) else sorted({1, max(2, min(points, problem.steps))})
    rounds, setups = [], []
    for size in sizes:
        run = drive(
            free, solver, SerialGroup(), replace(options, window=size), [0], messages=Messages(), most=ENGINE_ROUNDS
        )  # fmt: skip
        points_each = sum(run.lengths) / len(run.lengths)
        rounds.append((points_each, sum(run.own) / len(run.own) - run.network_own / len(run.own)))
        setups.append((float(size), run.setup))
    return through(rounds), through(setups)


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
    engine, setup = engine_costs(problem, solver, options, points)
    serial = engine_costs(problem, Serial(), options, 1)[0] if problem.equations.causal else engine
    spectral = isinstance(solver, Spectral)
    field = 1
    for size in problem.shape:
        field *= size
    return Costs(
        calls=calls,
        engine=engine,
        serial=serial,
        setup=setup,
        messages=messages,
        scans=SPECTRAL_SCANS if spectral else 1,
        taps=problem.equations.taps,
        within=spectral,
        field=field,
        item=problem.dtype.itemsize,
        states=SPECTRAL_STATES if spectral else STATES,
        ranks_here=ranks_here if problem.device.type == "cpu" else 1,
        cores=os.cpu_count() or 1,
    )
