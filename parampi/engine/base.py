"""The shell that all engines share: one round, its verdict, the history, and the state between two rounds."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from parampi.engine.history import Floats, History, Integers, Round
from parampi.engine.lead_log import FinishedLead
from parampi.engine.options import EngineOptions
from parampi.engine.problem import FieldBatch, SamplingProblem
from parampi.engine.state import EngineState
from parampi.errors import NonFiniteError
from parampi.parallel import Group, PointRanges
from parampi.solvers import Solver, check_solver

FAIL = 1


class Engine(ABC):
    """Rounds of one group of ranks: they advance its members until the solver has accepted their final fields.

    `advance` until `finished`; then `result` holds the final fields on the group's rank 0. In a roll-out `finished_leads` are,
    on rank 0, the lead times that were finished and not yet taken from there.
    """

    def __init__(self, problem: SamplingProblem, group: Group, options: EngineOptions):
        self.problem, self.group, self.options = problem, group, options
        self.history = History.empty(len(problem.members))
        self.finished_leads: list[FinishedLead] = []

    # ------------------------------------------------------------------ where members are

    @property
    @abstractmethod
    def first(self) -> Integers:
        """Index (m,) of each member's frozen point, the last one that is accepted."""

    @property
    @abstractmethod
    def result(self) -> Tensor:
        """Fields (m, *shape) on the group's rank 0: the final ones of members that are finished."""

    @property
    @abstractmethod
    def tail(self) -> Tensor:
        """Fields (m, *shape) at the last point that is swept, as far as they are known; for one rank."""

    @property
    def finished(self) -> bool:
        return bool((self.first == self.problem.steps).all())

    @property
    def number(self) -> int:
        """Number of the round to come."""
        return self.history.made + 1

    # ------------------------------------------------------------------ rounds

    @abstractmethod
    def advance(self) -> None:
        """Make one round. Raises NonFiniteError, on all ranks of the group."""

    def run(self) -> Tensor:
        """Advance to the end; returns `result`."""
        while not self.finished:
            self.advance()
        return self.result

    def enter(self, entry: Round, error_estimate: Floats) -> Integers:
        """Enter a round into the history and show it; returns by how many points windows slide."""
        self.history.enter(entry, error_estimate, keep=bool((entry.first < self.problem.equations.steps).any()))
        if self.options.watch:
            self.options.watch(entry, self.problem.steps)
        return entry.slides

    # ------------------------------------------------------------------ the state between two rounds

    @abstractmethod
    def state(self) -> EngineState:
        """Return all that this rank needs to go on later. Fields are the engine's own: copy them before it goes on."""

    @abstractmethod
    def span(self, name: str, numbers: dict[str, Tensor]) -> PointRanges | None:
        """Return the points of which this rank holds a field where members are as numbers (m, ...) say; None for no points."""

    @abstractmethod
    def load(self, state: EngineState) -> None:
        """Go on from a state whose fields are those of this rank's points, see `span`."""


class RoundEngine(Engine):
    """An engine whose round is one of all members: evaluate a batch of fields, step, gather on rank 0 what the step showed, let
    rank 0 decide, move on."""

    def __init__(self, problem: SamplingProblem, solver: Solver, group: Group, options: EngineOptions):
        super().__init__(problem, group, options)
        check_solver(solver, problem.equations, problem.shape, options.window)
        self.solver = solver.bind(problem.shape, problem.sigma_data)

    def advance(self) -> None:
        observed = self.step(self.evaluate(self.collect()))
        self.move_on(self.judge(observed))

    def evaluate(self, batch: FieldBatch) -> Tensor:
        """Return the denoised fields (B, *shape) of a batch."""
        return self.problem.network(batch.x, batch.sigmas, self.problem.conditions_of(batch.columns))

    @abstractmethod
    def collect(self) -> FieldBatch:
        """Return the fields that this rank evaluates in this round."""

    @abstractmethod
    def step(self, denoised: Tensor) -> Floats:
        """Step, and return what that showed on this rank, see `gathered`."""

    def gathered(self, observed: Floats) -> Floats:
        """Return what all ranks observed (k, ..., m), on rank 0, of what each did: by default the sum. Collective."""
        return self.group.sum_to_root(observed)

    @abstractmethod
    def failure(self, observed: Floats) -> tuple[int, int] | None:
        """Return point and column of a member whose fields are not finite."""

    @abstractmethod
    def decide(self, observed: Floats) -> tuple[Round, Floats]:
        """Return the round and the members' estimated errors (m,) after it; on rank 0."""

    @abstractmethod
    def move_on(self, slides: Integers) -> None:
        """Go on with windows that slide by so many points (m,)."""

    def judge(self, observed: Floats) -> Integers:
        """Let rank 0 decide by how many points (m,) windows slide. Every rank gets the verdict."""
        observed = self.gathered(observed)
        verdict = np.zeros(4 + len(self.problem.members), np.int64)
        if self.group.rank == 0:
            failure = self.failure(observed)
            if failure:
                verdict[:4] = FAIL, *failure, self.number
            else:
                verdict[4:] = self.enter(*self.decide(observed))
        self.group.broadcast(verdict)
        if verdict[0] == FAIL:
            lead, point = divmod(int(verdict[1]), self.problem.equations.steps)
            member, sigma = int(self.problem.members[verdict[2]]), float(self.problem.equations.sigmas[point])
            raise NonFiniteError(member, point, sigma, int(verdict[3]), lead if self.problem.leads else None)
        return verdict[4:]
