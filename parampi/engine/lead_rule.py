"""The stop rule of a roll-out: each lead time in flight is judged as a chain of its own. The current one's points are accepted,
and with its last one those of the next whose condition is known well enough, and so on."""

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


@dataclass(frozen=True)
class LeadEnd:
    """A verdict on a lead time whose last point it accepts: the estimated error, the largest relative change of the
    points accepted with it, and the point at which the member stood between two outcomes, -1 where it did not."""

    error_estimate: float
    residual: float
    bistable: int


@dataclass
class LeadRule:
    """Rule for chains of lead times, on the rank that drives.

    A solver's rule judges the parts of windows that belong to one lead time as if they were members of their own: member m at
    lead time l is its column `m slots + l mod slots`. Lead times after the current one wait: what the network reads there is no
    final state yet. With the last point of one, points of the next are accepted if what its end still changed does little to
    them. A column is as new when its lead time has come to its end.

    rule       of single lead times of `steps` steps
    bequeaths  rows of the stop statistics that points hand on to the same point of the next lead time
    learns     how many numbers the iteration learns of each member; `learned` (m, learns) are the latest
    early      share of the tolerance (m,) that points spend before the end of their lead time is accepted, of windows that
               begin at points (m,)
    disturbs   rows that tell at the first step of a lead time how the end of the one before has changed; where there are none
               the relative change of its state does
    legacy     (m, N, B) what the points of the latest current lead time have to hand on; 0 where nothing is known
    lead       (m,) lead time that was the current one in the round before
    changes    (m, k, D) how the ends before the lead times of the last round have changed in it
    new        the rule's state of columns that have not begun
    ends       by member's column and lead time, those that the last verdict accepted to the end
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
    ends: dict[tuple[int, int], LeadEnd] = field(default_factory=dict)

    def begin(self, members: int, longest: int) -> None:
        """Get ready for members that have not begun, whose windows are at most `longest` points."""
        self.rule.begin(members * self.slots, min(longest, self.steps))
        self.new = {name: values.copy() for name, values in self.rule.state().items()}
        self.legacy, self.learned = np.zeros((members, self.steps, len(self.bequeaths))), np.zeros((members, self.learns))
        self.lead, self.changes = np.zeros(members, np.int64), np.zeros((members, self.slots, len(self.disturbs) or 1))

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
        """Return the verdict on a round."""
        parts = LeadParts.of(measured.first, measured.lengths, self.steps, self.slots)
        lead = measured.first // self.steps
        parted = parts.measures(measured, lead != self.lead, self.early(measured.first) if self.early else np.ones(len(lead)))
        if self.slots > 1:
            before, self.changes = self.followed(lead), parts.end_changes(parted, self.disturbs)
            parted = replace(parted, lag=parts.of_columns(lags(before, self.changes)), behind=parts.behind())
        verdict = self.rule.judge(parted)
        self.lead = lead
        slides, ended = parts.accepted(verdict.slides, self.steps)
        self.ends = self.ended(parts, verdict, parted, lead, ended)
        now = parts.columns[:, 0]
        estimate = np.where(measured.lengths > 0, verdict.error_estimate[now], measured.error_estimate)
        if self.bequeaths and measured.stop_statistics is not None:
            statistics = measured.stop_statistics[self.bequeaths.start : self.bequeaths.stop]
            self.hand_on(statistics, parts, 0, parts.counts[:, 0])
            for k in range(1, self.slots):
                self.hand_on(statistics, parts, k, slides[:, k])
        if verdict.learned is not None and self.learns:
            self.learned = np.where(verdict.learned[now] == 0, self.learned, verdict.learned[now])
        self.renew(parts, ended, lead)
        bistable = None if verdict.bistable is None else np.where(measured.lengths > 0, verdict.bistable[now], -1)
        return Verdict(slides.sum(1), estimate, self.learned, bistable)

    def ended(
        self, parts: "LeadParts", verdict: Verdict, parted: RoundMeasures, lead: Integers, ended: NDArray[np.bool_]
    ) -> dict[tuple[int, int], LeadEnd]:
        """Return what a verdict says of the lead times that have `ended` (m, k)."""
        ends = {}
        for m, k in np.argwhere(ended).tolist():
            column = parts.columns[m, k]
            ends[m, int(lead[m]) + k] = LeadEnd(
                error_estimate=float(verdict.error_estimate[column]),
                residual=float(parted.changes[: verdict.slides[column], column].max()),
                bistable=-1 if verdict.bistable is None else int(verdict.bistable[column]),
            )
        return ends

    def followed(self, lead: Integers) -> Floats:
        """Return the `changes` of the last round, by the lead times (m,) that are the current ones now."""
        slots = np.arange(self.slots) + (lead - self.lead)[:, None]
        known = self.changes[np.arange(len(lead))[:, None], np.minimum(slots, self.slots - 1)]
        return np.where((slots < self.slots)[..., None], known, 0.0)

    def renew(self, parts: "LeadParts", ended: NDArray[np.bool_], lead: Integers) -> None:
        """Make the columns of lead times that have `ended` (m, k) as new, for others: these, and all that follow a member's
        first lead time, have its points' experience."""
        columns = parts.columns[ended]
        if not len(columns) or not self.new:
            return
        state = {name: values.copy() for name, values in self.rule.state().items()}
        if "sweeps" in state:
            state["sweeps"][parts.columns[ended[:, 0] & (lead == 0), 1:].ravel()] += TRIED
        for name, values in state.items():
            values[columns] = TRIED if name == "sweeps" else self.new[name][columns]
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

    def behind(self) -> Integers:
        """Return the columns that lead times wait for, those before them; -1 for the current ones."""
        former = np.full_like(self.columns, -1)
        former[:, 1:] = self.columns[:, :-1]
        ordered: Integers = self.of_columns(former)
        return ordered

    def end_changes(self, parted: RoundMeasures, disturbs: range) -> Floats:
        """Return squares (m, k, D) of how the ends before lead times have changed in a round, and take them from the measures:
        the step that goes on from such an end reads no state, but a start, which does not change. There is none before the
        current lead times."""
        statistics = parted.stop_statistics
        if len(disturbs) and statistics is not None:
            rows = statistics[disturbs.start : disturbs.stop, 0]
            changes = rows[:, self.columns].transpose(1, 2, 0).copy()
            rows[:, parted.waits] = 0.0
        else:
            changes = parted.changes[0, self.columns][..., None] ** 2
        parted.changes[0, parted.waits] = 0.0
        return changes

    def accepted(self, slides: Integers, steps: int) -> tuple[Integers, NDArray[np.bool_]]:
        """Return by how many points (m, k) windows slide over each lead time, of the slides of columns, and which of them have
        ended."""
        parted = np.where(self.counts > 0, slides[self.columns], 0)
        ended = (parted > 0) & (self.begin + parted == steps)
        going = np.concatenate([np.ones_like(ended[:, :1]), np.cumprod(ended, axis=1)[:, :-1].astype(np.bool_)], axis=1)
        return parted * going, ended & going

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
