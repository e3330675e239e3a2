"""Two halves of a group's members, whose rounds alternate: the network evaluates fields of one while the other sweeps.

    network    A1  B1  A2  B2  A3  ...
    rank           a1  b1  a2  b2  ...          sweep, scan, verdict of the same rounds

Members' windows are independent, so that each half is an engine of its own; all ranks of the group take the steps of both in
the same order, and messages find one another by it. To others the two are one engine: a round is one of each half, numbers of
members come in their order, and what is kept of members says nothing of halves.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from parampi.diffusion.batched import BatchedDenoiser
from parampi.engine.base import Engine, RoundEngine
from parampi.engine.call_under_way import CallUnderWay
from parampi.engine.history import COUNTS, Integers, Round
from parampi.engine.options import EngineOptions
from parampi.engine.problem import SamplingProblem
from parampi.engine.state import EngineState, PointRows
from parampi.errors import NonFiniteError
from parampi.parallel import Group, PointRanges

HalfEngine = Callable[[SamplingProblem, EngineOptions], RoundEngine]
"""Makes the engine of a part of the members."""
FIRST, SECOND = 0, 1


class AlternatingHalves(Engine):
    """An engine of two halves, the first of which has one member more where their number is odd.

    parts  columns of the members of each half
    calls  of each half, the network call of its next round where that has begun
    shown  of each half, its round as rank 0 has decided on it and not yet entered it here; there is at most one
    """

    def __init__(self, problem: SamplingProblem, group: Group, options: EngineOptions, make: HalfEngine):
        super().__init__(problem, group, options)
        count = len(problem.members)
        self.parts = slice(0, (count + 1) // 2), slice((count + 1) // 2, count)
        self.shown: tuple[list[Round], list[Round]] = ([], [])
        self.calls: list[CallUnderWay | None] = [None, None]
        network = problem.network.beside()
        self.halves = [make(part_of(problem, network, self.parts[k]), self.options_of(k)) for k in (FIRST, SECOND)]

    def options_of(self, k: int) -> EngineOptions:
        rounds = self.shown[k]
        return replace(self.options, overlap=False, watch=lambda entry, steps: rounds.append(entry))

    # ------------------------------------------------------------------ where members are

    @property
    def first(self) -> Integers:
        return np.concatenate([half.first for half in self.halves])

    @property
    def result(self) -> Tensor:
        return torch.cat([half.result for half in self.halves])

    @property
    def tail(self) -> Tensor:
        return torch.cat([half.tail for half in self.halves])

    # ------------------------------------------------------------------ rounds

    def advance(self) -> None:
        try:
            for k in (FIRST, SECOND):
                self.begin(k)
                self.begin(1 - k)
                self.conclude(k)
        except NonFiniteError:
            self.enter_halves()  # the other half may have finished members in this round
            raise
        self.enter_halves()

    def begin(self, k: int) -> None:
        """Begin the network call of a half's next round, unless it has begun, or the half is finished."""
        half = self.halves[k]
        if self.calls[k] is None and not half.finished:
            self.calls[k] = CallUnderWay(half.problem.network.queue, half.evaluate(half.collect()))

    def conclude(self, k: int) -> None:
        """Conclude the round of a half whose call has begun."""
        half, call = self.halves[k], self.calls[k]
        if call is None:
            return
        self.calls[k] = None
        half.move_on(half.judge(half.step(call.take())))
        before = self.parts[k].start
        self.finished_leads += [replace(lead, column=before + lead.column) for lead in half.finished_leads]
        half.finished_leads.clear()

    def enter_halves(self) -> None:
        """Enter the rounds that the halves have made as one, on rank 0."""
        if not any(self.shown):
            return
        pairs = zip(self.shown, self.halves, strict=True)
        entries = [rounds.pop() if rounds else without(half, self.number) for rounds, half in pairs]
        estimates = np.concatenate([half.history.error_estimate for half in self.halves])
        self.enter(joined(self.number, entries), estimates)
        for name in COUNTS:
            setattr(self.history, name, np.concatenate([getattr(half.history, name) for half in self.halves]))
        for half in self.halves:
            half.history.log.clear()

    # ------------------------------------------------------------------ state

    def state(self) -> EngineState:
        states = [half.state() for half in self.halves]
        names = sorted({name for state in states for name in state.fields})
        sizes = [part.stop - part.start for part in self.parts]
        return EngineState(
            np.concatenate([state.begun for state in states]),
            {name: side_by_side([state.fields.get(name) for state in states], sizes) for name in names},
            {name: torch.cat([state.numbers[name] for state in states]) for name in states[0].numbers},
        )

    def span(self, name: str, numbers: dict[str, Tensor]) -> PointRanges | None:
        spans = [
            half.span(name, {key: values[part] for key, values in numbers.items()})
            for half, part in zip(self.halves, self.parts, strict=True)
        ]
        if all(span is None for span in spans):
            return None
        nothing = [np.zeros(part.stop - part.start, np.int64) for part in self.parts]
        begins, ends = zip(*(span or (none, none) for span, none in zip(spans, nothing, strict=True)), strict=True)
        return np.concatenate(begins), np.concatenate(ends)

    def load(self, state: EngineState) -> None:
        self.history.load(state.numbers)
        self.calls = [None, None]
        for half, part in zip(self.halves, self.parts, strict=True):
            begun = state.begun[part]
            if begun.any():
                fields = {name: PointRows(kept.rows[:, part], kept.begin[part]) for name, kept in state.fields.items()}
                half.load(EngineState(begun, fields, {name: values[part] for name, values in state.numbers.items()}))


def part_of(problem: SamplingProblem, network: BatchedDenoiser, part: slice) -> SamplingProblem:
    """Return the problem of a part of the members."""
    conditions, leads = problem.conditions, problem.leads
    return replace(
        problem,
        network=network,
        members=problem.members[part],
        conditions=None if conditions is None else conditions[part],
        leads=None if leads is None else replace(leads, start=leads.start[part]),
    )


def without(half: Engine, number: int) -> Round:
    """Return a round in which a half did nothing."""
    nothing = np.zeros(len(half.first), np.int64)
    return Round(number, half.first.copy(), nothing, np.zeros((0, len(nothing))), nothing, nothing)


def joined(number: int, entries: list[Round]) -> Round:
    """Return rounds of different members as one; windows of the members of one may have fewer positions."""
    longest = max(len(entry.changes) for entry in entries)
    changes = [np.pad(entry.changes, ((0, longest - len(entry.changes)), (0, 0))) for entry in entries]
    first, lengths, slides, evaluations = (
        np.concatenate([getattr(entry, name) for entry in entries]) for name in ("first", "lengths", "slides", "evaluations")
    )
    return Round(number, first, lengths, np.concatenate(changes, axis=1), slides, evaluations)


def side_by_side(several: list[PointRows | None], members: list[int]) -> PointRows:
    """Return a field's rows of different members beside one another; 0 where fewer are held of some, or none (None)."""
    kept = [one for one in several if one is not None]
    count, like = max(len(one.rows) for one in kept), kept[0].rows
    rows, begins = list[Tensor](), list[Integers]()
    for one, size in zip(several, members, strict=True):
        whole = like.new_zeros((count, size, *like.shape[2:]))
        if one is not None:
            whole[: len(one.rows)] = one.rows
        rows.append(whole)
        begins.append(np.zeros(size, np.int64) if one is None else one.begin)
    return PointRows(torch.cat(rows, dim=1), np.concatenate(begins))
