"""Whether the tolerance means the error: random runs by the solvers' own rules beside the serial sampler and an oracle.

Every member is judged by itself, by its L2 error relative to its own norm. Members that stood between two outcomes are flagged,
and counted with the others and without.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from statistics import mean, median
from typing import Any

from parampi.bench.draws import SAMPLERS, SOLVERS, TENTH, WINDOWS, Choices, Draw, DrawnRun, MemberRecord
from parampi.bench.families import FAMILIES, HALVES
from parampi.bench.rounds import chosen
from parampi.bench.subject import Subject, of_family
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.errors import ConfigError, NonFiniteError, UserError

NETWORK_STEPS, NETWORK_MEMBERS = 40, 2
NETWORK_SPACINGS = ("karras", "log_uniform")
"""Grids for a network: those that can be kept within the noise levels of its configuration."""
ROUNDING = 1e-15
"""Least error that an estimate is divided by."""
Report = Callable[[Draw, Exception | None], None]
"""Called after each run, with the error that ended it where there was one."""


@dataclass(frozen=True)
class ToleranceRow:
    """Members of runs that have `name` in common.

    share      of the tolerance that solvers were given; errors are judged by the whole
    above      share of the members that ended above their tolerance, and the same of those not flagged, None where all are
    flagged    share of the members
    worst      largest error / tolerance of a member not flagged
    estimate   median of estimate / error, of members whose estimate is not 0: those of a run with as many rounds as points are
               exact
    rounds     mean
    oracle     median of rounds / an oracle's rounds, of members that have an oracle, and `over` the most rounds above it
    """

    by: str
    name: str
    share: float
    members: int
    above: float
    above_unflagged: float | None
    flagged: float
    worst: float | None
    estimate: float | None
    rounds: float
    oracle: float | None
    over: float | None

    @classmethod
    def of(cls, by: str, name: str, share: float, records: Sequence[MemberRecord]) -> "ToleranceRow":
        """Return the row of some records, at least one."""
        plain = [record for record in records if record.bistable is None]
        estimated = [record.estimate / max(record.error, ROUNDING) for record in records if record.estimate > 0]
        judged = [(record.rounds, record.oracle) for record in records if record.oracle is not None]
        return cls(
            by=by,
            name=name,
            share=share,
            members=len(records),
            above=mean(record.ratio > 1 for record in records),
            above_unflagged=mean(record.ratio > 1 for record in plain) if plain else None,
            flagged=mean(record.bistable is not None for record in records),
            worst=max((record.ratio for record in plain), default=None),
            estimate=median(estimated) if estimated else None,
            rounds=mean(record.rounds for record in records),
            oracle=median(rounds / oracle for rounds, oracle in judged) if judged else None,
            over=max((rounds - oracle for rounds, oracle in judged), default=None),
        )

    @classmethod
    def medians(cls, name: str, rows: Sequence["ToleranceRow"]) -> "ToleranceRow":
        """Return the medians of rows, number by number, of those that have it."""

        def middle(column: str) -> Any:
            numbers = [getattr(row, column) for row in rows if getattr(row, column) is not None]
            return median(numbers) if numbers else None

        numbers = {column.name: middle(column.name) for column in fields(cls) if column.name not in ("by", "name")}
        return cls(by="all", name=name, **numbers)


def decade(tolerance: float) -> str:
    power = math.floor(math.log10(tolerance))
    return f"1e{power} to 1e{power + 1}"


DECADES = tuple(decade(1.5 * 10.0**-power) for power in range(2, 6))
GROUPS: dict[str, tuple[tuple[str, ...], Callable[[Draw], str]]] = {
    "family": ((*FAMILIES, "network"), lambda draw: draw.family),
    "solver": (tuple(SOLVERS), lambda draw: draw.solver),
    "sampler": (tuple(SAMPLERS), lambda draw: draw.sampler),
    "window": (tuple(str(size or "all") for size in WINDOWS), lambda draw: str(draw.window or "all")),
    "tolerance": (DECADES, lambda draw: decade(draw.tolerance)),
}
"""By what members are sorted: the names in their order, and the name of a draw."""


def choices_of(
    half: str = "develop",
    *,
    families: Sequence[str] = (),
    samplers: Sequence[str] = (),
    solvers: Sequence[str] = (),
    network: Subject | None = None,
) -> Choices:
    """Return what is drawn from: the families of a half, or those named; or a network. Raises ConfigError for other names."""
    samplers, solvers = chosen("sampler", samplers, SAMPLERS), chosen("solver", solvers, SOLVERS)
    if network is None:
        known = tuple(FAMILIES) if half == "both" else HALVES[half]
        names = chosen("family" if half == "both" else f"family in the half to {half}", families, known)
        return Choices(of_family, tuple(names), tuple(samplers), tuple(solvers))
    if families:
        raise ConfigError(f"the family {families[0]!r} is not drawn from where a configuration's network is; leave one out")
    return Choices(
        subjects=lambda name: network,
        families=("network",),
        samplers=tuple(samplers),
        solvers=tuple(solvers),
        spacings=NETWORK_SPACINGS,
        lowest=network.lowest,
        most_steps=NETWORK_STEPS,
        members=NETWORK_MEMBERS,
    )


def measure(
    choices: Choices, runs: int = 100, seed: int = 0, tenth: bool = False, report: Report = lambda draw, error: None
) -> list[MemberRecord]:
    """Return the records of so many draws; with `tenth` those of the same draws with a tenth of the tolerance too."""
    shares, records = (1.0, TENTH) if tenth else (1.0,), []
    for number in range(runs):
        draw, error = Draw.of(choices, seed, number), None
        try:
            records += DrawnRun.of(draw, choices.subjects(draw.family)).records(shares)
        except (UserError, NonFiniteError) as reason:
            error = reason
        report(draw, error)
    return records


def rows_of(records: Iterable[MemberRecord]) -> list[ToleranceRow]:
    """Return a row for each name of each group that has members, of all, and of the medians over families; for each share
    of the tolerance that solvers were given."""
    shares: dict[float, list[MemberRecord]] = {}
    for record in records:
        shares.setdefault(record.share, []).append(record)
    return [row for share, members in shares.items() for row in rows_of_share(share, members)]


def rows_of_share(share: float, records: Sequence[MemberRecord]) -> list[ToleranceRow]:
    rows = []
    for by, (names, name_of) in GROUPS.items():
        groups = [(name, [record for record in records if name_of(record.draw) == name]) for name in names]
        rows += [ToleranceRow.of(by, name, share, members) for name, members in groups if members]
    families = [row for row in rows if row.by == "family"]
    return [*rows, ToleranceRow.medians("median of families", families), ToleranceRow.of("all", "all", share, records)]


def to_markdown(rows: Sequence[ToleranceRow]) -> str:
    """Return a table for each group, with those of a tenth after those of the whole tolerance."""
    shares = list(dict.fromkeys(row.share for row in rows))
    tables = []
    for share in shares:
        title = [f"Asked for {share:g} of the tolerance:"] if len(shares) > 1 else []
        groups = {by: [row for row in rows if row.by == by and row.share == share] for by in (*GROUPS, "all")}
        tables += [*title, *(table(by, members) for by, members in groups.items() if members)]
    return "\n\n".join(tables)


def table(by: str, rows: Sequence[ToleranceRow]) -> str:
    header = (
        by,
        "members",
        "above %",
        "not flagged %",
        "flagged %",
        "worst",
        "estimate / error",
        "rounds",
        "/ oracle",
        "most above",
    )
    body = [
        [
            row.name,
            row.members,
            percent(row.above),
            percent(row.above_unflagged),
            percent(row.flagged),
            short(row.worst),
            short(row.estimate),
            short(row.rounds),
            short(row.oracle),
            row.over,
        ]
        for row in rows
    ]
    return markdown(header, body)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def short(number: float | None) -> str:
    return "-" if number is None else f"{number:.3g}"
