"""Deliver the members that groups have finished: to rank 0, one field at a time, or to the rank that drives their group."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parampi.engine.base import Engine
from parampi.errors import InterruptionError, NonFiniteError, OutputError, UserError
from parampi.parallel import Group, Layout
from parampi.report import MemberReport

MemberSink = Callable[[Tensor, MemberReport], None]
"""Receives a finished member: its field (*shape) and its report."""
Failure = NonFiniteError | InterruptionError | UserError
FACTS = 6  # finished, rounds, evaluations, residual, error, bistable
HEADER = 7  # what failed, member, point, sigma, round, lead time + 1 or 0; rounds of the group
NOT_STORED = "a member could not be kept"
NOTHING, NETWORK, STORING, STOPPED = 0, 1, 2, 3


@dataclass(frozen=True)
class GroupResult:
    """One group's part of one batch: `header` (HEADER,), `facts` (m, FACTS), both float64, and `fields` (m, *shape)."""

    header: Tensor
    facts: Tensor
    fields: Tensor

    @classmethod
    def nothing(cls) -> "GroupResult":
        return cls(torch.zeros(HEADER, dtype=torch.float64), torch.zeros(0, FACTS, dtype=torch.float64), torch.zeros(0))

    @classmethod
    def run(
        cls, engine: Engine, stops_after: Callable[[Engine], bool] | None, after_round: Callable[[Engine], None] | None = None
    ) -> "GroupResult":
        """Advance an engine to the end, to the first NaN, or until `stops_after`, called after each round, says so. Members
        that are finished by then count, unless `after_round` has delivered them already, lead time by lead time."""
        header = torch.zeros(HEADER, dtype=torch.float64)
        try:
            while not engine.finished:
                engine.advance()
                if after_round:
                    after_round(engine)
                if stops_after and stops_after(engine):
                    header[0] = STOPPED
                    break
        except NonFiniteError as error:
            lead = 0 if error.lead is None else error.lead + 1
            numbers = NETWORK, error.member, error.point, error.sigma, error.round, lead
            header[:6] = torch.tensor(numbers, dtype=torch.float64)
            if after_round:  # other members may have finished lead times in this round
                after_round(engine)
        history, finished = engine.history, (engine.first == engine.problem.steps) & (after_round is None)
        header[6] = history.group_rounds
        costs = history.rounds, history.evaluations, history.residual, history.error_estimate, history.bistable
        facts = np.stack([finished, *costs], axis=1)
        return cls(header, torch.from_numpy(facts.astype(np.float64)), engine.result)


def failure_of(header: np.ndarray) -> NonFiniteError | InterruptionError | OutputError | None:
    """Return the exception that a header stands for."""
    if header[0] == NOTHING:
        return None
    if header[0] == STOPPED:
        return InterruptionError("stopped between two rounds")
    if header[0] == STORING:
        return OutputError(NOT_STORED)
    lead = int(header[5]) - 1 if header[5] else None
    return NonFiniteError(int(header[1]), int(header[2]), float(header[3]), int(header[4]), lead)


def member_report(member: int, facts: Tensor) -> MemberReport:
    rounds, evaluations = int(facts[1]), int(facts[2])
    residual, error, bistable = map(float, facts[3:])
    return MemberReport(member, rounds, evaluations, residual, error, "converged", bistable=bistable)


@dataclass
class FirstError:
    """A member sink that is used until it raises a UserError, which is remembered."""

    sink: MemberSink
    error: UserError | None = None

    def take(self, field: Tensor, member: MemberReport) -> None:
        if self.error is None:
            try:
                self.sink(field, member)
            except UserError as error:
                self.error = error


@dataclass(frozen=True)
class Delivery:
    """Way of finished members to a sink on rank 0, or with `on_groups` on the rank that drives their group, so that only their
    reports go to rank 0. `everyone` is all ranks; fields arrive as (*shape) of `dtype` on `device`."""

    everyone: Group
    layout: Layout
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    on_groups: bool = False

    def deliver(
        self, result: GroupResult, batch: list[list[int]], sink: MemberSink, record: Callable[[MemberReport], None]
    ) -> tuple[np.ndarray, Failure | None]:
        """Hand every finished member of a batch, the member numbers of each group, to `sink`, and on rank 0 its report to
        `record`.

        Returns the rounds (groups,) each group needed, on rank 0, and on every rank the first failure: of a group's network, or
        of the sink (a full disk, say), after which members are received but no longer handed on.
        """
        rounds, verdict, storing = np.zeros(self.layout.groups), np.zeros(HEADER), FirstError(sink)
        group = self.layout.group(self.everyone.rank)
        drives = self.everyone.rank == self.layout.leader(group)
        if self.on_groups and drives:
            self.keep_own(result, batch[group], storing)
        if self.everyone.rank == 0:
            for other, members in enumerate(batch):
                leader = self.layout.leader(other)
                header = self.receive(leader, result, members, sink=storing.take, record=record)
                rounds[other] = header[6]
                if header[0] == STORING or (header[0] and not verdict[0]):
                    verdict[:] = header
            if storing.error:
                verdict[0] = STORING
        elif drives:
            self.send(result)
        failure = failure_of(self.everyone.broadcast(verdict))
        return rounds, storing.error or failure

    def keep_own(self, result: GroupResult, members: list[int], storing: FirstError) -> None:
        """Hand this group's own members to the sink."""
        for k, number in enumerate(members):
            if result.facts[k, 0]:
                storing.take(result.fields[k], member_report(number, result.facts[k]))
        if storing.error:
            result.header[0] = STORING

    def receive(
        self,
        leader: int,
        result: GroupResult,
        members: list[int],
        *,
        sink: MemberSink,
        record: Callable[[MemberReport], None],
    ) -> np.ndarray:
        """Receive one group's part on rank 0; returns its header."""
        own = leader == 0
        header = result.header if own else self.receive_numbers(leader, (HEADER,))
        facts = result.facts if own else self.receive_numbers(leader, (len(members), FACTS))
        for k, number in enumerate(members):
            if facts[k, 0]:
                record(member_report(number, facts[k]))
                if not self.on_groups:
                    sink(result.fields[k] if own else self.receive_field(leader), member_report(number, facts[k]))
        return header.numpy()

    def send(self, result: GroupResult) -> None:
        """Send this group's part to rank 0."""
        messages = [(0, result.header), (0, result.facts)]
        finished = zip(result.facts, result.fields, strict=True) if not self.on_groups else ()
        messages += [(0, field.contiguous()) for facts, field in finished if facts[0]]
        for message in messages:
            self.everyone.exchange([message], [])

    def receive_numbers(self, leader: int, shape: tuple[int, ...]) -> Tensor:
        buffer = torch.empty(shape, dtype=torch.float64)
        self.everyone.exchange([], [(leader, buffer)])
        return buffer

    def receive_field(self, leader: int) -> Tensor:
        buffer = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        self.everyone.exchange([], [(leader, buffer)])
        return buffer
