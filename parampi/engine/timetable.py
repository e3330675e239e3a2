"""The rounds of Parareal: which iterate of which block is formed when, and what is kept of a block in between.

The state U^p[b] at the beginning of block b after p <= b iterations is known after round

    t(p, b + 1) = max(t(p, b) + 1, t(p - 1, b) + S_b),            t(0, b) = b,            t(p, p) = the end of block p - 1,

S_b being the steps of block b (U^b[b] is exact, and later iterates are the same). Its denoised field, evaluated in the next
round, serves the coarse step G(U^p[b]) and the first step of the fine propagation (b, p), which takes one step a round until
its end F(U^p[b]). With equal blocks iterate p is at the end after p S + B - p rounds, and at most two fine propagations per
block are on their way. Who sends what in which round follows from this timetable.
"""

from functools import cached_property

Key = tuple[str, int, int]
"""Kind, block and iterate of a field that is kept between rounds."""


def formation_rounds(lengths: list[int]) -> list[dict[int, int]]:
    """Return, for each iterate p, the rounds after which U^p[b] is known at the blocks b = p ... B that it is made for."""
    blocks, exact = len(lengths), [sum(lengths[:b]) for b in range(len(lengths) + 1)]
    rounds = [{b: b for b in range(blocks + 1)}]
    for p in range(1, blocks + 1):
        row = {p: exact[p]}
        for b in range(p, blocks):
            row[b + 1] = max(row[b] + 1, rounds[p - 1][b] + lengths[b])
        rounds.append(row)
    return rounds


class Timetable:
    """Rounds of blocks that end at the points `ends`, for steps that read `taps` points. `number` is always that of the round
    to come."""

    def __init__(self, ends: list[int], taps: int):
        self.ends, self.begins, self.taps = ends, [0, *ends[:-1]], taps
        self.lengths = [end - begin for begin, end in zip(self.begins, ends, strict=True)]
        self.formed = formation_rounds(self.lengths)

    @property
    def blocks(self) -> int:
        return len(self.ends)

    @cached_property
    def forming(self) -> dict[tuple[int, int], int]:
        """The iterate p that block b's end gets in a round, by (round, b)."""
        return {(number, b - 1): p for p, row in enumerate(self.formed) for b, number in row.items() if b}

    def taken(self, b: int, p: int, number: int) -> int:
        """Return how many steps the fine propagation (b, p) has taken; negative before its beginning is known."""
        return number - self.formed[p][b] - 1

    def running(self, b: int, number: int) -> list[int]:
        """Return the iterates whose fine propagation through block b takes a step in this round."""
        return [p for p in range(b + 1) if 0 <= self.taken(b, p, number) < self.lengths[b]]

    def fields(self, number: int) -> int:
        """Return how many fields of a member are evaluated in this round."""
        return sum(len(self.running(b, number)) for b in range(self.blocks))

    def kept(self, b: int, number: int) -> dict[Key, range]:
        """Return the fields that are kept of block b between two rounds, and the points they belong to."""
        begin, end = self.begins[b], self.ends[b]
        kept = {}
        for p in range(b + 1):
            taken = self.taken(b, p, number)
            point = begin + taken
            if taken == 0:
                kept["start", b, p] = range(begin, begin + 1)
            if 0 < taken < self.lengths[b]:
                kept["states", b, p] = range(point + 1 - self.taps, point + 1)
                if self.taps > 1:
                    kept["denoised", b, p] = range(point + 1 - self.taps, point)
            if taken > 0 and number <= self.formed[p + 1][b + 1]:
                kept["coarse_end", b, p] = range(end, end + 1)
                if self.lengths[b] <= taken:
                    kept["fine_end", b, p] = range(end, end + 1)
        if self.formed[0][b + 1] < number:
            kept["end", b, 0] = range(end, end + 1)
        return kept
