"""Histories of residuals of the members of all groups, as far as a report has room for them, on rank 0."""

from collections.abc import Mapping

import numpy as np
import torch

from parampi.parallel import Group
from parampi.report import Residuals

ROOM = 1 << 19
"""Residuals of other groups that a report takes up; those of rank 0's own group are always in it."""
Histories = Mapping[int, list[Residuals]]


def gather_residuals(own: Histories, everyone: Group) -> dict[int, list[Residuals]]:
    """Return, on rank 0, its own histories and those of other ranks, rank by rank, until a rank's no longer fit. Every rank
    makes the same call; those that drive no group have none."""
    packed = pack(own)
    sizes = np.zeros(everyone.size, np.int64)
    sizes[everyone.rank] = len(packed)
    sizes = everyone.broadcast(everyone.sum_to_root(sizes))
    sizes[0] = 0
    senders = np.flatnonzero((sizes > 0) & (np.cumsum(sizes) <= ROOM)).tolist()
    histories = dict(own)
    for rank in senders:
        if everyone.rank == rank:
            everyone.exchange([(0, torch.from_numpy(packed))], [])
        elif everyone.rank == 0:
            arrived = torch.empty(int(sizes[rank]), dtype=torch.float64)
            everyone.exchange([], [(rank, arrived)])
            histories |= unpack(arrived.numpy())
    return histories if everyone.rank == 0 else dict(own)


def pack(histories: Histories) -> np.ndarray:
    """Return member, round, first point, number of changes, and changes, one round after another."""
    numbers = [
        number
        for member, rounds in histories.items()
        for entry in rounds
        for number in (member, entry.round, entry.first, len(entry.changes), *entry.changes)
    ]
    return np.array(numbers, np.float64)


def unpack(numbers: np.ndarray) -> dict[int, list[Residuals]]:
    histories: dict[int, list[Residuals]] = {}
    start = 0
    while start < len(numbers):
        member, number, first, count = map(int, numbers[start : start + 4])
        changes = numbers[start + 4 : start + 4 + count].tolist()
        histories.setdefault(member, []).append(Residuals(number, first, changes))
        start += 4 + count
    return histories
