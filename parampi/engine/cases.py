"""Conditions of members by their cases: read for a batch of members, prepared once per case, and passed to who needs them."""

import json
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from parampi.engine.case_hooks import CaseHooks
from parampi.errors import ConfigError
from parampi.parallel import Group, Layout
from parampi.parallel.agree import on_all

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

ConditionFunction = Callable[[list[int]], Tensor]
"""Returns the conditions (m, ...) of m members, by their numbers."""
CaseFunction = Callable[[int], Hashable]
"""Returns the case that a member is of, by its number. Members of a case have one condition."""
Batch = Sequence[Sequence[int]]
"""Member numbers of every group of ranks."""


class Cases:
    """Conditions of the members of one batch after another, as one rank has them; all ranks enter each batch at once.

    A case is prepared by the rank that drives the first group with members of it, and sent to the others that have some. It is
    kept until the last batch that has members of it.
    """

    def __init__(
        self,
        hooks: CaseHooks,
        condition: ConditionFunction | None,
        case_of: CaseFunction | None,
        *,
        batches: Sequence[Batch],
        layout: Layout,
        comm: "Comm | None",
        device: torch.device,
    ):
        self.hooks, self.condition, self.layout, self.comm, self.device = hooks, condition, layout, comm, device
        self.batches, self.case_of = batches, case_of or (lambda number: number)
        self.rank = 0 if comm is None else comm.Get_rank()
        self.read_up_to = self.entered = -1
        self.rows: dict[int, Tensor] = {}
        self.kept: dict[Hashable, tuple[Tensor, ...]] = {}
        self.holders: dict[Hashable, list[int]] = {}
        self.last = {self.case_of(n): k for k, batch in enumerate(batches) for group in batch for n in group}

    def read(self, k: int) -> None:
        """Read the conditions of this rank's members of a batch; its group calls it alike. Raises ConfigError unless there is
        one for each."""
        mine = list(self.batches[k][self.layout.group(self.rank)])
        if self.condition is not None and k > self.read_up_to:
            rows = list(checked(self.condition(mine), len(mine)).to(self.device)) if mine else []
            self.rows, self.read_up_to = dict(zip(mine, rows, strict=True)), k

    def enter(self, k: int, group: Group) -> None:
        """Read the conditions of a batch's members, and prepare those of its cases. Raises ConfigError on all ranks where one
        cannot be prepared."""
        self.read(k)
        if self.hooks.prepare is None or k == self.entered:
            return
        self.entered = k
        for case in [case for case in self.kept if self.last[case] < k]:
            del self.kept[case]
        users = self.users(k)
        new = {case: groups[0] for case, groups in users.items() if case not in self.holders}
        on_all(self.comm, lambda: self.make(new))
        for case, groups in users.items():
            self.pass_on(case, groups, group, case in new)

    def users(self, k: int) -> dict[Hashable, list[int]]:
        """Return the groups that have members of each case of a batch."""
        users: dict[Hashable, list[int]] = {}
        for group, numbers in enumerate(self.batches[k]):
            for case in dict.fromkeys(map(self.case_of, numbers)):
                users.setdefault(case, []).append(group)
        return users

    def make(self, new: dict[Hashable, int]) -> None:
        """Prepare the cases of groups that this rank drives."""
        members = {self.case_of(number): row for number, row in self.rows.items()}
        for case, group in new.items():
            if self.rank == self.layout.leader(group):
                parts = self.hooks.prepared(members[case][None])
                self.kept[case] = tuple(part.to(self.device) for part in parts)

    def pass_on(self, case: Hashable, groups: list[int], group: Group, new: bool) -> None:
        """Give a case that is prepared to the other ranks of groups that have members of it; all ranks call it alike."""
        holders = self.holders.setdefault(case, groups[:1])
        mine, others = self.layout.group(self.rank), [one for one in groups if one not in holders]
        if others and self.comm is not None:
            root, comm = self.layout.leader(holders[0]), self.comm
            parts = share(self.kept.get(case) if self.rank == root else None, root_broadcast(comm, root), self.device)
            holders += others
            if mine in groups:
                self.kept[case] = parts
        elif new and mine == holders[0] and group.size > 1:
            self.kept[case] = share(self.kept.get(case) if group.rank == 0 else None, group.broadcast, self.device)

    def prepared(self, number: int) -> tuple[Tensor, ...] | None:
        """Return what was made of a member's condition; None where there is none."""
        if self.condition is None:
            return None
        return (self.rows[number][None],) if self.hooks.prepare is None else self.kept[self.case_of(number)]

    def conditions(self, numbers: Sequence[int]) -> Tensor | None:
        """Return what the network reads of members (m, ...); None for nothing."""
        parts = [self.prepared(number) for number in numbers]
        return None if self.condition is None else torch.cat([part[0] for part in parts if part is not None])

    def finished(self, fields: Tensor, numbers: Sequence[int], done: Sequence[bool]) -> Tensor:
        """Return fields (m, *shape) of members as they are kept, where they are `done`."""
        if self.hooks.finish is None:
            return fields
        made = zip(fields, numbers, done, strict=True)
        return torch.stack([self.hooks.finished(x, self.prepared(n)) if d else x for x, n, d in made])


def share(
    parts: tuple[Tensor, ...] | None, broadcast: Callable[[np.ndarray], np.ndarray], device: torch.device
) -> tuple[Tensor, ...]:
    """Return the root's tensors on every rank, bit by bit; `parts` is None elsewhere, and `broadcast` works in place."""
    kinds = json.dumps([[str(p.dtype).removeprefix("torch."), *p.shape] for p in parts or ()]).encode()
    size = int(broadcast(np.array([len(kinds)], np.int64))[0])
    header = np.frombuffer(kinds, np.uint8).copy() if parts is not None else np.empty(size, np.uint8)
    described = json.loads(broadcast(header).tobytes())
    received = []
    for place, (name, *shape) in enumerate(described):
        own = parts[place].detach().cpu().contiguous() if parts is not None else torch.empty(shape, dtype=getattr(torch, name))
        broadcast(own.reshape(-1).view(torch.uint8).numpy())
        received.append(own.to(device))
    return tuple(received)


def root_broadcast(comm: "Comm", root: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives a rank's numbers to all, in place."""

    def broadcast(numbers: np.ndarray) -> np.ndarray:
        comm.Bcast(numbers, root=root)
        return numbers

    return broadcast


def checked(conditions: Tensor, members: int) -> Tensor:
    """Return the conditions. Raises ConfigError unless there is one for each member."""
    if len(conditions) != members:
        raise ConfigError(
            f"condition gave {len(conditions)} conditions for {members} member{'s' * (members > 1)}; it must give one for each"
        )
    return conditions
