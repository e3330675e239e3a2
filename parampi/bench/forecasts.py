"""Forecasts whose roll-outs are measured: those of Lorenz-96 that are shipped; commands make one of a run's configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from parampi.bench.lorenz96 import LEADS, Lorenz96, lorenz96
from parampi.bench.rounds import chosen
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.sigmas import karras
from parampi.engine import SamplingProblem
from parampi.engine.lead_times import LeadTimes
from parampi.samplers import DDIM, Sampler
from parampi.solvers import Picard, Solver, Spectral

STEPS, LOWEST, HIGHEST = 24, 0.01, 20.0
LENGTHS = {"half a day": LEADS[0], "a day": LEADS[1]}
EQUATIONS: dict[str, Sampler] = {"ODE": DDIM(0.0), "SDE": DDIM(1.0)}
SOLVERS: dict[str, Solver] = {"Spectral": Spectral(), "Picard": Picard()}
TOLERANCE = 1e-2


@dataclass(frozen=True)
class Forecast:
    """A forecast that may be rolled out.

    length     how far a lead time is from the one before, in words
    equations  name of what is solved
    chain      `chain(lead_times, members)` returns the roll-outs of members
    solvers    by name
    tolerance  of each lead time
    """

    length: str
    equations: str
    chain: Callable[[int, int], SamplingProblem]
    solvers: Mapping[str, Solver]
    tolerance: float


def shipped(lengths: Sequence[str] = (), equations: Sequence[str] = (), tolerance: float | None = None) -> list[Forecast]:
    """Return forecasts of Lorenz-96 by the names of their lead times and equations; all where none is named."""
    return [
        Forecast(length, kind, partial(lorenz96_chain, lorenz96(LENGTHS[length]), kind), SOLVERS, tolerance or TOLERANCE)
        for length in chosen("problem", lengths, LENGTHS)
        for kind in chosen("equations", equations, EQUATIONS)
    ]


def lorenz96_chain(forecast: Lorenz96, kind: str, lead_times: int, members: int) -> SamplingProblem:
    """Return the roll-outs of members that start from states of their own."""
    starts = forecast.starts[torch.arange(members) % len(forecast.starts)]
    leads = LeadTimes(lead_times, starts[:, None], forecast.condition, forecast.update)
    grid = karras(STEPS, LOWEST, HIGHEST)
    network = BatchedDenoiser(forecast.network, batch=512)
    return SamplingProblem(network, EQUATIONS[kind].steps(grid), torch.arange(members), forecast.network.shape, leads=leads)
