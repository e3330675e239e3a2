"""Roll-outs: rounds and evaluations per lead time, with lead times swept one after another and together."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor

from parampi.bench.lorenz96 import LEADS, Lorenz96, lorenz96
from parampi.bench.rounds import chosen, relative
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.noise import lead_seed
from parampi.diffusion.sigmas import karras
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.lead_log import FinishedLead
from parampi.engine.lead_times import LeadTimes
from parampi.engine.windows import WindowEngine
from parampi.parallel import SerialGroup
from parampi.samplers import DDIM
from parampi.solvers import Picard, Serial, Solver, Spectral

TOLERANCE = 1e-2
STEPS, LOWEST, HIGHEST = 24, 0.01, 20.0
PROBLEMS = {"half a day": LEADS[0], "a day": LEADS[1]}
EQUATIONS = {"ODE": DDIM(0.0), "SDE": DDIM(1.0)}
SOLVERS: dict[str, Solver] = {"Spectral": Spectral(), "Picard": Picard()}
FLIGHTS = (1, 2, 4)
WINDOWS = (8, STEPS, 2 * STEPS)


@dataclass(frozen=True)
class RolloutRow:
    """Numbers per lead time; `rounds` and `evaluations`, in those of a serial lead time, are medians over members. Errors are
    those of drawn fields against the serial sampler's from the condition that was used, of all members and lead times: their
    median, the quantile of 99 %, and the share beyond the tolerance."""

    problem: str
    equations: str
    solver: str
    window: int | None
    flight: int | None
    rounds: float
    evaluations: float
    error: float
    high: float
    beyond: float


def measure(
    lead_times: int = 24,
    members: int = 4,
    problems: Sequence[str] = (),
    equations: Sequence[str] = (),
    solvers: Sequence[str] = (),
) -> list[RolloutRow]:
    """Return rows of the Lorenz-96 networks: with 1, 2 and 4 lead times in flight, whole; then in windows of 8, N and 2 N
    points, which stop at the end of a lead time (1 in flight), and which slide over all of them."""
    rows = []
    for name in chosen("problem", problems, PROBLEMS):
        for kind in chosen("equations", equations, EQUATIONS):
            problem = rollout_problem(lorenz96(PROBLEMS[name]), kind, lead_times, members)
            for label in chosen("solver", solvers, SOLVERS):
                cases: list[tuple[int, int | None]] = [(flight * STEPS, flight) for flight in FLIGHTS]
                cases += [(window, flight) for window in WINDOWS for flight in (1, None)]
                rows += [row((name, kind, label), problem, *case) for case in cases]
    return rows


def rollout_problem(forecast: Lorenz96, kind: str, lead_times: int, members: int) -> SamplingProblem:
    """Return the roll-outs of members that start from states of their own."""
    starts = forecast.starts[torch.arange(members) % len(forecast.starts)]
    leads = LeadTimes(lead_times, starts[:, None], forecast.condition, forecast.update)
    grid = karras(STEPS, LOWEST, HIGHEST)
    network = BatchedDenoiser(forecast.network, batch=512)
    return SamplingProblem(network, EQUATIONS[kind].steps(grid), torch.arange(members), forecast.network.shape, leads=leads)


def row(names: tuple[str, str, str], problem: SamplingProblem, window: int, flight: int | None) -> RolloutRow:
    """Return the row of a solver, with a window, and lead times in flight: None for as many as the window reaches."""
    engine = engine_for(problem, SOLVERS[names[2]], SerialGroup(), EngineOptions(window, TOLERANCE, flight=flight))
    finished = list[FinishedLead]()
    assert isinstance(engine, WindowEngine) and problem.leads is not None
    while not engine.finished:
        engine.advance()
        finished += engine.finished_leads
        engine.finished_leads.clear()
    errors = errors_of(problem, fields_of(problem, finished))
    per_lead = problem.leads.count
    calls = problem.equations.evaluations * per_lead
    return RolloutRow(
        *names,
        window=window,
        flight=flight,
        rounds=median(engine.history.rounds.tolist()) / per_lead,
        evaluations=median(engine.history.evaluations.tolist()) / calls,
        error=float(np.median(errors)),
        high=float(np.quantile(errors, 0.99)),
        beyond=float((errors > TOLERANCE).mean()),
    )


def fields_of(problem: SamplingProblem, finished: Sequence[FinishedLead]) -> Tensor:
    """Return the drawn fields (l, m, *shape) of finished lead times."""
    assert problem.leads is not None
    table = torch.empty(problem.leads.count, len(problem.members), *problem.shape, dtype=problem.dtype)
    for lead in finished:
        table[lead.lead, lead.column] = lead.field
    return table


def errors_of(problem: SamplingProblem, drawn: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the relative errors (l, m) of drawn fields (l, m, *shape) against the serial sampler's, each from the states that
    the fields before made."""
    assert problem.leads is not None
    states, numbers, errors = problem.leads.start, problem.members.tolist(), []
    for lead, fields in enumerate(drawn):
        errors.append(relative(fields, serial_of(problem, states, lead)).numpy())
        states = problem.leads.after(states, fields, lead, numbers)
    return np.stack(errors)


def serial_of(problem: SamplingProblem, states: Tensor, lead: int) -> Tensor:
    """Return the serial sampler's fields (m, *shape) at a lead time, from the states (m, h, *state) before it."""
    assert problem.leads is not None
    alone = SamplingProblem(
        problem.network, problem.equations, problem.members, problem.shape, lead_seed(problem.seed, lead),
        conditions=problem.leads.conditions(states, lead, problem.members.tolist()),
    )  # fmt: skip
    return engine_for(alone, Serial(), SerialGroup()).run()


def to_markdown(rows: Sequence[RolloutRow]) -> str:
    header = ("lead time", "equations", "solver", "window", "in flight", "rounds", "evaluations", "error", "99 %", "beyond %")
    body = [
        [
            *(r.problem, r.equations, r.solver, r.window, r.flight, round(r.rounds, 2), f"{r.evaluations:.2f} N"),
            *(r.error, r.high, round(100 * r.beyond, 1)),
        ]
        for r in rows
    ]
    return markdown(header, body)
