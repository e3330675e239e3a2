"""Seconds against ranks: one member on more and more of them, members that grow with them, members alone, and members that
are swept together, with and without rounds that overlap."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.engine import EngineOptions, SamplingProblem
from parampi.engine.clocked_network import BatchSeconds
from parampi.engine.driven import Messages, RankCosts, critical, drive
from parampi.engine.window_reach import WindowReach
from parampi.errors import ConfigError
from parampi.parallel import Group, Layout, SerialGroup, as_group
from parampi.parallel.agree import Reducer
from parampi.parallel.hosts import NAP, host_names
from parampi.parallel.threads import on_threads
from parampi.solvers import Serial, Solver

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

NUMBERS = (
    "wall", "setup", "network", "network_own", "busy", "communication", "output", "messages", "rounds", "evaluations",
)  # fmt: skip
STRONG, WEAK, ALONE = "one member", "members grow", "members alone"
TOGETHER, OVERLAP = "members together", "overlapping rounds"


@dataclass(frozen=True)
class Experiment:
    """Problem that is scaled: steps and network without members, solver, windows, and how the network and messages take time.

    points_per_rank  of a window; None for the configured window
    simulated        seconds of a network call by its fields, None for the network's own
    """

    problem: SamplingProblem
    solver: Solver
    options: EngineOptions
    messages: Messages
    simulated: BatchSeconds | None = None
    points_per_rank: int | None = None

    def window(self, time_ranks: int) -> int:
        """Return the window on so many ranks along time: never fewer points than ranks, while there are any."""
        steps = self.problem.steps
        if self.points_per_rank:
            return min(steps, self.points_per_rank * time_ranks)
        leads = self.problem.leads.count if self.problem.leads else None
        reach = WindowReach.over(self.problem.equations, self.solver, self.options, leads)
        return min(steps, max(reach.points, time_ranks))

    def draw(self, group: Group, place: int, case: "Case") -> RankCosts:
        """Return the costs of this rank's part in the members of the group at a place."""
        solver, overlap = self.solver, case.what == OVERLAP
        options = replace(self.options, window=self.window(case.time_ranks), overlap=overlap)
        if case.what == ALONE:
            solver, options = Serial(), replace(self.options, window=None)
        members = range(place * case.together, (place + 1) * case.together)
        problem = of_several(self.problem, case.together)
        return drive(problem, solver, group, options, members, messages=self.messages, simulated=self.simulated)


def of_several(problem: SamplingProblem, members: int) -> SamplingProblem:
    """Return the problem of so many members, all with the condition and the start of the one that a problem has."""
    conditions, leads = problem.conditions, problem.leads
    return replace(
        problem,
        conditions=None if conditions is None else conditions.repeat_interleave(members, 0),
        leads=None if leads is None else replace(leads, start=leads.start.repeat_interleave(members, 0)),
    )


@dataclass(frozen=True)
class Case:
    """One measurement: `ranks`, in groups of `time_ranks`, each of which draws so many members `together`."""

    what: str
    ranks: int
    time_ranks: int
    together: int = 1

    @property
    def members(self) -> int:
        return self.ranks // self.time_ranks * self.together


@dataclass(frozen=True)
class ScalingRow:
    """A measurement. `wall` seconds are those of the clock, `own` leave out what ranks waited for cores; `efficiency` is the
    serial sampler's share of what all ranks spent, by those of the two that count. Shares are means over ranks; that of the
    `network` is what ranks waited for it. Of engine and messages `hidden` is the share in which calls went on, where they are
    simulated and rounds overlap."""

    what: str
    ranks: int
    time_ranks: int
    members: int
    window: int
    rounds: int
    evaluations: int
    wall: float
    own: float
    efficiency: float
    network: float
    engine: float
    messages: float
    waiting: float
    output: float
    crowded: bool
    hidden: float | None = None
    planned: float | None = None

    @property
    def seconds(self) -> float:
        """The seconds that count."""
        return self.own if self.crowded else self.wall


def cases(ranks: Sequence[int], time_ranks: int, together: int | None = None) -> list[Case]:
    """Return what is measured: members grow in groups of `time_ranks`. Where members are to be swept `together`, on all ranks
    at once, that and members alone are all there is."""
    if together:
        listed = [Case(what, count, count, together) for count in ranks for what in (TOGETHER, OVERLAP)]
        return listed + [Case(ALONE, count, 1) for count in ranks]
    listed = [Case(STRONG, count, count) for count in ranks]
    listed += [Case(WEAK, count, time_ranks) for count in ranks if count > time_ranks and count % time_ranks == 0]
    return listed + [Case(ALONE, count, 1) for count in ranks]


def measure(
    experiment: Experiment,
    ranks: Sequence[int],
    comm: "Comm | None" = None,
    *,
    time_ranks: int = 2,
    together: int | None = None,
) -> list[ScalingRow]:
    """Return rows of all rank counts; without `comm` ranks are threads of this process. Raises ConfigError."""
    most = as_group(comm).size
    if comm is not None and max(ranks) > most:
        raise ConfigError(f"--ranks {max(ranks)}: there are {most}; start as many (mpiexec -n {max(ranks)}), or name fewer")
    rows: list[ScalingRow] = []
    one = measure_one(experiment, Case(ALONE, 1, 1), comm)
    for case in cases(ranks, time_ranks, together):
        costs = one if case == Case(ALONE, 1, 1) else measure_one(experiment, case, comm)
        rows.append(row_of(experiment, case, costs, one[0], outnumber(case.ranks, comm)))
    return rows


def measure_one(experiment: Experiment, case: Case, comm: "Comm | None") -> list[RankCosts]:
    """Return the costs of every rank that takes part, on every rank."""
    if comm is None:
        return on_threads(
            case.ranks,
            lambda group, rank: experiment.draw(group if group.size > 1 else SerialGroup(), rank // case.time_ranks, case),
            case.time_ranks,
        )
    layout, rank = Layout(case.ranks, case.members, case.time_ranks), comm.Get_rank()
    part = comm.Split(layout.group(rank) if rank < case.ranks else layout.groups, rank)
    costs = None
    comm.Barrier()
    if rank < case.ranks:
        costs = experiment.draw(as_group(part), layout.group(rank), case)
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(NAP)
    part.Free()
    return gathered(comm, costs)[: case.ranks]


def gathered(comm: "Comm", costs: RankCosts | None) -> list[RankCosts]:
    """Return the costs of all ranks, on all of them."""
    ranks = Reducer(comm)
    length = np.zeros(ranks.size)
    length[ranks.rank] = len(costs.own) if costs else 0
    lengths = ranks.add(lambda: length).astype(int)
    table = np.zeros((ranks.size, len(NUMBERS) + int(lengths.max())))
    if costs:
        table[ranks.rank, : len(NUMBERS)] = [getattr(costs, name) for name in NUMBERS]
        table[ranks.rank, len(NUMBERS) : len(NUMBERS) + len(costs.own)] = costs.own
    return [revived(row, count) for row, count in zip(ranks.add(lambda: table), lengths, strict=True)]


def revived(row: np.ndarray, rounds: int) -> RankCosts:
    """Return the costs that a row of the table holds."""
    numbers = dict(zip(NUMBERS, row.tolist(), strict=False))
    return RankCosts(**numbers, own=row[len(NUMBERS) : len(NUMBERS) + rounds].tolist(), lengths=[])


def outnumber(ranks: int, comm: "Comm | None") -> bool:
    """Return whether so many ranks share fewer cores."""
    per_node = ranks if comm is None else max(1, comm.Get_size() // len(set(host_names(comm))))
    return min(ranks, per_node) > (os.cpu_count() or 1)


def row_of(experiment: Experiment, case: Case, costs: list[RankCosts], serial: RankCosts, crowded: bool) -> ScalingRow:
    """Return the row of a case; `crowded`: whether own seconds count, as ranks outnumber cores."""
    groups = [costs[k : k + case.time_ranks] for k in range(0, len(costs), case.time_ranks)]
    wall, own = max(one.wall for one in costs), max(critical(group) for group in groups)
    seconds, base = (own, sum(serial.own)) if crowded else (wall, serial.wall)
    network = [one.network_own if crowded else one.network for one in costs]
    messages = [min(one.messages, one.communication) for one in costs]
    engine = [
        max(0.0, (sum(one.own) if crowded else one.wall - one.communication - one.output + one.messages) - net - one.messages)
        for one, net in zip(costs, network, strict=True)
    ]
    output = [0.0 if crowded else one.output for one in costs]
    waiting = [max(0.0, seconds - sum(parts)) for parts in zip(network, engine, messages, output, strict=True)]
    parts = {"network": network, "engine": engine, "messages": messages, "waiting": waiting, "output": output}
    shares = {name: float(np.mean(part)) / seconds for name, part in parts.items()}
    return ScalingRow(
        what=case.what,
        ranks=case.ranks,
        time_ranks=case.time_ranks,
        members=case.members,
        window=1 if case.what == ALONE else experiment.window(case.time_ranks),
        rounds=int(max(one.rounds for one in costs)),
        evaluations=int(sum(group[0].evaluations for group in groups)),
        wall=wall,
        own=own,
        efficiency=base * case.members / (case.ranks * seconds),
        crowded=crowded,
        hidden=hidden(costs) if case.what == OVERLAP and experiment.simulated else None,
        **shares,
    )


def hidden(costs: Sequence[RankCosts]) -> float:
    """Return the share of the engine and of messages, by ranks' own seconds, in which calls went on."""
    rest = [sum(one.own) - one.network_own for one in costs]
    return float(sum(one.busy - one.network_own for one in costs) / sum(rest))


def to_markdown(rows: Sequence[ScalingRow]) -> str:
    header = (
        "", "ranks", "along time", "members", "window", "rounds", "evaluations", "wall s", "own s", "efficiency", "network",
        "engine", "messages", "waiting", "output", "hidden", "planned s",
    )  # fmt: skip
    body = [
        [
            r.what, r.ranks, r.time_ranks, r.members, r.window, r.rounds, r.evaluations, float(f"{r.wall:.3g}"),
            float(f"{r.own:.3g}"), *(f"{100 * share:.0f} %" for share in shares_of(r)),
            None if r.hidden is None else f"{100 * r.hidden:.0f} %", None if r.planned is None else float(f"{r.planned:.3g}"),
        ]
        for r in rows
    ]  # fmt: skip
    return markdown(header, body)


def shares_of(row: ScalingRow) -> tuple[float, ...]:
    return row.efficiency, row.network, row.engine, row.messages, row.waiting, row.output


def note(rows: Sequence[ScalingRow], cores: int) -> str:
    """Return which seconds count in which rows, and what overlapping rounds take of those of others."""
    return "\n".join([seconds_that_count(rows, cores), *ratios(rows)])


def ratios(rows: Sequence[ScalingRow]) -> list[str]:
    """Return in a line what overlapping rounds take, as a share of the seconds without; none where none were made."""
    without = {row.ranks: row.seconds for row in rows if row.what == TOGETHER}
    shares = [f"{row.seconds / without[row.ranks]:.3f} on {row.ranks}" for row in rows if row.what == OVERLAP]
    return [f"overlapping rounds take of the seconds without, by ranks: {', '.join(shares)}"] if shares else []


def seconds_that_count(rows: Sequence[ScalingRow], cores: int) -> str:
    crowded = [row.ranks for row in rows if row.crowded]
    if not crowded:
        return "efficiency and shares are by wall seconds: every rank has a core"
    return (
        f"efficiency and shares are by own seconds from {min(crowded)} ranks on, as they share {cores} cores: the network, a "
        "rank's own CPU time and its messages, in every round those of the slowest rank; wall seconds are longer there"
    )
