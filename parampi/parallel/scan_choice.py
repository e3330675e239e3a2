"""Which way a scan over ranks takes in `fast` mode, and what it sends.

    doubling      L messages of d numbers, one after another,           L = ceil(log2 P)
    transposed    2 (P - 1) messages of d / P numbers

d counts the numbers of the K fields of all members. The choice is made of P, d, the slopes and the dtype, which are the same on
all ranks and when a run goes on; a latency that is measured is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

MESSAGE = 25_000
"""Bytes that take as long as a message takes before its first byte: 5 us at 5 GB/s."""


@dataclass(frozen=True)
class Sent:
    """Messages and bytes that a rank sends in a scan; the rank that sends most."""

    messages: int
    bytes: int

    @property
    def cost(self) -> int:
        """Bytes, with messages for as many as they are worth."""
        return self.messages * MESSAGE + self.bytes


@dataclass(frozen=True)
class ScanSize:
    """Size of a scan over ranks.

    taps     fields that a step reads, K
    members, field  numbers of members, and of the field of one
    slopes   how many numbers the slopes of a step and tap are, and `within` whether they differ within a field
    item     bytes of a number
    """

    ranks: int
    taps: int
    members: int
    field: int
    slopes: int
    within: bool
    item: int

    @classmethod
    def of(cls, slopes: Tensor, fields: Sequence[int], ranks: int) -> "ScanSize":
        """Return the size of a scan of slopes (K, n, m or 1, ...) and fields of a shape (m, ...)."""
        members, *field = fields
        numbers, within = prod(slopes.shape[2:]), prod(slopes.shape[3:]) > 1
        if within:
            numbers = slopes.shape[2] * prod(field)
        return cls(ranks, len(slopes), members, prod(field), numbers, within, slopes.element_size())

    @property
    def values(self) -> int:
        """Bytes of the K fields of all members."""
        return self.taps * self.members * self.field * self.item

    @property
    def matrices(self) -> int:
        """Bytes of the slopes of a map of K fields to the next K."""
        return self.taps**2 * self.slopes * self.item

    def doubling(self, *, again: bool = False) -> Sent:
        """Return what doubling sends, the largest message over each distance; `again`: with slopes that are known. Maps that go
        over the longest distance take in what comes in to the whole scan, and need no slopes."""
        rounds = (self.ranks - 1).bit_length()
        slopes = 0 if again else max(rounds - 1, 0) * self.matrices
        return Sent(rounds, rounds * self.values + slopes)

    def transposed(self, *, again: bool = False) -> Sent:
        """Return what the transposed scan sends: the first rank all of its field but its own part, and this part to all others;
        ranks between the first and the last a part less, and their slopes."""
        parts, part = min(self.ranks, self.field), -(-self.field // self.ranks)
        numbers = self.field + (self.ranks - 2) * part
        slopes = 0.0 if again or self.ranks == 2 else self.matrices * (1 - 1 / self.ranks if self.within else parts - 1)
        return Sent(parts + self.ranks - 2, self.taps * self.members * numbers * self.item + round(slopes))

    @property
    def transposes(self) -> bool:
        """Whether the transposed scan is the cheaper one, by its first scan."""
        return self.transposed().cost < self.doubling().cost

    def sent(self, *, again: bool = False) -> Sent:
        """Return what is sent in the way that is chosen."""
        return self.transposed(again=again) if self.transposes else self.doubling(again=again)
