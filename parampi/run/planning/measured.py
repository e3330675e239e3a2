"""Measurements for a plan: the engine's cost on this machine, and a pilot."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchedDenoiser
from parampi.engine import EngineOptions, SamplingProblem
from parampi.engine.driven import Messages, drive
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
        runs = [
            drive(problem_of(member), solver, SerialGroup(), replace(options, window=window), [member], messages=Messages())
            for member in members
        ]
        longest = max(runs, key=lambda run: run.rounds)
        lengths = [float(length) for length in longest.lengths if length]
        evaluated = longest.evaluations / sum(lengths)
        chains.append(Chain(window, lengths, evaluated))
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
        field=field,
        item=problem.dtype.itemsize,
        states=SPECTRAL_STATES if spectral else STATES,
        ranks_here=ranks_here if problem.device.type == "cpu" else 1,
        cores=os.cpu_count() or 1,
    )
