"""Blocks of points: fine propagations that run through them, all at once, and corrections that follow (Parareal).

Members may be in different rounds of the timetable, when a run goes on with what others left; those that share a round are a
cohort. All cohorts' fields are evaluated in one batch.
"""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from parampi.engine.base import RoundEngine
from parampi.engine.cohort import Cohort, Mail, key_of
from parampi.engine.history import Floats, Integers, Round
from parampi.engine.options import EngineOptions
from parampi.engine.problem import FieldBatch, SamplingProblem
from parampi.engine.readings import Readings
from parampi.engine.reductions import norms
from parampi.engine.state import EngineState, PointRows
from parampi.engine.timetable import Timetable
from parampi.parallel import Group, PointRanges, split
from parampi.solvers.base import Solver
from parampi.solvers.parareal import coarse_steps


class BlockEngine(RoundEngine):
    """Blocks of every member, shared out over the ranks of a group.

    changes  (B + 1, B + 1, m) on rank 0, norms of what U^p[b] changed by in iteration p
    """

    def __init__(self, problem: SamplingProblem, solver: Solver, group: Group, options: EngineOptions):
        super().__init__(problem, solver, group, options)
        step_map, members = problem.step_map, len(problem.members)
        ends = self.solver.ends(options.window, step_map)
        assert ends is not None
        self.table = Timetable(ends.tolist(), step_map.taps)
        self.coarse = coarse_steps(step_map, self.table.ends, problem.sigma_data)
        self.own = split(self.table.blocks, group.size, group.rank)
        self.frozen = np.zeros(members, np.int64)
        self.fields = problem.start()
        self.changes = np.zeros((self.table.blocks + 1, self.table.blocks + 1, members))
        self.cohorts = [self.cohort(np.arange(members))]

    def cohort(self, columns: Integers, number: int = 1) -> Cohort:
        return Cohort(self.problem, self.table, self.coarse, own=self.own, columns=columns, number=number)

    @property
    def first(self) -> Integers:
        return self.frozen

    @property
    def result(self) -> Tensor:
        return self.fields

    @property
    def tail(self) -> Tensor:
        fields = torch.zeros_like(self.fields)
        for cohort in self.cohorts:
            if self.table.blocks - 1 in cohort.ends:
                fields[cohort.index] = cohort.ends[self.table.blocks - 1]
        return fields

    def owner(self, b: int) -> int:
        return next(rank for rank in range(self.group.size) if b in split(self.table.blocks, self.group.size, rank))

    @property
    def live_cohorts(self) -> list[Cohort]:
        return [cohort for cohort in self.cohorts if len(cohort.live)]

    # ------------------------------------------------------------------ one round

    def collect(self) -> FieldBatch:
        batches = [batch for batch in (cohort.collect() for cohort in self.cohorts) if batch is not None]
        if not batches:
            nothing = self.fields.new_zeros((0, *self.fields.shape[1:]))
            return FieldBatch(nothing, self.fields.new_zeros(0), torch.zeros(0, dtype=torch.int64))
        if len(batches) == 1:
            return batches[0]
        x, sigmas = torch.cat([batch.x for batch in batches]), torch.cat([batch.sigmas for batch in batches])
        return FieldBatch(x, sigmas, torch.cat([batch.columns for batch in batches]))

    def step(self, denoised: Tensor) -> Floats:
        """Step, correct and pass on; returns norms of changes (B + 1, m) at the blocks' beginnings and the end, and below them
        (B, m) the point + 1 where a denoised field is not finite."""
        changed = np.zeros((self.table.blocks + 1, len(self.frozen)))
        failed = np.zeros((self.table.blocks, len(self.frozen)))
        sizes = [len(cohort.running) * len(cohort.live) for cohort in self.cohorts]
        mail, readings = Mail(), Readings()
        for cohort, part in zip(self.cohorts, torch.split(denoised, sizes), strict=True):
            cohort.step(part, failed, readings)
            if len(cohort.live):
                self.correct(cohort, changed, mail, readings)
        if mail.sends or mail.receives:
            self.group.exchange(mail.sends, mail.receives)
        readings.read()
        return np.concatenate([changed, failed])

    def correct(self, cohort: Cohort, changed: Floats, mail: Mail, readings: Readings) -> None:
        """Form the ends of blocks that this round's timetable has, and pass them on to the blocks that begin there."""
        for b in range(self.table.blocks):
            if (cohort.number, b) not in self.table.forming:
                continue
            onward = b + 1 < self.table.blocks
            if b in self.own:
                change = cohort.correct(b)
                if change is not None:
                    readings.ask(norms(change, self.options.mode), partial(enter, changed[b + 1], cohort.columns))
                if onward and b + 1 in self.own:
                    cohort.starts[b + 1] = cohort.ends[b]
                elif onward:
                    mail.sends.append((self.owner(b + 1), cohort.ends[b].contiguous()))
            elif onward and b + 1 in self.own:
                shape = (len(cohort.columns), *self.problem.shape)
                cohort.starts[b + 1] = torch.empty(shape, dtype=self.fields.dtype, device=self.fields.device)
                mail.receives.append((self.owner(b), cohort.starts[b + 1]))

    # ------------------------------------------------------------------ the verdict

    def failure(self, observed: Floats) -> tuple[int, int] | None:
        failed = observed[self.table.blocks + 1 :]
        if not failed.any():
            return None
        column = int(np.argmax(failed.any(0)))
        return int(failed[failed[:, column] > 0, column].min()) - 1, column

    def decide(self, observed: Floats) -> tuple[Round, Floats]:
        steps, members = self.problem.steps, len(self.frozen)
        error_estimate, shown = self.history.error_estimate.copy(), np.zeros((steps, members))
        done, evaluations = np.zeros(members, np.int64), np.zeros(members, np.int64)
        for cohort in self.live_cohorts:
            columns = cohort.columns
            live = columns[cohort.live]
            self.show(cohort, observed, shown)
            evaluations[live] = self.table.fields(cohort.number)
            p = self.table.forming.get((cohort.number, self.table.blocks - 1))
            if p:
                exact = p == self.table.blocks
                error_estimate[live] = 0.0 if exact else self.error_estimate(p)[live]
                done[live] = exact | (error_estimate[live] <= self.options.tolerance)
        entry = Round(
            number=self.number,
            first=self.frozen.copy(),
            lengths=np.where(self.frozen < steps, steps, 0),
            changes=shown,
            slides=done * steps,
            evaluations=evaluations,
        )
        return entry, error_estimate

    def show(self, cohort: Cohort, observed: Floats, shown: Floats) -> None:
        """Enter what the beginnings of blocks changed by, and show it relative to their points' scale in `shown` (N, m)."""
        problem, columns = self.problem, cohort.columns
        scale = (problem.step_map.sigmas**2 + problem.sigma_data**2).sqrt().numpy() * self.root_size
        for b in range(1, self.table.blocks + 1):
            p = self.table.forming.get((cohort.number, b - 1))
            if p is not None:
                self.changes[p, b, columns] = observed[b, columns]
                if b < self.table.blocks:
                    begin = self.table.begins[b]
                    shown[begin, columns] = observed[b, columns] / scale[begin]

    @property
    def root_size(self) -> float:
        return math.sqrt(torch.Size(self.problem.shape).numel())

    def error_estimate(self, p: int) -> Floats:
        """Return the estimated error (m,) of U^p at the end, relative to sigma_data: sums of what the blocks' beginnings
        changed by."""
        total = np.zeros(len(self.frozen))
        for b in range(max(p, 1), self.table.blocks):
            total += self.coarse[b].weight * self.changes[p, b]
        return total / (self.problem.sigma_data * self.root_size)

    def move_on(self, slides: Integers) -> None:
        for cohort in self.live_cohorts:
            done = slides[cohort.columns] > 0
            if done.any():
                self.finish(cohort, done)
            cohort.number += 1

    def finish(self, cohort: Cohort, done: np.ndarray) -> None:
        """Leave finished members out, and bring their fields to rank 0."""
        last = self.table.blocks - 1
        ended = np.stack([np.flatnonzero(done), cohort.columns[done]])
        source, (chosen, columns) = self.owner(last), torch.from_numpy(ended).to(self.fields.device, non_blocking=True)
        if source == self.group.rank == 0:
            self.fields[columns] = cohort.ends[last][chosen]
        elif self.group.rank == source:
            self.group.exchange([(0, cohort.ends[last][chosen].contiguous())], [])
        elif self.group.rank == 0:
            buffer = self.fields[columns].clone()
            self.group.exchange([], [(source, buffer)])
            self.fields[columns] = buffer
        self.frozen[cohort.columns[done]] = self.problem.steps
        cohort.keep(cohort.live[~done[cohort.live]])

    # ------------------------------------------------------------------ state

    def state(self) -> EngineState:
        members, numbers = len(self.frozen), torch.ones(len(self.frozen), dtype=torch.float64)
        fields: dict[str, PointRows] = {}
        for cohort in self.live_cohorts:
            numbers[cohort.index] = float(cohort.number)
            for name, kept in cohort.state().items():
                whole = kept.rows.new_zeros((len(kept.rows), members, *kept.rows.shape[2:]))
                fields.setdefault(name, PointRows(whole, np.zeros(members, np.int64)))
                fields[name].rows[:, cohort.index] = kept.rows
                fields[name].begin[cohort.columns] = kept.begin
        own = {
            "first": torch.tensor(self.frozen, dtype=torch.float64), "next_round": numbers, "result": self.fields,
            "changes": torch.tensor(np.moveaxis(self.changes, 2, 0)),
        }  # fmt: skip
        return EngineState(np.ones(members, np.bool_), fields, {**own, **self.history.state()})

    def span(self, name: str, numbers: dict[str, Tensor]) -> PointRanges | None:
        key = key_of(name)
        if key[1] not in self.own:
            return None
        kept = [self.table.kept(key[1], int(number)).get(key, range(0)) for number in numbers["next_round"]]
        return np.array([points.start for points in kept]), np.array([points.stop for points in kept])

    def load(self, state: EngineState) -> None:
        self.history.load(state.numbers)
        self.frozen, numbers = state.integers("first"), state.integers("next_round")
        self.fields = state.numbers["result"].to(self.fields).clone()
        self.changes = np.moveaxis(state.numbers["changes"].numpy(), 0, 2).copy()
        unfinished = self.frozen < self.problem.steps
        rounds = np.unique(numbers[unfinished]).tolist()
        self.cohorts = [self.cohort(np.flatnonzero(unfinished & (numbers == number)), number) for number in rounds]
        for cohort in self.cohorts:
            cohort.load(state)


def enter(table: Floats, columns: Integers, numbers: Floats) -> None:
    """Enter numbers (k,) of columns into a table (m,)."""
    table[columns] = numbers
