"""What `parampi bench scaling` measures, and what a plan expects of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from parampi.bench.scaling import ALONE, OVERLAP, Experiment, ScalingRow
from parampi.bench.simulated import batch_seconds, closed_form, seconds_of
from parampi.diffusion.batched import BatchedDenoiser
from parampi.engine.driven import Messages
from parampi.engine.network_calls import measure_calls
from parampi.parallel import as_group
from parampi.parallel.agree import on_all
from parampi.parallel.hosts import undisturbed
from parampi.run.config import RunConfig
from parampi.run.inputs import engine_options, read_inputs
from parampi.run.planning.costs import Costs
from parampi.run.planning.forecasts import open_network
from parampi.run.planning.measured import costs_of, pilot
from parampi.solvers import Spectral

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

Calls = list[tuple[int, float, int]]
"""Fields, seconds and bytes of network calls."""
MOST_FIELDS, PATIENCE = 16, 0.5
"""Most fields in a call that is timed for the plan, and seconds for calls of one size."""


def experiment_of(
    run: RunConfig, comm: "Comm | None", place: int, points_per_rank: int | None, *, simulate: str | None, growth: str
) -> Experiment:
    """Return what is scaled: the run's steps and solver, with its network or, to `simulate` one, a closed form that sleeps."""
    from parampi.bench.scan import measure_messages

    messages = measure_messages(as_group(comm)) or Messages()
    options = engine_options(run)
    if simulate is None:
        network = on_all(comm, lambda: open_network(run, local_rank=place))
        inputs, first = network.inputs, network.inputs.members[0]
        problem = network.rolled_out(first, inputs.leads) if inputs.swept else network.of_member(first)
        return Experiment(problem, inputs.solver, options, messages, points_per_rank=points_per_rank)
    seconds = on_all(comm, lambda: seconds_of(simulate))
    inputs = read_inputs(run)
    closed, known = on_all(comm, lambda: closed_form(run.model.shape))
    solver = replace(inputs.solver, statistics=known) if isinstance(inputs.solver, Spectral) else inputs.solver
    problem = open_problem(run, closed)
    return Experiment(problem, solver, options, messages, batch_seconds(seconds, growth), points_per_rank)


def open_problem(run: RunConfig, closed: Any) -> Any:
    """Return the steps of a run with a closed form in the network's place."""
    from parampi.ensemble import memberless
    from parampi.run.config import build
    from parampi.samplers import equations_of

    equations = equations_of(build(run, "sampler"), build(run, "sigmas"))
    network = BatchedDenoiser(closed, run.parallel.network_batch, padded=run.parallel.mode == "bitwise")
    dtype = getattr(torch, run.parallel.dtype)
    return memberless(network, equations, shape=run.model.shape, seed=run.sampling.seed, sigma_data=1.0, dtype=dtype)


def with_plan(rows: Sequence[ScalingRow], experiment: Experiment, comm: "Comm | None") -> list[ScalingRow]:
    """Return the rows with the seconds that a plan expects, whose pilot draws the same member. All ranks call this."""
    crowded = calls_of(experiment, comm)
    planned = undisturbed(comm, lambda: expected(rows, experiment, calls_of(experiment, None), crowded))
    return list(rows) if planned is None else planned


def calls_of(experiment: Experiment, comm: "Comm | None") -> Calls:
    """Return calls by their fields: as they are simulated, else measured, on all ranks at once."""
    if experiment.simulated is not None:
        return [(fields, experiment.simulated(fields), 0) for fields in (1, 2, 4, 8, 16, 32, 64)]
    problem = experiment.problem
    level = float(problem.equations.sigmas[problem.equations.steps // 2])
    if problem.leads:
        problem = replace(problem, conditions=problem.leads.conditions(problem.leads.start, 0, [0]).to(problem.device))
    condition = problem.conditions_of(torch.zeros(1, dtype=torch.int64))
    made = measure_calls(
        BatchedDenoiser(problem.network.denoiser), problem.shape, level, condition, comm, MOST_FIELDS, PATIENCE
    )  # fmt: skip
    return [(one.fields, one.seconds, one.bytes) for one in made]


def expected(
    rows: Sequence[ScalingRow],
    experiment: Experiment,
    quiet: list[tuple[int, float, int]],
    crowded: list[tuple[int, float, int]],
) -> list[ScalingRow]:
    """Return the rows with what is expected: calls are `quiet` on one rank and `crowded` on several."""
    problem, options = experiment.problem, experiment.options
    windows = sorted({row.window for row in rows if row.what != ALONE})
    chains = {one.window: one for one in pilot(lambda member: problem, experiment.solver, options, [0], windows)}
    points = max((-(-row.window // row.time_ranks) for row in rows if row.what != ALONE), default=1)
    made = costs_of(
        problem, experiment.solver, options, quiet, messages=experiment.messages, ranks_here=1, points=max(2, points)
    )
    made = replace(made, apart=experiment.simulated is not None or problem.device.type == "cuda")
    batch = problem.network.batch or max(fields for fields, _, _ in quiet)

    def planned(row: ScalingRow) -> float:
        costs: Costs = made if row.ranks == 1 else replace(made, calls=crowded)
        if row.what == ALONE:
            leads = problem.leads.count if problem.leads else 1
            return leads * problem.equations.evaluations * (costs.call(1) + costs.serial.at(1))
        together = row.members * row.time_ranks // row.ranks
        return costs.sweep(chains[row.window], together, row.time_ranks, batch, row.what == OVERLAP)

    return [replace(row, planned=planned(row)) for row in rows]
