"""The way of finished members to who takes them: rank 0, one field at a time, or the rank that drives their group."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parampi.engine.blocks import Wavefront
from parampi.engine.windows import Engine
from parampi.errors import InterruptionError, NonFiniteError, OutputError, UserError
from parampi.parallel import Group, Layout
from parampi.report import MemberReport

MemberSink = Callable[[Tensor, MemberReport], None]
After = Callable[[Engine | Wavefront], bool]
Failure = NonFiniteError | InterruptionError | UserError
FACTS = 5  # finished, rounds, evaluations, residual, error
HEADER = 6  # what failed, member, point, sigma, round; rounds of the group
NOT_STORED = "a member could not be kept"
NOTHING, NETWORK, KEEPING, STOPPED = 0, 1, 2, 3


@dataclass(frozen=True)
class GroupResult:
    """What one group made of one batch: `header` (HEADER,), `facts` (m, FACTS), both float64, and `fields` (m, *shape)."""

    header: Tensor
    facts: Tensor
    fields: Tensor

    @classmethod
    def nothing(cls) -> "GroupResult":
        return cls(torch.zeros(HEADER, dtype=torch.float64), torch.zeros(0, FACTS, dtype=torch.float64), torch.zeros(0))

    @classmethod
    def run(cls, engine: Engine | Wavefront, after: After) -> "GroupResult":
        """Sweep to the end, to the first NaN, or until `after` says so, which is asked after each round; members that were
        finished by then count."""
        header = torch.zeros(HEADER, dtype=torch.float64)
        try:
            while not engine.finished:
                engine.advance()
                if after(engine):
                    header[0] = STOPPED
                    break
        except NonFiniteError as error:
            header[:5] = torch.tensor([NETWORK, error.member, error.point, error.sigma, error.round], dtype=torch.float64)
        account, finished = engine.account, engine.first == engine.chain.steps
        header[5] = account.group_rounds
        facts = np.stack([finished, account.rounds, account.evaluations, account.residual, account.error_estimate], axis=1)
        return cls(header, torch.from_numpy(facts.astype(np.float64)), engine.result)


def failure(header: np.ndarray) -> NonFiniteError | InterruptionError | OutputError | None:
    if header[0] == NOTHING:
        return None
    if header[0] == STOPPED:
        return InterruptionError("stopped between two rounds")
    if header[0] == KEEPING:
        return OutputError(NOT_STORED)
    return NonFiniteError(int(header[1]), int(header[2]), float(header[3]), int(header[4]))


def member_report(member: int, fact: Tensor) -> MemberReport:
    return MemberReport(member, int(fact[1]), int(fact[2]), float(fact[3]), float(fact[4]), "converged")


@dataclass
class FirstError:
    """`take` until it raises a UserError, which is remembered."""

    taking: MemberSink
    error: UserError | None = None

    def take(self, state: Tensor, member: MemberReport) -> None:
        if self.error is None:
            try:
                self.taking(state, member)
            except UserError as error:
                self.error = error


@dataclass(frozen=True)
class Collector:
    """`everyone` is all ranks; fields arrive as (*shape) of `dtype` on `device`. `spread`: they stay with the rank that drives
    their group, and only what is known of them goes to rank 0."""

    everyone: Group
    layout: Layout
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    spread: bool = False

    def collect(
        self, drawn: GroupResult, batches: list[list[int]], take: MemberSink, know: Callable[[MemberReport], None]
    ) -> tuple[np.ndarray, Failure | None]:
        """Hand every finished member of a batch to `take`, and what is known of it to `know` on rank 0; `batches` are the
        member numbers that each group drew.

        Returns the rounds (groups,) each group needed, on rank 0, and on every rank the first failure: of a group's network, or
        of `take` (a full disk, say), after which members are received but no longer taken.
        """
        rounds, verdict, trouble = np.zeros(self.layout.groups), np.zeros(HEADER), FirstError(take)
        group = self.layout.group(self.everyone.rank)
        leads = self.everyone.rank == self.layout.leader(group)
        if self.spread and leads:
            self.take_own(drawn, batches[group], trouble)
        if self.everyone.rank == 0:
            for other, ids in enumerate(batches):
                header = self.take_from(self.layout.leader(other), drawn, ids, trouble.take, know)
                rounds[other] = header[5]
                if header[0] == KEEPING or (header[0] and not verdict[0]):
                    verdict[:] = header
            if trouble.error:
                verdict[0] = KEEPING
        elif leads:
            self.send(drawn)
        everywhere = failure(self.everyone.broadcast(verdict))
        return rounds, trouble.error or everywhere

    def take_own(self, drawn: GroupResult, ids: list[int], trouble: FirstError) -> None:
        for k, number in enumerate(ids):
            if drawn.facts[k, 0]:
                trouble.take(drawn.fields[k], member_report(number, drawn.facts[k]))
        if trouble.error:
            drawn.header[0] = KEEPING

    def take_from(
        self, leader: int, drawn: GroupResult, ids: list[int], take: MemberSink, know: Callable[[MemberReport], None]
    ) -> np.ndarray:  # fmt: skip
        mine = leader == 0
        header = drawn.header if mine else self.receive(leader, (HEADER,))
        facts = drawn.facts if mine else self.receive(leader, (len(ids), FACTS))
        for k, number in enumerate(ids):
            if facts[k, 0]:
                know(member_report(number, facts[k]))
                if not self.spread:
                    take(drawn.fields[k] if mine else self.receive_field(leader), member_report(number, facts[k]))
        return header.numpy()

    def send(self, drawn: GroupResult) -> None:
        messages = [(0, drawn.header), (0, drawn.facts)]
        finished = zip(drawn.facts, drawn.fields, strict=True) if not self.spread else ()
        messages += [(0, field.contiguous()) for fact, field in finished if fact[0]]
        for message in messages:
            self.everyone.exchange([message], [])

    def receive(self, leader: int, shape: tuple[int, ...]) -> Tensor:
        buffer = torch.empty(shape, dtype=torch.float64)
        self.everyone.exchange([], [(leader, buffer)])
        return buffer

    def receive_field(self, leader: int) -> Tensor:
        buffer = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        self.everyone.exchange([], [(leader, buffer)])
        return buffer
