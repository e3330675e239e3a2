"""Drawing members: shared out over groups of ranks, in batches, and handed on as they are finished."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from parampi.engine.base import Engine
from parampi.engine.case_hooks import CaseHooks
from parampi.engine.cases import CaseFunction, Cases, ConditionFunction
from parampi.engine.choice import engine_for
from parampi.engine.delivery import NOT_STORED, STORING, Delivery, Failure, FirstError, GroupResult, MemberSink
from parampi.engine.hook import RoundHook
from parampi.engine.lead_delivery import LeadDelivery
from parampi.engine.lead_times import LeadTimes
from parampi.engine.options import EngineOptions
from parampi.engine.problem import SamplingProblem
from parampi.engine.rank_clock import RankClock
from parampi.engine.residual_gathering import gather_residuals
from parampi.engine.window_reach import WindowReach
from parampi.errors import InterruptionError, NonFiniteError, UserError
from parampi.parallel import Group, Layout, MPIPost, SerialGroup, as_group
from parampi.parallel.agree import on_all
from parampi.report import MemberReport, Report, Residuals, residual_history
from parampi.solvers import Solver, check_solver

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

NO_HOOKS = CaseHooks()


@dataclass(frozen=True)
class BatchPlan:
    """Members to draw, how they are shared out over ranks, and how each is advanced.

    problem  the steps and the network, still without members
    batch    most members that one group advances at once, None for its whole share
    leads    makes the `count` lead times of a roll-out for members, by their numbers; None where there is no roll-out
    """

    numbers: list[int]
    layout: Layout
    problem: SamplingProblem
    solver: Solver
    options: EngineOptions
    batch: int | None
    leads: Callable[[list[int]], LeadTimes] | None = None
    count: int = 1

    def __post_init__(self) -> None:
        """Raise ConfigError for a solver or a window that is not defined for the problem."""
        check_solver(self.solver, self.problem.equations, self.problem.shape, self.options.window)
        self.report()

    def batches(self) -> list[list[list[int]]]:
        """Return the member numbers of every group in every batch; a group whose share is smaller ends with an empty one."""
        most = len(self.layout.share(0))
        size = min(self.batch or most, most)
        shares = [[self.numbers[k] for k in self.layout.share(group)] for group in range(self.layout.groups)]
        return [[share[start : start + size] for share in shares] for start in range(0, most, size)]

    def report(self) -> Report:
        """Return a report of what is to come."""
        equations, layout = self.problem.equations, self.layout
        reach = WindowReach.over(equations, self.solver, self.options, None if self.leads is None else self.count)
        places = {"ranks": layout.ranks, "groups": layout.groups, "time_ranks": layout.time_ranks, "window": reach.points}
        if self.leads is not None:
            places |= {"lead_times": self.count, "flight": reach.leads}
        if self.options.overlap:
            places["overlap"] = 1
        serial, batches = equations.evaluations * self.count, len(self.batches())
        return Report(equations.steps, self.options.tolerance, serial * batches, serial * len(self.numbers), layout=places)


class BatchDrawing:
    """One rank's part in drawing what is planned.

    sink       receives finished members; None keeps their fields in memory
    on_groups  whether the rank that drives a group hands them to its sink, or rank 0 to its own
    """

    def __init__(
        self,
        plan: BatchPlan,
        comm: "Comm | None",
        sink: MemberSink | None,
        *,
        on_groups: bool,
        hook: RoundHook | None,
        condition: ConditionFunction | None = None,
        hooks: CaseHooks = NO_HOOKS,
        case_of: CaseFunction | None = None,
    ):
        self.plan, self.comm, self.sink, self.hook = plan, comm, sink, hook
        self.everyone, problem, device = as_group(comm), plan.problem, plan.problem.device
        batches, layout = plan.batches(), plan.layout
        self.cases = Cases(hooks, condition, case_of, batches=batches, layout=layout, comm=comm, device=device)
        self.delivery = Delivery(self.everyone, plan.layout, problem.shape, problem.dtype, problem.device, on_groups)
        self.report, self.fields, self.seconds = plan.report(), list[Tensor](), 0.0
        self.residuals: dict[int, list[Residuals]] = {}

    def run(self) -> Failure | None:
        """Draw batch by batch; returns what ended it early, the same on all ranks."""
        layout, rounds, failure = self.plan.layout, np.zeros(self.plan.layout.groups), None
        with self.own_group() as group:
            clock = RankClock(lambda: self.read_clocks(group))
            for k, batch in enumerate(self.plan.batches()):
                self.cases.enter(k, group)
                numbers = batch[layout.group(self.everyone.rank)]
                engine = self.engine(numbers, group)
                after, leads = self.timed(clock), self.lead_delivery()
                result = (
                    GroupResult.run(engine, after, leads.after_round if leads else None) if engine else GroupResult.nothing()
                )
                if group.rank == 0:
                    result = self.finish(result, numbers)
                if leads and leads.close():
                    result.header[0] = STORING
                self.record_residuals(engine)
                group_rounds, failure = self.delivery.deliver(result, batch, self.take, self.report.members.append)
                clock.mark()
                failure, rounds = (leads and leads.error) or failure, rounds + group_rounds
                if failure is not None:
                    break
        failure = self.explain(failure)
        self.close_report(clock, int(rounds.max()), failure)
        return failure

    def enter_first(self) -> None:
        """Read and prepare the conditions of the first batch. Raises ConfigError on all ranks for those of any."""
        on_all(self.comm, lambda: self.cases.read(0))
        with self.own_group() as group:
            self.cases.enter(0, group)

    def finish(self, result: GroupResult, numbers: list[int]) -> GroupResult:
        """Return a group's part with its finished fields as they are kept, on the rank that drives it."""
        if self.plan.leads is not None or not numbers:
            return result
        return replace(result, fields=self.cases.finished(result.fields, numbers, result.facts[:, 0].bool().tolist()))

    def lead_delivery(self) -> LeadDelivery | None:
        """Return the way of the finished lead times of a batch; None where there is no roll-out."""
        if self.plan.leads is None:
            return None
        problem, layout = self.plan.problem, self.plan.layout
        return LeadDelivery(
            everyone=self.everyone,
            layout=layout,
            like=torch.empty(problem.shape, dtype=problem.dtype, device=problem.device),
            storing=FirstError(self.take),
            record=self.report.members.append,
            post=MPIPost(self.comm) if self.comm is not None and layout.groups > 1 else None,
            on_groups=self.delivery.on_groups,
        )

    @contextmanager
    def own_group(self) -> Iterator[Group]:
        """Make the group of ranks that share this rank's members. A rank that fails alone frees nothing: all would have to."""
        layout, comm = self.plan.layout, self.comm
        split = comm.Split(layout.group(self.everyone.rank)) if comm is not None and layout.groups > 1 else None
        yield as_group(split or comm) if layout.time_ranks > 1 else SerialGroup()
        if split is not None:
            split.Free()

    def engine(self, numbers: list[int], group: Group) -> Engine | None:
        """Return an engine for members of this rank's group, where they were left; None for no members."""
        if not numbers:
            return None
        plan, conditions = self.plan, self.cases.conditions(numbers)
        leads = None if plan.leads is None else plan.leads(numbers)
        problem = replace(plan.problem, members=torch.tensor(numbers), conditions=conditions, leads=leads)
        engine = engine_for(problem, plan.solver, group, plan.options)
        if self.hook:
            self.hook.restore(engine, numbers)
        return engine

    def record_residuals(self, engine: Engine | None) -> None:
        """Keep the history of the members that an engine has advanced, on the rank that drives it."""
        if engine and engine.group.rank == 0:
            log, numbers = engine.history.log, engine.problem.members.tolist()
            steps = engine.problem.equations.steps
            self.residuals |= {number: residual_history(log, column, steps) for column, number in enumerate(numbers)}

    def timed(self, clock: RankClock) -> Callable[[Engine], bool]:
        """Return what is called after each round: it reads the clock, and says whether to stop."""
        stops = self.hook.after if self.hook else lambda engine: False

        def after(engine: Engine) -> bool:
            clock.mark()
            return stops(engine)

        return after

    def read_clocks(self, group: Group) -> tuple[float, float, float]:
        """Return this rank's seconds in the network, as far as they are known without a wait, in messages, and in output."""
        return self.plan.problem.network.clock.read_so_far(), self.everyone.seconds + group.seconds, self.seconds

    def take(self, field: Tensor, member: MemberReport) -> None:
        """Hand a finished member on, or keep its field."""
        begin = time.perf_counter()
        if self.sink is None:
            self.fields.append(field.cpu().clone())
        else:
            self.sink(field, member)
        self.seconds += time.perf_counter() - begin

    def explain(self, failure: Failure | None) -> Failure | None:
        """Tell every rank why a member could not be stored, which only the rank that failed knows."""
        if not isinstance(failure, UserError):
            return failure
        reasons = [failure] if str(failure) != NOT_STORED else []
        try:
            on_all(self.comm, lambda: raise_first(reasons))
        except UserError as reason:
            return reason
        return failure

    def close_report(self, clock: RankClock, rounds: int, failure: Failure | None) -> None:
        """Enter rounds and outcome, and on rank 0 every rank's seconds and the histories of all groups."""
        self.plan.problem.network.seconds  # noqa: B018  # waits for calls that still run
        total, network, messages, output = clock.row()
        table = np.zeros((self.everyone.size, 4))
        table[self.everyone.rank] = network, messages, output, total
        names = ("network", "communication", "output", "total")
        self.report.seconds = [dict(zip(names, map(float, row), strict=True)) for row in self.everyone.sum_to_root(table)]
        self.report.timeline = clock.gathered(self.everyone)
        self.report.residuals = gather_residuals(self.residuals, self.everyone)
        self.report.rounds = rounds if self.everyone.rank == 0 else 0
        if isinstance(failure, NonFiniteError):
            self.report.outcome = "nonfinite"
        if isinstance(failure, InterruptionError):
            self.report.outcome = "interrupted"

    def finished(self) -> tuple[Tensor | None, list[int] | None]:
        """Return fields and numbers of the members that were finished, in the plan's order, on rank 0."""
        if self.everyone.rank != 0:
            return None, None
        order = {number: k for k, number in enumerate(self.plan.numbers)}
        members = self.report.members
        ranked = sorted(range(len(members)), key=lambda k: (members[k].lead, order[members[k].member]))
        self.report.members = [members[k] for k in ranked]
        self.report.evaluations = sum(member.evaluations for member in members)
        fields = torch.stack([self.fields[k] for k in ranked]) if self.sink is None and ranked else None
        if self.plan.leads is not None:
            return self.whole_leads(fields), self.plan.numbers
        return fields, [member.member for member in self.report.members]

    def whole_leads(self, fields: Tensor | None) -> Tensor | None:
        """Return fields (lead time, member, *shape) of the lead times that all members have."""
        count = len(self.plan.numbers)
        leads = np.bincount([member.lead for member in self.report.members], minlength=1)
        whole = int(np.cumprod(leads == count).sum())
        return None if fields is None else fields[: whole * count].reshape(whole, count, *fields.shape[1:])


def raise_first(reasons: list[UserError]) -> None:
    if reasons:
        raise reasons[0]
