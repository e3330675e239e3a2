"""Roll-outs: rounds and evaluations per lead time, with lead times swept one after another and together."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from parampi.bench.forecasts import Forecast, shipped
from parampi.bench.lead_errors import LeadErrors
from parampi.bench.peak_memory import forget_peak, peak_mebibytes
from parampi.bench.rounds import chosen
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.window_reach import WindowReach
from parampi.parallel import SerialGroup
from parampi.samplers import Equations
from parampi.solvers import Solver

FLIGHTS = (1, 2, 4)
Case = tuple[int | None, int | None]
"""Points of a window and lead times in flight; None for as many as the window reaches."""


@dataclass(frozen=True)
class RolloutRow:
    """Numbers per lead time, of `lead_times` in a row; `rounds`, and `evaluations` in those of a serial lead time, are medians
    over members, and `between` of the rounds from the end of the first lead time on. Errors are those of drawn fields against
    the serial sampler's from the condition that was used, of all members and lead times: their median, the quantile of 99 %,
    and the share beyond the tolerance. `memory` is this process's peak in MiB, after
    the first lead time."""

    problem: str
    equations: str
    solver: str
    lead_times: int
    window: int | None
    flight: int | None
    rounds: float
    between: float | None
    evaluations: float
    error: float
    high: float
    beyond: float
    memory: float | None


def measure(
    forecasts: Sequence[Forecast] = (),
    lead_times: Sequence[int] = (24,),
    members: int = 4,
    *,
    solvers: Sequence[str] = (),
    flights: Sequence[int] = (),
    windows: Sequence[int] = (),
) -> list[RolloutRow]:
    """Return rows of forecasts, of those of Lorenz-96 where none is named: with 1, 2 and 4 lead times in flight, whole; then in
    windows of 8, N and 2 N points, which stop at the end of a lead time (1 in flight), and which slide over all of them. Where
    `flights` or `windows` are named, with these alone."""
    rows = []
    for forecast in forecasts or shipped():
        for count in lead_times:
            problem = forecast.chain(count, members)
            for label in chosen("solver", solvers, forecast.solvers):
                cases = cases_of(problem.equations, forecast.solvers[label], flights, windows)
                rows += [row(forecast, label, problem, *case) for case in cases]
    return rows


def cases_of(equations: Equations, solver: Solver, flights: Sequence[int], windows: Sequence[int]) -> list[Case]:
    """Return the cases of a solver; one alone where it goes from one lead time to the next."""
    usual, steps = not flights and not windows, equations.steps
    if WindowReach.over(equations, solver, EngineOptions(), 2).leads == 1:
        return [(None, 1)]
    cases: list[Case] = [(flight * steps, flight) for flight in (FLIGHTS if usual else flights)]
    return cases + [(window, flight) for window in ((8, steps, 2 * steps) if usual else windows) for flight in (1, None)]


def row(forecast: Forecast, label: str, problem: SamplingProblem, window: int | None, flight: int | None) -> RolloutRow:
    """Return the row of a solver, with a window, and lead times in flight."""
    measurable = False
    options = EngineOptions(window, forecast.tolerance, flight=flight)
    engine = engine_for(problem, forecast.solvers[label], SerialGroup(), options)
    judged, first = LeadErrors(problem), list[int]()
    while not engine.finished:
        engine.advance()
        for lead in engine.finished_leads:
            judged.take(lead)
            first += [lead.rounds] if lead.lead == 0 else []
        engine.finished_leads.clear()
        measurable = measurable or (len(judged.errors) > 0 and forget_peak())
    errors, rounds, evaluations = judged.table(), engine.history.rounds, engine.history.evaluations
    count = len(errors)
    return RolloutRow(
        forecast.length,
        forecast.equations,
        label,
        lead_times=count,
        window=window,
        flight=flight,
        rounds=median(rounds.tolist()) / count,
        between=(median(rounds.tolist()) - median(first)) / (count - 1) if count > 1 else None,
        evaluations=median(evaluations.tolist()) / (problem.equations.evaluations * count),
        error=float(np.median(errors)),
        high=float(np.quantile(errors, 0.99)),
        beyond=float((errors > forecast.tolerance).mean()),
        memory=peak_mebibytes() if measurable else None,
    )


HEADER = (
    *("lead time", "equations", "solver", "in a row", "window", "in flight", "rounds", "between", "evaluations"),
    *("error", "99 %", "beyond %", "MiB"),
)


def to_markdown(rows: Sequence[RolloutRow]) -> str:
    return markdown(HEADER, [cells(row) for row in rows])


def cells(r: RolloutRow) -> list[Any]:
    return [
        *(r.problem, r.equations, r.solver, r.lead_times, r.window, r.flight, round(r.rounds, 2)),
        *(None if r.between is None else round(r.between, 2), f"{r.evaluations:.2f} N", r.error, r.high),
        *(round(100 * r.beyond, 1), None if r.memory is None else round(r.memory)),
    ]
