"""Reports: rounds, evaluations, residuals and times of a run. Plain numbers, so that a report outlives the run."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

TIMELINE = 40
"""Most entries of a rank's timeline."""


@dataclass(frozen=True)
class MemberReport:
    """Report of one member.

    rounds       dependent batched network evaluations it took part in
    evaluations  single-field network calls made for it
    residual     largest relative change, in the last sweep, of the points accepted with it
    error        estimate of the final field's relative L2 error against the serial sampler
    outcome      "converged": only members that were finished have a report
    lead         which of the lead times of a roll-out
    bistable     noise level at which the member stood between two outcomes, 0 where it did not
    """

    member: int
    rounds: int
    evaluations: int
    residual: float
    error: float
    outcome: str
    lead: int = 0
    bistable: float = 0.0


@dataclass(frozen=True)
class Residuals:
    """Relative changes in one round: of the points `first`, `first + 1`, ... of one member's window."""

    round: int
    first: int
    changes: list[float]


@dataclass(frozen=True)
class Timing:
    """When and where an ensemble was drawn, and what the serial sampler would have taken for it.

    began, ended  of the whole run, as ISO 8601
    hosts         name of each rank's host
    seconds       of the slowest rank, for drawing and writing
    call          of one network call for one field, median; None where it was not timed
    serial        seconds of the serial sampler on one rank, for all members in a row; None where nothing tells
    alone         the same on all ranks, each with members of its own
    measured      whether the serial sampler was run, rather than calls of the network multiplied
    sweeps        whether the run was parallel in time
    remedy        overrides that make it serial
    """

    began: str
    ended: str
    hosts: list[str]
    seconds: float
    call: float | None = None
    serial: float | None = None
    alone: float | None = None
    measured: bool = False
    sweeps: bool = True
    remedy: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the serial sampler on one rank."""
        return self.serial / self.seconds if self.serial and self.seconds else None

    @property
    def paid(self) -> bool | None:
        """Whether the run took less time than members alone would have on the same ranks; None where nothing tells."""
        return self.seconds <= self.alone if self.sweeps and self.alone is not None else None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "paid": self.paid}

    def line(self) -> str:
        """Return one line: seconds, those of the serial sampler, and where sweeping did not pay what would."""
        ranks = count(len(self.hosts), "rank")
        if self.serial is None or self.ratio is None:
            return f"{in_seconds(self.seconds)} on {ranks}"
        took = "took" if self.measured else "would take about"
        line = (
            f"{in_seconds(self.seconds)} on {ranks}; the serial sampler {took} {in_seconds(self.serial)} on one rank: "
            f"{self.ratio:.2f} times as fast"
        )
        if self.paid is False and self.alone is not None:
            instead = f": {self.remedy}" if self.remedy else ""
            line += f". Sweeping did not pay: members alone would take about {in_seconds(self.alone)} on these ranks{instead}"
        return line


def in_seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


@dataclass
class Report:
    """Costs of an ensemble; complete on rank 0.

    steps               points of a field's chain, besides the one it begins at
    tolerance           relative L2 error that was asked for
    rounds              length of the chain of dependent network evaluations: the longest of any group, batches added up
    evaluations         single-field network calls, all members
    serial_rounds       rounds the serial sampler needs, for as many batches
    serial_evaluations  single-field network calls of the serial sampler, all members
    outcome             "converged" when every member is, else what went wrong
    layout              ranks, groups, ranks along time, points of a window; of roll-outs lead times, and those swept together;
                        `overlap` 1 where rounds of two halves of members overlap
    members             of each member, at each lead time, what it cost
    seconds             per rank: {"network", "communication", "output", "total"}
    probe_evaluations   calls for single fields by which each rank's denoiser was checked before; not among the evaluations
    residuals           per member: what each of its rounds showed. Of rank 0's group always, of others as far as there is room
    timeline            per rank, now and then: seconds since it began, and of these in network, communication and output
    timing              of `parampi run`: when and where, and what the serial sampler would have taken
    """

    steps: int
    tolerance: float
    serial_rounds: int
    serial_evaluations: int
    rounds: int = 0
    evaluations: int = 0
    probe_evaluations: int = 0
    outcome: str = "converged"
    layout: dict[str, int] = field(default_factory=dict)
    members: list[MemberReport] = field(default_factory=list)
    residuals: dict[int, list[Residuals]] = field(default_factory=dict)
    seconds: list[dict[str, float]] = field(default_factory=list)
    timeline: list[list[list[float]]] = field(default_factory=list)
    timing: Timing | None = None

    @property
    def speedup(self) -> float:
        """Serial rounds over rounds: how much sooner a member comes when network calls dominate and ranks are plenty. NaN where
        there were none."""
        return self.serial_rounds / self.rounds if self.rounds else float("nan")

    @property
    def redundancy(self) -> float:
        """Evaluations over those of the serial sampler: what the speed costs."""
        return self.evaluations / self.serial_evaluations if self.serial_evaluations else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, with None in the place of ratios of nothing, for which JSON has no number."""
        ratios = {"speedup": self.speedup, "redundancy": self.redundancy}
        known = {name: None if np.isnan(value) else value for name, value in ratios.items()}
        return {**asdict(self), "timing": self.timing.as_dict() if self.timing else None, **known}

    def to_json(self) -> str:
        return json.dumps(self.as_dict(), indent=1, allow_nan=True)

    def add_earlier(self, members: list[MemberReport], serial: int, swept: bool = False) -> None:
        """Add members that a run before this one finished, for each of which the serial sampler takes `serial` evaluations.

        Rounds of lead times of which all members were finished before follow those that are counted already; where lead times
        are `swept` together, members count all their rounds since the first themselves.
        """
        if not members:
            return
        drawn = {member.lead for member in self.members}
        self.members = sorted([*members, *self.members], key=lambda member: (member.lead, member.member))
        self.evaluations = sum(member.evaluations for member in self.members)
        self.serial_evaluations = serial * len(self.members)
        if swept:
            rounds: dict[int, int] = {}
            for member in self.members:
                rounds[member.member] = rounds.get(member.member, 0) + member.rounds
            self.rounds = max(self.rounds, *rounds.values())
            self.serial_rounds = max(self.serial_rounds, serial * len({member.lead for member in self.members}))
            return
        longest: dict[int, int] = {}
        for member in self.members:
            longest[member.lead] = max(longest.get(member.lead, 0), member.rounds)
        before = [rounds for lead, rounds in longest.items() if lead not in drawn]
        self.rounds = max(self.rounds + sum(before), sum(longest.values()))
        self.serial_rounds += serial * len(before)

    def follow(self, later: "Report") -> None:
        """Add the report of the next lead time of a roll-out. Residuals stay those of the first."""
        self.members += later.members
        self.outcome = later.outcome
        for name in ("rounds", "evaluations", "serial_rounds", "serial_evaluations"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        for rank, more in zip(self.seconds, later.seconds, strict=True):
            for name, value in more.items():
                rank[name] += value
        self.timeline = [joined(rank, more) for rank, more in zip(self.timeline, later.timeline, strict=True)]

    def counted(self) -> str:
        leads = len({member.lead for member in self.members})
        times = f" of {leads} lead times" if leads > 1 else ""
        return f"{count(len(self.members) // max(leads, 1), 'member')}{times}"

    @property
    def bistable(self) -> list[int]:
        """Numbers of the members that stood between two outcomes: their tolerance is not promised."""
        return sorted({member.member for member in self.members if member.bistable})

    @property
    def above(self) -> list[int]:
        """Numbers of the members whose estimated error is above the tolerance."""
        return sorted({member.member for member in self.members if member.error > self.tolerance})

    def summary(self) -> str:
        worst = max((m.error for m in self.members), default=float("nan"))
        above = f", {count(len(self.above), 'member')} above it" if self.above else ""
        flagged = f"; {count(len(self.bistable), 'member')} stood between two outcomes" if self.bistable else ""
        return (
            f"{self.counted()}: {count(self.rounds, 'round')} (serial {self.serial_rounds}, {self.speedup:.1f}x fewer), "
            f"{count(self.evaluations, 'evaluation')} (serial {self.serial_evaluations}, {self.redundancy:.2f}x), "
            f"estimated error at most {worst:.1e} (tolerance {self.tolerance:.1e}{above}){flagged}"
        )


def count(number: int, noun: str) -> str:
    """Return "1 member", or "2 members"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def thinned(rows: list[list[float]]) -> list[list[float]]:
    """Return at most `TIMELINE` rows, evenly chosen, the first and the last among them."""
    if len(rows) <= TIMELINE:
        return rows
    return [rows[round(k)] for k in np.linspace(0, len(rows) - 1, TIMELINE)]


def joined(rows: list[list[float]], later: list[list[float]]) -> list[list[float]]:
    """Return the timeline of a rank, and after it that of its next lead time, whose seconds begin at 0."""
    if not rows:
        return later
    before = rows[-1]
    return thinned(rows + [[a + b for a, b in zip(before, row, strict=True)] for row in later[1:]])


def residual_history(rounds: list[Any], column: int, steps: int) -> list[Residuals]:
    """Return one member's history out of the engine's rounds, at points of the first `steps` of its chain."""
    taken = [r for r in rounds if r.lengths[column] > 0 and r.first[column] < steps]
    return [
        Residuals(k + 1, int(r.first[column]), [float(f"{v:.3e}") for v in swept_changes(r, column, steps)])
        for k, r in enumerate(taken)
    ]


def swept_changes(entry: Any, column: int, steps: int) -> Any:
    return np.asarray(entry.changes[: min(entry.lengths[column], steps - entry.first[column]), column])
