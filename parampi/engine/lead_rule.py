"""The stop rule of a roll-out: each lead time in flight is judged as a chain of its own. The current one's points are accepted,
and with its last one those of the next whose condition is known well enough."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from parampi.solvers import RoundMeasures, Rule, Verdict
from parampi.solvers.stop_rules import RuleState

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
OWN = ("legacy", "latest_learned", "end_changes", "lead")
"""Names of what is kept beside the state of the rule of single lead times."""
UNKNOWN = 1e9
"""What stands for a lag that is not known, and the largest one."""
TRIED = 2
"""Sweeps that the points of a lead time count as having been in before, once one lead time has shown how they converge."""
EARLY = 0.05
"""Share of the tolerance that points spend before the end of their lead time is accepted, where the window has it and reaches
no farther when it slides: this saves evaluations, no rounds."""
SLIDING = 1.0
"""The same where the window reaches farther."""


@dataclass
class LeadRule:
    """Rule for chains of lead times, on the rank that drives.

    A solver's rule judges the parts of windows that belong to one lead time as if they were members of their own: member m at
    lead time l is its column `m slots + l mod slots`. Lead times after the current one wait: what the network reads there is no
    final state yet. With the last point of the current one, points of the next are accepted if what its end still changed
    does little to them. A column is as new when its lead time has come to its end.

    rule       of single lead times of `steps` steps
    bequeaths  rows of the stop statistics that points hand on to the same point of the next lead time
    learns     how many numbers the iteration learns of each member; `learned` (m, learns) are the latest
    early      share of the tolerance (m,) that points spend before the end of their lead time is accepted, of windows that
               begin at points (m,)
    disturbs   rows that tell at the first step of a lead time how the end of the one before has changed
    legacy     (m, N, B) what the points of the latest current lead time have to hand on; 0 where nothing is known
    lead       (m,) lead time that was the current one in the round before
    changes    (m, k, D) how the ends before the lead times of the last round have changed in it
    new        the rule's state of columns that have not begun
    """

    rule: Rule
    steps: int
    slots: int
    bequeaths: range = range(0)
    learns: int = 0
    early: Callable[[Integers], Floats] | None = None
    disturbs: range = range(0)
    legacy: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    new: RuleState = field(default_factory=dict)
    learned: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    lead: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    changes: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))

    def begin(self, members: int, longest: int) -> None:
        """Get ready for members that have not begun, whose windows are at most `longest` points."""
        self.rule.begin(members * self.slots, min(longest, self.steps))
        self.new = {name: values.copy() for name, values in self.rule.state().items()}
        self.legacy, self.learned = np.zeros((members, self.steps, len(self.bequeaths))), np.zeros((members, self.learns))
        self.lead, self.changes = np.zeros(members, np.int64), np.zeros((members, self.slots, len(self.disturbs)))

    def state(self) -> RuleState:
        """Return all that is kept of members, the columns of each beside one another; empty before `begin`."""
        if not len(self.lead):
            return {}
        members = len(self.legacy)
        kept = {name: values.reshape(members, self.slots, *values.shape[1:]) for name, values in self.rule.state().items()}
        own = {"legacy": self.legacy, "latest_learned": self.learned, "end_changes": self.changes}
        return {**kept, **own, "lead": self.lead.astype(np.float64)}

    def load(self, state: RuleState) -> None:
        """Go on, after `begin`, from what `state` returned of each member."""
        own = {name: values for name, values in state.items() if name not in OWN}
        self.rule.load({name: values.reshape(-1, *values.shape[2:]).copy() for name, values in own.items()})
        self.legacy, self.changes = state["legacy"].copy(), state["end_changes"].copy()
        self.learned, self.lead = state["latest_learned"].copy(), state["lead"].astype(np.int64)

    def judge(self, measured: RoundMeasures) -> Verdict:
        """Return the verdict on a round; windows slide to the end of a lead time at most."""
        parts = LeadParts.of(measured.first, measured.lengths, self.steps, self.slots)
        lead = measured.first // self.steps
        parted = parts.measures(measured, lead != self.lead, self.early(measured.first) if self.early else np.ones(len(lead)))
        if self.disturbs and parted.stop_statistics is not None:
            changes = parted.stop_statistics[self.disturbs.start : self.disturbs.stop, 0]
            before, self.changes = self.followed(lead), changes[:, parts.columns].transpose(1, 2, 0).copy()
            changes[:, parted.waits] = 0.0
            parted = replace(parted, lag=parts.of_columns(lags(before, self.changes)), behind=parts.behind())
        verdict = self.rule.judge(parted)
        self.lead = lead
        now = parts.columns[:, 0]
        slides = np.where(measured.lengths > 0, verdict.slides[now], 0)
        ended = (slides > 0) & ((measured.first + slides) % self.steps == 0)
        beyond = np.where(ended, verdict.slides[parts.columns[:, 1]], 0) if parted.behind is not None else 0 * slides
        estimate = np.where(measured.lengths > 0, verdict.error_estimate[now], measured.error_estimate)
        if self.bequeaths and measured.stop_statistics is not None:
            statistics = measured.stop_statistics[self.bequeaths.start : self.bequeaths.stop]
            self.hand_on(statistics, parts, 0, parts.counts[:, 0])
            self.hand_on(statistics, parts, 1, beyond)
        if verdict.learned is not None and self.learns:
            self.learned = np.where(verdict.learned[now] == 0, self.learned, verdict.learned[now])
        self.renew(parts, ended, lead)
        bistable = None if verdict.bistable is None else np.where(measured.lengths > 0, verdict.bistable[now], -1)
        return Verdict(slides + beyond, estimate, self.learned, bistable)

    def followed(self, lead: Integers) -> Floats:
        """Return the `changes` of the last round, by the lead times (m,) that are the current ones now."""
        slots = np.arange(self.slots) + (lead - self.lead)[:, None]
        known = self.changes[np.arange(len(lead))[:, None], np.minimum(slots, self.slots - 1)]
        return np.where((slots < self.slots)[..., None], known, 0.0)

    def renew(self, parts: "LeadParts", ended: NDArray[np.bool_], lead: Integers) -> None:
        """Make the columns of lead times that have ended as new, for others: these, and all that follow a member's first lead
        time, have its points' experience."""
        columns = parts.columns[ended, 0]
        if not len(columns) or not self.new:
            return
        state = {name: values.copy() for name, values in self.rule.state().items()}
        for name, values in state.items():
            values[columns] = self.new[name][columns]
        if "sweeps" in state:
            state["sweeps"][columns] = TRIED
            state["sweeps"][parts.columns[ended & (lead == 0), 1:].ravel()] += TRIED
        self.rule.load(state)

    def hand_on(self, statistics: Floats, parts: "LeadParts", k: int, counts: Integers) -> None:
        """Keep what the first points (m,) of parts k have to hand on (B, n, m), where it is positive."""
        if not counts.any():
            return
        places, members = np.nonzero(parts.inside[:, :, k] & (np.arange(len(parts.inside))[:, None] < counts))
        numbers = statistics[:, parts.position[places, members, k], members].T
        points, known = parts.begin[members, k] + places, (numbers > 0).all(1)
        self.legacy[members[known], points[known]] = numbers[known]

    def inherited(self, points: Integers, heirs: NDArray[np.bool_]) -> Floats:
        """Return what points (n, m) of chains inherit where they are `heirs`, and how the ends before their lead times have
        changed in the last round, (n, m, B + D)."""
        members, k = np.arange(points.shape[1]), points // self.steps - self.lead
        legacy = np.where(heirs[..., None], self.legacy[members, points % self.steps], 0.0)
        inside = (k > 0) & (k < self.slots)
        changes = np.where(inside[..., None], self.changes[members, np.clip(k, 0, self.slots - 1)], 0.0)
        return np.concatenate([legacy, changes], axis=2)


@dataclass(frozen=True)
class LeadParts:
    """The parts of windows that belong to one lead time each: k = 0 is the current one, that of the frozen point.

    begin     (m, k) first point, within the lead time
    counts    (m, k) points swept
    position  (n, m, k) positions in the windows, and which of them are `inside` a part
    columns   (m, k) of the rule
    """

    begin: Integers
    counts: Integers
    position: Integers
    inside: NDArray[np.bool_]
    columns: Integers

    @classmethod
    def of(cls, first: Integers, lengths: Integers, steps: int, slots: int) -> "LeadParts":
        lead, place = first // steps, first % steps
        k = np.arange(slots)
        begin = np.where(k == 0, place[:, None], 0)
        offset = np.where(k == 0, 0, k * steps - place[:, None])
        counts = np.clip(np.minimum(lengths[:, None] - offset, steps - begin), 0, None)
        rows = np.arange(max(int(counts.max(initial=0)), 1))[:, None, None]
        inside = rows < counts
        columns = np.arange(len(first))[:, None] * slots + (lead[:, None] + k) % slots
        return cls(begin, counts, np.where(inside, offset + rows, 0), inside, columns)

    def measures(self, measured: RoundMeasures, follows: NDArray[np.bool_], early: Floats) -> RoundMeasures:
        """Return what a rule of single lead times judges from; `follows` (m,): whose current lead time was another one in the
        round before."""
        waits = np.broadcast_to(np.arange(self.columns.shape[1]) > 0, self.columns.shape)
        estimates = np.where(waits, 0.0, measured.error_estimate[:, None])
        statistics = measured.stop_statistics
        return replace(
            measured,
            changes=self.rows(measured.changes),
            losses=self.rows(measured.losses),
            first=self.of_columns(self.begin),
            lengths=self.of_columns(self.counts),
            error_estimate=self.of_columns(estimates),
            stop_statistics=None if statistics is None else self.rows(statistics),
            waits=self.of_columns(waits),
            disturbed=self.of_columns(waits | follows[:, None]),
            early=self.of_columns(np.broadcast_to(early[:, None], waits.shape)),
        )

    def behind(self) -> Integers | None:
        """Return the columns that the next lead times wait for, -1 for others; None where nobody waits."""
        if self.columns.shape[1] == 1:
            return None
        former = np.full_like(self.columns, -1)
        former[:, 1] = self.columns[:, 0]
        ordered: Integers = self.of_columns(former)
        return ordered

    def of_columns(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers (m, k) as those of columns."""
        ordered = np.empty(numbers.size, numbers.dtype)
        ordered[self.columns.ravel()] = numbers.ravel()
        return ordered

    def rows(self, numbers: Floats) -> Floats:
        """Return numbers (..., position, m) as those of parts (..., n, column), 0 outside."""
        members = np.arange(self.columns.shape[0])[:, None]
        parts = np.where(self.inside, numbers[..., self.position, members], 0.0)
        ordered = np.empty((*parts.shape[:-2], self.columns.size))
        ordered[..., self.columns.ravel()] = parts.reshape(*parts.shape[:-2], self.columns.size)
        return ordered


def lags(before: Floats, now: Floats) -> Floats:
    """Return how many times as much (m, k) the ends before lead times have changed in this round as in the one before, of
    squares (m, k, D) of both. A condition is made of all ends before it; that of the current lead time does not change."""
    changed = [np.sqrt(squares.sum(2)) for squares in (before, now)]
    for norms in changed:
        norms[:, :1] = 0.0
    earlier, later = (np.cumsum(norms, axis=1) for norms in changed)
    known: Floats = np.where(earlier > 0, later / np.where(earlier > 0, earlier, 1.0), UNKNOWN)
    return np.where(later > 0, np.minimum(known, UNKNOWN), 0.0)
