"""The best layout for a number of ranks: groups of ranks, windows, and batches of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from parampi.run.planning.costs import Costs
from parampi.run.planning.sweeps import Sweeps

WORTH = 0.1
"""Share of the time that more ranks must save, twice as many, to be of use."""
OVERLAP_WORTH = 0.05
"""Share of the time that overlapping rounds must save to be chosen."""


@dataclass(frozen=True)
class Subject:
    """Members that are drawn, of a chain of `steps` points and `evaluations` of the serial sampler; `most` members that a group
    sweeps at once; `causal`: whether there is a serial sampler. In a roll-out `steps` are those of a lead time, and windows may
    `reach` over its end. `overlap`: whether rounds of two halves of the members overlap, or as it pays ("auto")."""

    members: int
    steps: int
    evaluations: int
    most: int | None = None
    causal: bool = True
    reach: int | None = None
    overlap: bool | Literal["auto"] = "auto"

    @property
    def longest(self) -> int:
        """The points of the longest window."""
        return self.reach or self.steps

    def in_flight(self, window: int) -> int:
        """Return how many lead times a window has points of, in the mean over how it lies, rounded up."""
        return -(-window // self.steps)


@dataclass(frozen=True)
class Forecast:
    """Time and memory that a layout is expected to take. `serial`: whether the serial sampler draws members alone; `overlap`:
    whether rounds of two halves of the members overlap."""

    ranks: int
    time_ranks: int
    window: int
    network_batch: int
    rounds: int
    evaluations: float
    seconds: float
    efficiency: float
    memory: float
    serial: bool = False
    overlap: bool = False

    @property
    def groups(self) -> int:
        return self.ranks // self.time_ranks


def one_rank(subject: Subject, costs: Costs) -> float:
    """Return the seconds of the serial sampler for all members in a row, on a rank that has a core."""
    return subject.members * subject.evaluations * costs.call(1)


def layouts(ranks: int, subject: Subject, costs: Costs, sweeps: Sweeps, windows: Sequence[int]) -> list[Forecast]:
    """Return all layouts of so many ranks, the fastest first."""
    forecasts = [
        swept(ranks, time_ranks, window, subject=subject, costs=costs, sweeps=sweeps)
        for time_ranks in range(1, ranks + 1)
        if ranks % time_ranks == 0 and ranks // time_ranks <= subject.members
        for window in windows
        if window >= time_ranks or window == max(windows)
    ]
    return sorted(forecasts, key=lambda one: (one.seconds, one.window))


def swept(
    ranks: int, time_ranks: int, window: int, *, subject: Subject, costs: Costs, sweeps: Sweeps, batch: int | None = None
) -> Forecast:
    """Return what one layout takes, with the best batch of the network, or this one."""
    groups = ranks // time_ranks
    share = -(-subject.members // groups)
    at_once = min(share, subject.most or share)
    turns, chain = -(-share // at_once), sweeps(window)
    sizes = [batch] if batch else costs.batches
    ways = {
        overlap: min((turns * costs.sweep(chain, at_once, time_ranks, size, overlap), size) for size in sizes)
        for overlap in ((False, True) if at_once > 1 else (False,))
    }
    overlap = at_once > 1 and chosen_overlap(subject, ways[False][0], ways[True][0])
    seconds, best = ways[overlap]
    return Forecast(
        ranks,
        time_ranks,
        chain.window,
        best,
        turns * chain.rounds,
        subject.members * chain.evaluations,
        seconds,
        one_rank(subject, costs) / (ranks * seconds),
        costs.memory(chain, at_once, time_ranks, best),
        overlap=overlap,
    )


def chosen_overlap(subject: Subject, without: float, overlapping: float) -> bool:
    """Return whether rounds overlap, by the seconds without and with it."""
    return overlapping < (1 - OVERLAP_WORTH) * without if subject.overlap == "auto" else subject.overlap


def alone(ranks: int, subject: Subject, costs: Costs) -> Forecast:
    """Return what the serial sampler takes, with members shared by ranks, those of a rank evaluated together."""
    used = min(ranks, subject.members)
    share = min(-(-subject.members // used), subject.most or subject.members)
    turns = -(-subject.members // (used * share))
    seconds, best = min(
        (turns * subject.evaluations * (costs.crowd * (costs.network(share, size) + costs.serial.at(share))), size)
        for size in costs.batches
    )
    memory = share * 2 * costs.states * costs.field * costs.item
    efficiency = one_rank(subject, costs) / (ranks * seconds)
    evaluations = float(subject.members * subject.evaluations)
    return Forecast(
        ranks, 1, 1, best, turns * subject.evaluations, evaluations, seconds, efficiency, memory, serial=True
    )  # fmt: skip


def wasted_from(best: Sequence[Forecast]) -> int | None:
    """Return the number of ranks beyond which more of them are wasted: none of those planned saves a tenth of the time."""
    for one in sorted(best, key=lambda forecast: forecast.ranks):
        more = [other for other in best if other.ranks > one.ranks]
        if more and min(other.seconds for other in more) > (1 - WORTH) * one.seconds:
            return one.ranks
    return None


def candidates(steps: int, ranks: Sequence[int], configured: int | None) -> list[int]:
    """Return the lengths of windows to choose from: powers of two, multiples of ranks, the configured one, and all points."""
    sizes = {2**k for k in range(1, steps.bit_length())} | {configured or steps, steps}
    sizes |= {count * times for count in ranks for times in (1, 2, 4) if count * times > 1}
    return sorted(size for size in sizes if size <= steps)
