"""Roll-outs by engines whose lead times cannot be swept together: one after another, all members at once."""

from dataclasses import replace

import torch
from torch import Tensor

from parampi.diffusion.noise import lead_seed
from parampi.engine.base import Engine
from parampi.engine.blocks import BlockEngine
from parampi.engine.history import COUNTS, Integers
from parampi.engine.lead_log import FinishedLead
from parampi.engine.lead_times import LeadTimes
from parampi.engine.options import EngineOptions
from parampi.engine.problem import SamplingProblem
from parampi.engine.state import EngineState
from parampi.errors import DataError, NonFiniteError
from parampi.parallel import Group, PointRanges
from parampi.solvers import Solver


class LeadRelay(Engine):
    """An engine of blocks for each lead time, the next one from the states that the last one drew.

    states  (m, h, *state) before the current lead time, on every rank
    """

    def __init__(self, problem: SamplingProblem, solver: Solver, group: Group, options: EngineOptions):
        super().__init__(problem, group, options)
        self.unbound, self.lead, self.rounds = solver, 0, 0
        self.states = self.leads.start.to(problem.device, problem.dtype, copy=True)
        self.inner = self.begin()

    @property
    def leads(self) -> LeadTimes:
        assert self.problem.leads is not None
        return self.problem.leads

    @property
    def numbers(self) -> list[int]:
        return [int(number) for number in self.problem.members]

    def begin(self) -> BlockEngine:
        """Return the engine of the current lead time."""
        rows = range(len(self.states))
        made = [self.leads.conditions(self.states[k : k + 1], self.lead, [self.numbers[k]]) for k in rows]
        seed = lead_seed(self.problem.seed, self.lead)
        outside = self.problem.outside.at(self.lead)
        problem = replace(self.problem, leads=None, seed=seed, outside=outside, conditions=torch.cat(made))
        return BlockEngine(problem, self.unbound, self.group, self.options)

    # ------------------------------------------------------------------ where members are

    @property
    def first(self) -> Integers:
        return self.lead * self.problem.equations.steps + self.inner.first

    @property
    def finished(self) -> bool:
        return self.lead == self.leads.count - 1 and self.inner.finished

    @property
    def result(self) -> Tensor:
        return self.inner.result

    @property
    def tail(self) -> Tensor:
        return self.inner.tail

    # ------------------------------------------------------------------ rounds

    def advance(self) -> None:
        try:
            self.inner.advance()
        except NonFiniteError as error:
            raise NonFiniteError(error.member, error.point, error.sigma, error.round, self.lead) from None
        self.count()
        if self.inner.finished:
            self.finish()
            if self.lead < self.leads.count - 1:
                self.lead += 1
                self.inner = self.begin()

    def count(self) -> None:
        """Count a round of the current lead time."""
        inner, history = self.inner.history, self.history
        history.made, history.batches = self.rounds + inner.made, history.batches + (inner.made > 0)
        if self.lead == 0:
            history.log = inner.log

    def finish(self) -> None:
        """Finish the current lead time of all members; collective."""
        inner = self.inner.history
        drawn = self.drawn()
        for column, number in enumerate(self.numbers):
            before = self.states[column : column + 1]
            kept = self.leads.finished(before, drawn[column : column + 1], self.lead, [number])
            self.states[column] = self.leads.after(before, kept, self.lead, [number])[0]
            self.leads.forget(self.lead, number)
            costs = (getattr(inner, name)[column] for name in COUNTS)
            if self.group.rank == 0:
                self.finished_leads.append(FinishedLead(column, self.lead, kept[0], *costs))
        self.history.rounds += inner.rounds
        self.history.evaluations += inner.evaluations
        self.rounds += inner.made

    def drawn(self) -> Tensor:
        """Return the fields (m, *shape) that the current lead time has drawn, on every rank."""
        if self.group.size == 1:
            return self.inner.result.to(self.states.device, self.problem.dtype)
        fields = torch.zeros((len(self.states), *self.problem.shape), dtype=self.problem.dtype)
        if self.group.rank == 0:
            fields.copy_(self.inner.result)
        return torch.from_numpy(self.group.broadcast(fields.numpy())).to(self.states.device)

    # ------------------------------------------------------------------ state

    def state(self) -> EngineState:
        inner = self.inner.state()
        lead = torch.full((len(self.states),), float(self.lead), dtype=torch.float64)
        totals = {f"total.{name}": values for name, values in self.history.state().items()}
        return EngineState(inner.begun, inner.fields, {**inner.numbers, **totals, "lead": lead, "states": self.states})

    def span(self, name: str, numbers: dict[str, Tensor]) -> PointRanges | None:
        self.go_to(numbers)
        return self.inner.span(name, numbers)

    def go_to(self, numbers: dict[str, Tensor]) -> None:
        """Begin at the lead time at which members were left. Raises DataError where it is not the same for all."""
        leads = set(numbers["lead"].tolist())
        if len(leads) > 1:
            raise DataError("members were left at different lead times; go on with each of them alone")
        if self.lead != int(leads.pop()):
            self.lead = int(numbers["lead"][0])
            self.states = numbers["states"].to(self.states)
            self.inner = self.begin()

    def load(self, state: EngineState) -> None:
        self.go_to(state.numbers)
        self.states = state.numbers["states"].to(self.states)
        self.history.load({name: state.numbers[f"total.{name}"] for name in COUNTS})
        self.inner.load(state)
