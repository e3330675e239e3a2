"""What rounds cost on one rank: calls of the network, the engine, and messages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from parampi.engine.driven import Messages
from parampi.parallel import ScanSize, Sent
from parampi.run.planning.sweeps import Chain


@dataclass(frozen=True)
class Line:
    """Seconds, or bytes, that grow in a line with a number of points: so much at all, so much for each."""

    fixed: float
    each: float

    def at(self, points: float) -> float:
        return self.fixed + self.each * points


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes that a layout is reckoned from.

    calls      fields, seconds and bytes of a network call, the fewest fields first
    engine     seconds of a round by the points of all members on a rank
    serial     the same of the serial sampler
    setup      seconds before the first round by the same
    verdict    seconds by which the verdict grows with a point of the window on other ranks
    handling   the processor's seconds for a state that is sent
    scans      scans over ranks in a sweep, all with the slopes of the first; `taps` fields that a step reads, and `within`
               whether slopes differ within a field
    moves      messages, and states in them, when windows slide; `collectives` calls of all ranks in a round
    field      numbers of a field, and `item` bytes of each
    states     fields that are kept for a point
    ranks_here ranks that share a node of `cores`, where the network runs on these; 1 for a GPU of a rank's own
    apart      whether calls run beside the rest, on a GPU
    """

    calls: Sequence[tuple[int, float, int]]
    engine: Line
    serial: Line
    setup: Line
    messages: Messages = Messages()  # noqa: RUF009 (frozen)
    verdict: float = 0.0
    handling: float = 0.0
    scans: int = 1
    taps: int = 1
    within: bool = False
    moves: tuple[int, int] = (1, 1)
    collectives: int = 2
    field: int = 1
    item: int = 8
    states: int = 8
    ranks_here: int = 1
    cores: int = 1
    apart: bool = False

    @property
    def crowd(self) -> float:
        """How many times longer all takes as ranks outnumber cores."""
        return max(1.0, self.ranks_here / self.cores)

    @property
    def batches(self) -> list[int]:
        """Numbers of fields that were measured."""
        return [fields for fields, _, _ in self.calls]

    def call(self, fields: float) -> float:
        """Return the seconds of one call, in a line between those that were measured."""
        if fields <= 0:
            return 0.0
        below = [(n, s) for n, s, _ in self.calls if n <= fields] or [(0, 0.0)]
        above = [(n, s) for n, s, _ in self.calls if n > fields]
        (n, s) = below[-1]
        if n == 0:
            return above[0][1] if above else 0.0  # part of a field: a call of one
        if not above:
            return s * fields / n
        (more, longer) = above[0]
        return s + (longer - s) * (fields - n) / (more - n)

    def network(self, fields: float, batch: int) -> float:
        """Return the seconds of calls of at most `batch` fields."""
        calls = int(fields // batch)
        return calls * self.call(batch) + self.call(fields - calls * batch)

    def exchanged(self, members: int, ranks: int) -> float:
        """Return the seconds of a round's messages, and of the processor's part in them: the sweep's scans; one over the last
        ranks, for the points that enter there; what moves with the windows; and the verdict."""
        if ranks == 1:
            return 0.0
        state, (messages, states) = members * self.field * self.item, self.moves
        guess = self.scan(members, max(1, round(math.sqrt(ranks))))
        sent = [*(self.scan(members, ranks, again=k > 0) for k in range(self.scans)), guess, Sent(messages, states * state)]
        count, size = sum(one.messages for one in sent), sum(one.bytes for one in sent)
        latencies = (count + self.collectives * (ranks - 1).bit_length()) * self.messages.latency
        return latencies + size / self.messages.bandwidth + self.crowd * self.handling * size / (self.field * self.item)

    def scan(self, members: int, ranks: int, *, again: bool = False) -> Sent:
        """Return what a scan over ranks sends, in the way that a run takes."""
        slopes = members * (self.field if self.within else 1)
        return ScanSize(ranks, self.taps, members, self.field, slopes, self.within, self.item).sent(again=again)

    def sweep(self, chain: Chain, members: int, ranks: int, batch: int, overlap: bool = False) -> float:
        """Return the seconds in which a group of so many ranks draws members that are swept at once, or by `overlap` in two
        halves whose rounds alternate."""
        points = -(-chain.window // ranks) * members
        parts = [members - members // 2, members // 2] if overlap else [members]
        total = self.crowd * self.setup.at(points)
        for length in chain.lengths:
            share = -(-length // ranks)
            calls = [self.crowd * self.network(share * part * chain.evaluated, batch) for part in parts]
            rest = [self.outside(length, part, ranks) for part in parts]
            total += self.alternating(calls, rest) if self.apart and overlap else sum(calls) + sum(rest)
        return total

    def outside(self, length: float, members: int, ranks: int) -> float:
        """Return the seconds of a round outside the network, of windows of a length on so many ranks."""
        share = -(-length // ranks)
        engine = self.engine.at(share * members) + self.verdict * (length - share) * members
        return self.crowd * engine + self.exchanged(members, ranks)

    def alternating(self, calls: Sequence[float], rest: Sequence[float]) -> float:
        """Return the seconds of a round of each half: calls follow one another, and so does the rest; of one half neither
        begins before the other is over."""
        each = (call + other for call, other in zip(calls, rest, strict=True))
        return max(sum(calls), sum(rest), *each)

    def memory(self, chain: Chain, members: int, ranks: int, batch: int) -> float:
        """Return about how many bytes a rank needs, beside the network itself."""
        points = (-(-chain.window // ranks) + 1) * members
        call = [size for fields, _, size in self.calls if fields <= batch]
        return points * self.states * self.field * self.item + (max(call) if call else 0)
