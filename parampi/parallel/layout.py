"""Owners: members over groups of ranks, and a window's points over the ranks of a group."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parampi.errors import ConfigError

Integers = NDArray[np.int64]
Ranks = int | Integers
"""One rank, or an array (r, 1) of ranks."""


def split(items: int, parts: int, part: int) -> range:
    """Return a share of `range(items)` of `parts` contiguous ones; sizes differ by one at most, the larger ones come first."""
    size, larger = divmod(items, parts)
    start = part * size + min(part, larger)
    return range(start, start + size + (part < larger))


@dataclass(frozen=True)
class Layout:
    """Members x time. `ranks` are cut into `ranks / time_ranks` groups of neighbours; each group draws its share of the
    members, and inside it each rank owns a contiguous slice of every window's points."""

    ranks: int
    members: int
    time_ranks: int

    def __post_init__(self) -> None:
        if self.members < 1:
            raise ConfigError(f"members = {self.members}; draw at least one member")
        if self.time_ranks < 1 or self.ranks % self.time_ranks:
            allowed = ", ".join(str(t) for t in range(1, self.ranks + 1) if self.ranks % t == 0)
            raise ConfigError(
                f"time_ranks = {self.time_ranks} does not divide the number of ranks, {self.ranks}; choose one of {allowed} "
                "(parallel.time_ranks of a configuration)"
            )
        if self.groups > self.members:
            raise ConfigError(
                f"time_ranks = {self.time_ranks} makes {self.groups} groups of ranks but there are only {self.members} members "
                f"to draw; leave time_ranks out, or start fewer ranks"
            )

    @classmethod
    def plan(cls, ranks: int, members: int, time_ranks: int | None = None) -> "Layout":
        """Return a layout, members first: the fewest ranks per member that leave no rank without work, or `time_ranks`."""
        if time_ranks is None:
            fitting = (t for t in range(1, ranks + 1) if ranks % t == 0 and ranks // t <= max(members, 1))
            time_ranks = next(fitting)
        return cls(ranks, members, time_ranks)

    @property
    def groups(self) -> int:
        return self.ranks // self.time_ranks

    def group(self, rank: int) -> int:
        return rank // self.time_ranks

    def leader(self, group: int) -> int:
        """Return the rank that drives a group."""
        return group * self.time_ranks

    def share(self, group: int) -> range:
        """Return positions, in the list of members to draw, of those that a group draws."""
        return split(self.members, self.groups, group)

    def describe(self) -> str:
        ranks = f"{self.ranks} rank{'s' * (self.ranks > 1)}"
        groups = f"{self.groups} group{'s' * (self.groups > 1)} of {self.time_ranks}"
        most = len(self.share(0))
        even = "" if self.members % self.groups == 0 else " at most"
        return f"{ranks} = {groups} along time; {self.members} member{'s' * (self.members > 1)}, {most} per group{even}"


@dataclass(frozen=True)
class Slices:
    """Contiguous slices of the positions 0 ... points - 1 of a window, one per rank; if points < ranks, the last have none.

    Position p of a window whose frozen point is `first` is the step from point `first + p` to point `first + p + 1`. A rank
    with positions a ... b - 1 evaluates the network at points a ... b - 1 and computes points a + 1 ... b.
    """

    points: int
    ranks: int

    def of(self, rank: int) -> range:
        return split(self.points, self.ranks, rank)

    def bounds(self, rank: Ranks) -> tuple[Ranks, Ranks]:
        """Return begin and end of the positions of a rank, or of each of an array of ranks."""
        size, larger = divmod(self.points, self.ranks)
        return rank * size + np.minimum(rank, larger), (rank + 1) * size + np.minimum(rank + 1, larger)

    def owner(self, position: int) -> int:
        """Return the rank that has a position, 0 ... points - 1."""
        size, larger = divmod(self.points, self.ranks)
        wide = larger * (size + 1)
        return position // (size + 1) if position < wide else larger + (position - wide) // size

    @property
    def active_ranks(self) -> int:
        """Ranks that own at least one position; they come first."""
        return min(self.points, self.ranks)
