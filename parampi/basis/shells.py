"""Groups of modes: weighted sums over each, and values for all modes from values per group, in a fixed order of summation."""

from copy import copy
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from parampi.basis.base import Device
from parampi.basis.rows import by_blocks

F64 = torch.float64
BRANCH = 16  # values added in one level of the tree


class Shells:
    """Sums over shells whose bits depend on nothing but the row itself.

    On a CPU every row is added up mode by mode, in their order; elsewhere, where additions to one place have no order, by a
    fixed tree of element-wise additions. The two differ in the last bits.
    """

    def __init__(self, shell: Tensor, weight: Tensor, count: int):
        """`shell` (M,) int64 in 0 ... count - 1, none of them empty; `weight` (M,) float64."""
        self.modes, self.count = len(shell), count
        # Neighbours that belong together, real and imaginary parts above all, are added first: half the look-ups.
        self.paired = bool(self.modes % 2 == 0 and (shell[::2] == shell[1::2]).all() and (weight[::2] == weight[1::2]).all())
        step = 2 if self.paired else 1
        self.shell, self.weight = shell[::step].clone(), weight[::step].to(F64, copy=True)
        self.owner = shell  # of every mode
        self.table = self.shell  # stays where it is: the tree is made of it

    def to(self, device: Device) -> Self:
        moved = copy(self)
        moved.shell, moved.weight, moved.owner = self.shell.to(device), self.weight.to(device), self.owner.to(device)
        moved.__dict__.pop("levels", None)
        return moved

    @cached_property
    def levels(self) -> list[tuple[Tensor, Tensor]]:
        """The tree, on the device of the shells."""
        device = self.shell.device
        return [
            (index.to(device, non_blocking=True), valid.to(device, non_blocking=True))
            for index, valid in tree(self.table, self.count)
        ]

    def sums(self, values: Tensor) -> Tensor:
        """Return the weighted sums (R, S), float64, of values (R, M)."""
        add = self.in_order if values.device.type == "cpu" else self.by_tree
        return by_blocks(lambda rows: add(self.weighted(rows)), values, (self.count,), F64)

    def weighted(self, rows: Tensor) -> Tensor:
        rows, weight = rows.to(F64), self.weight.to(rows.device)
        return (rows[:, 0::2] + rows[:, 1::2]).mul_(weight) if self.paired else rows * weight

    def in_order(self, weighted: Tensor) -> Tensor:
        count = weighted.shape[0]
        return weighted.new_zeros(count, self.count).scatter_add_(1, self.shell.expand(count, -1), weighted)

    def by_tree(self, weighted: Tensor) -> Tensor:
        zero = weighted.new_zeros(())
        for index, valid in self.levels:
            index, valid = index.to(weighted.device), valid.to(weighted.device)
            taken = torch.gather(weighted, 1, index.flatten().expand(len(weighted), -1))
            weighted = halve(torch.where(valid.flatten(), taken, zero), len(index))
        return weighted

    def spread(self, per_shell: Tensor) -> Tensor:
        """Return the shells' values (R, S) at their modes, (R, M)."""
        return torch.gather(per_shell, 1, self.owner.to(per_shell.device).expand(per_shell.shape[0], -1))


def halve(values: Tensor, branch: int) -> Tensor:
    """Return sums of (R, branch * K) over the branch, a power of two, (R, K): first half plus second half until one is left."""
    while branch > 1:
        middle, branch = values.shape[1] // 2, branch // 2
        values = values[:, :middle] + values[:, middle:]
    return values


def tree(shell: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """Return the levels of the tree until K is the number of shells: indices (branch, K) of what is added, and whether each is
    valid."""
    levels: list[tuple[Tensor, Tensor]] = []
    owner = shell
    while not levels or len(owner) > count:
        index, valid, owner = level(owner, count)
        levels.append((index, valid))
    return levels


def level(owner: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return each shell's values, in their order, in K groups of up to BRANCH: indices, validity, and the groups' shells
    (K,)."""
    sizes = torch.bincount(owner, minlength=count)
    branch = min(BRANCH, 1 << (int(sizes.max()) - 1).bit_length())
    groups = (sizes + branch - 1) // branch
    order = torch.argsort(owner, stable=True)
    place = torch.arange(len(owner)) - (sizes.cumsum(0) - sizes)[owner[order]]
    group = (groups.cumsum(0) - groups)[owner[order]] + place // branch
    index = torch.zeros(branch, int(groups.sum()), dtype=torch.int64)
    valid = torch.zeros_like(index, dtype=torch.bool)
    index[place % branch, group], valid[place % branch, group] = order, True
    return index, valid, torch.repeat_interleave(torch.arange(count), groups)
