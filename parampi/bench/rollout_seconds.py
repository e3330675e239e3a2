"""Seconds of a roll-out whose network is a closed form that sleeps, with its points on as many ranks as there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from parampi.bench.forecasts import SOLVERS, STEPS
from parampi.bench.rounds import chosen
from parampi.bench.scaling import gathered
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.noise import normal
from parampi.diffusion.sigmas import karras
from parampi.engine import EngineOptions, SamplingProblem
from parampi.engine.driven import Messages, RankCosts, critical, drive
from parampi.engine.lead_times import LeadTimes
from parampi.parallel import Group, as_group
from parampi.parallel.threads import on_threads
from parampi.samplers import DDIM

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

SHAPE = (1, 64, 64)
SPREAD = 0.3
TOLERANCE = 1e-2


@dataclass(frozen=True)
class SecondsRow:
    """One member's roll-out with one point on each rank, per round: `seconds` of a network call, `wall` of the clock, and `own`
    where every rank has a core: the network, the CPU time of the round's slowest rank in the engine, and messages where nobody
    is late. The round in which the engine is set up is left out. `rounds` are per lead time."""

    solver: str
    ranks: int
    lead_times: int
    rounds: float
    seconds: float
    wall: float
    own: float


def denoise(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
    """Return E[x0 | x] where the next field is Gaussian around a nonlinear function of the one before and its neighbours."""
    centre = torch.sin(condition + 0.7 * condition.roll(1, -1)) + 0.5 * condition.roll(1, -2)
    share = SPREAD**2 / (SPREAD**2 + sigma.view(-1, 1, 1, 1) ** 2)
    return centre + share * (x - centre)


def chain(lead_times: int) -> SamplingProblem:
    """Return one member's roll-out of fields of 64x64, 24 points per lead time."""
    start = normal(9, torch.arange(1), torch.arange(1), SHAPE)
    equations = DDIM(0.0).steps(karras(STEPS, 0.01, 20.0))
    return SamplingProblem(BatchedDenoiser(denoise), equations, torch.arange(1), SHAPE, leads=LeadTimes(lead_times, start))


def measure(
    lead_times: int, seconds: float, ranks: int, comm: "Comm | None" = None, solvers: Sequence[str] = ()
) -> list[SecondsRow]:
    """Return a row for each solver; without `comm` ranks are threads of this process."""
    rows = []
    for solver in chosen("solver", solvers, SOLVERS):
        if comm is None:
            costs = on_threads(ranks, partial(on_thread, solver, lead_times, seconds))
        else:
            costs = gathered(comm, costs_of(solver, lead_times, seconds, as_group(comm)))
        rows.append(row_of(solver, lead_times, seconds, costs))
    return rows


def on_thread(solver: str, lead_times: int, seconds: float, group: Group, rank: int) -> RankCosts:
    return costs_of(solver, lead_times, seconds, group)


def costs_of(solver: str, lead_times: int, seconds: float, group: Group) -> RankCosts:
    """Return what a roll-out costs this rank of a group, whose window has as many points as ranks."""
    options = EngineOptions(group.size, TOLERANCE)
    return drive(chain(lead_times), SOLVERS[solver], group, options, [0], messages=Messages(), simulated=lambda fields: seconds)


def row_of(solver: str, lead_times: int, seconds: float, costs: Sequence[RankCosts]) -> SecondsRow:
    """Return the row of what all ranks spent."""
    rounds, first = len(costs[0].own), float(np.max([one.own[0] for one in costs]))
    drawing = max(one.wall - one.setup - one.output for one in costs)
    return SecondsRow(
        solver=solver,
        ranks=len(costs),
        lead_times=lead_times,
        rounds=rounds / lead_times,
        seconds=seconds,
        wall=drawing / rounds,
        own=(critical(costs) - first) / (rounds - 1),
    )


def to_markdown(rows: Sequence[SecondsRow]) -> str:
    header = (
        *("solver", "ranks", "lead times", "rounds", "network ms", "own ms", "/ network", "wall ms", "/ network"),
        *("own s a lead time", "wall s a lead time"),
    )
    body = [
        [
            *(r.solver, r.ranks, r.lead_times, round(r.rounds, 2), 1e3 * r.seconds),
            *(round(1e3 * r.own, 1), round(r.own / r.seconds, 3), round(1e3 * r.wall, 1), round(r.wall / r.seconds, 3)),
            *(round(r.own * r.rounds, 3), round(r.wall * r.rounds, 3)),
        ]
        for r in rows
    ]
    return markdown(header, body)
