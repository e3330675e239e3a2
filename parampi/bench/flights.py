"""What a figure of roll-outs shows: how many rounds lead times take with more and more of them in flight, and what these do."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from parampi.bench.forecasts import Forecast
from parampi.bench.rollout import cases_of
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.history import Round
from parampi.parallel import SerialGroup

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Flight:
    """Roll-outs with a number of lead times in flight.

    flight   how many, 1 from one to the next
    steps    of one lead time
    ends     (l,) the round in which each lead time was finished, medians over members
    history  of the first member, per round: the first point of its window, and the residuals (n,) of the window's points
    """

    flight: int
    steps: int
    ends: Floats
    history: list[tuple[int, Floats]]


def flights_of(forecast: Forecast, solver: str, lead_times: int, members: int, flights: Sequence[int]) -> list[Flight]:
    """Return roll-outs of a forecast by a solver, with each number of lead times in flight."""
    problem = forecast.chain(lead_times, members)
    cases = cases_of(problem.equations, forecast.solvers[solver], flights, ())
    return [flown(forecast, solver, problem, window, flight or 1) for window, flight in cases]


def flown(forecast: Forecast, solver: str, problem: SamplingProblem, window: int | None, flight: int) -> Flight:
    """Draw a problem's roll-outs, and return what they did."""
    history: list[tuple[int, Floats]] = []
    options = EngineOptions(window, forecast.tolerance, watch=partial(keep, history), flight=flight)
    engine = engine_for(problem, forecast.solvers[solver], SerialGroup(), options)
    assert problem.leads is not None
    rounds = np.zeros((problem.leads.count, len(problem.members)))
    while not engine.finished:
        engine.advance()
        for lead in engine.finished_leads:
            rounds[lead.lead, lead.column] = lead.rounds
        engine.finished_leads.clear()
    ends: Floats = np.median(rounds.cumsum(0), axis=1)
    return Flight(flight, problem.equations.steps, ends, history)


def keep(history: list[tuple[int, Floats]], entry: Round, steps: int) -> None:
    """Keep what a round of the first member showed, until it is at its end."""
    if entry.lengths[0]:
        history.append((int(entry.first[0]), entry.changes[: entry.lengths[0], 0].copy()))
