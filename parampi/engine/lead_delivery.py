"""Deliver lead times as they are finished: to a sink on rank 0, or on the rank that drives a group."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from parampi.engine.base import Engine
from parampi.engine.delivery import FirstError
from parampi.engine.lead_log import FinishedLead
from parampi.errors import UserError
from parampi.parallel import Group, Layout, Post
from parampi.report import MemberReport

FACTS = 7
"""Member, lead time, rounds, evaluations, residual, error, bistable."""
END = -1.0
"""In the place of a member: its group has no more lead times to send."""


@dataclass
class LeadDelivery:
    """Way of finished lead times of one batch of members. Where rank 0 hands them to the sink, groups post theirs to it, and it
    takes them between its own rounds; nobody waits for anybody until the end, and only a few are on their way.

    storing    the sink, used until it fails
    record     takes the reports, on rank 0
    post       None where there is one group
    on_groups  whether ranks that drive groups hand lead times to their own sinks
    """

    everyone: Group
    layout: Layout
    like: Tensor
    storing: FirstError
    record: Callable[[MemberReport], None]
    post: Post | None
    on_groups: bool
    ended: set[int] = field(default_factory=set)

    @property
    def group(self) -> int:
        return self.layout.group(self.everyone.rank)

    @property
    def drives(self) -> bool:
        return self.everyone.rank == self.layout.leader(self.group)

    @property
    def error(self) -> UserError | None:
        return self.storing.error

    def after_round(self, engine: Engine) -> None:
        """Hand on the lead times that an engine has finished, and take those of other groups."""
        for lead in engine.finished_leads:
            self.deliver(lead, int(engine.problem.members[lead.column]))
        engine.finished_leads.clear()
        self.collect()

    def deliver(self, lead: FinishedLead, member: int) -> None:
        """Hand on a lead time that this rank's group has finished, on the rank that drives it."""
        costs = lead.rounds, lead.evaluations, lead.residual, lead.error_estimate, lead.bistable
        facts = torch.tensor([member, lead.lead, *costs], dtype=torch.float64)
        if self.everyone.rank == 0 or self.on_groups:
            self.storing.take(lead.field, lead_report(facts))
        if self.everyone.rank == 0:
            self.record(lead_report(facts))
        else:
            self.send(facts, None if self.on_groups else lead.field)

    def send(self, facts: Tensor, drawn: Tensor | None = None) -> None:
        assert self.post is not None
        self.post.send(0, facts)
        if drawn is not None:
            self.post.send(0, drawn.to(self.like).contiguous())

    def collect(self) -> None:
        """Take what other groups have posted, on rank 0."""
        if self.post is not None and self.everyone.rank == 0:
            while (rank := self.post.waiting(block=False)) is not None:
                self.take(rank)

    def take(self, rank: int) -> None:
        assert self.post is not None
        facts = torch.empty(FACTS, dtype=torch.float64)
        self.post.take(rank, facts)
        if facts[0] == END:
            self.ended.add(rank)
            return
        if not self.on_groups:
            drawn = torch.empty_like(self.like)
            self.post.take(rank, drawn)
            self.storing.take(drawn, lead_report(facts))
        self.record(lead_report(facts))

    def close(self) -> bool:
        """Send all that is left, and on rank 0 take all that the others send; returns whether a lead time could not be stored
        on this rank."""
        if self.post is not None and self.drives and self.everyone.rank > 0:
            self.send(torch.full((FACTS,), END, dtype=torch.float64))
            self.post.finish()
        elif self.post is not None and self.everyone.rank == 0:
            while len(self.ended) < self.layout.groups - 1:
                rank = self.post.waiting(block=True)
                assert rank is not None
                self.take(rank)
        return self.error is not None


def lead_report(facts: Tensor) -> MemberReport:
    member, lead, rounds, evaluations = (int(number) for number in facts[:4])
    residual, error, bistable = map(float, facts[4:])
    return MemberReport(member, rounds, evaluations, residual, error, "converged", lead=lead, bistable=bistable)
