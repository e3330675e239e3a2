"""What the page says in words and tables: the run in numbers, what is to be done, members, configuration and origin."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from parampi.report import MemberReport, Report, count, in_seconds
from parampi.run.config import RunConfig

ABOVE = (
    "Each is a draw all the same: for statistics of the ensemble do nothing at 1e-2 and below. Where a member must be the "
    "serial one, draw it again with a tenth of the tolerance."
)
BISTABLE = (
    "Such a member may have become another field than the serial one, and is as good a draw. Where it must be the serial one, "
    "draw it again with Picard, or with a tolerance of 1e-3 or less."
)
OTHERWISE = "sampling.solver.name=picard sampling.tolerance=1e-3"
LISTED = 200
"""Most fields of members that the page lists."""
NAMED = 12
"""Most members that a line names."""
OUTCOMES = {
    "converged": "complete",
    "nonfinite": "ended early: the network returned NaN or Inf",
    "interrupted": "stopped in good order before it was complete",
}
PROVENANCE = {
    "parampi_version": "parampi",
    "software": "software",
    "mpi": "MPI",
    "rank_layout": "layout of ranks",
    "threads_per_rank": "threads of each rank",
    "parampi_ensemble": "ensemble",
    "parampi_run": "run",
}
"""Attributes of a run that the page shows, and what they are called there."""


@dataclass(frozen=True)
class Task:
    """A thing that is to be done: what was found, why it matters, and a command or overrides."""

    finding: str
    remedy: str
    command: str = ""


@dataclass(frozen=True)
class Listed:
    """Members in a table: rows, and which of how many these are."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""


def key_numbers(report: Report, members: int, leads: int) -> list[tuple[str, str, str]]:
    """Return the run in numbers: what, how much, and beside what."""
    done, asked = len(report.members), members * leads
    worst = max((member.error for member in report.members), default=float("nan"))
    # the serial counts are of all that was asked for: a part of it beside them would look cheap
    fewer, times_as_many = (
        (times(report.speedup, "x fewer"), times(report.redundancy, "x")) if done == asked else (" for all",) * 2
    )
    numbers = [
        (
            "finished",
            f"{done} of {asked}",
            f"member{'s' * (asked != 1)}" if leads == 1 else f"fields: {count(members, 'member')}, {leads} lead times",
        ),
        ("rounds", f"{report.rounds}", f"serial {report.serial_rounds}" + fewer),
        ("evaluations", f"{report.evaluations}", f"serial {report.serial_evaluations}" + times_as_many),
        ("estimated error", f"{worst:.1e}" if report.members else "none", f"tolerance {report.tolerance:.1e}"),
    ]
    if timing := report.timing:
        beside = (
            f"{timing.ratio:.2f} times as fast as the serial sampler on one rank" if timing.ratio else "no serial time known"
        )
        numbers.append(("time", in_seconds(timing.seconds), beside))
    return numbers


def times(ratio: float, words: str) -> str:
    """Return a ratio in words, "" where it is NaN."""
    return f", {ratio:.3g}{words}" if ratio == ratio else ""


def tasks(report: Report, config: RunConfig, members: int, leads: int, name_of: Callable[[int], str]) -> list[Task]:
    """Return what is to be done about a run, the most urgent first."""
    found, missing = [], members * leads - len(report.members)
    if missing > 0:
        unit = count(missing, "field" if leads > 1 else "member")
        remedy = "Go on where the run stopped, on any number of ranks. After a NaN, mend the network first."
        command = f"parampi resume {config.output.directory}"
        found.append(Task(f"{unit} of {members * leads} missing: {OUTCOMES[report.outcome]}.", remedy, command))
    if report.above:
        found.append(Task(f"Above the tolerance: {named(report.above, name_of)}.", ABOVE, tenth(report.tolerance)))
    if report.bistable:
        found.append(Task(f"Stood between two outcomes: {named(report.bistable, name_of)}.", BISTABLE, OTHERWISE))
    if (timing := report.timing) and timing.paid is False and timing.alone is not None:
        finding = f"Sweeping did not pay: members alone would take about {in_seconds(timing.alone)} on these ranks."
        remedy = "Draw the next such ensemble with members alone, or ask parampi plan for a better layout."
        found.append(Task(finding, remedy, timing.remedy))
    return found


def tenth(tolerance: float) -> str:
    """Return what asks for a tenth of a tolerance."""
    return f"sampling.tolerance={tolerance / 10:.3g}"


def named(numbers: Sequence[int], name_of: Callable[[int], str]) -> str:
    """Return members by name, and how many more there are."""
    listed = "; ".join(name_of(number) for number in numbers[:NAMED])
    more = f" and {len(numbers) - NAMED} more (in the table)" if len(numbers) > NAMED else ""
    return f"{listed}{more}"


def member_table(report: Report, name_of: Callable[[int], str], lead_of: Callable[[int], str]) -> Listed:
    """Return the members of a run: all of them, or those that are flagged and those with the largest errors."""
    rows, note = list(report.members), ""
    if len(rows) > LISTED:
        rows.sort(key=lambda member: (not flag_of(member, report.tolerance), -member.error))
        note = f"{LISTED} of {len(rows)}: those that are flagged, then those with the largest errors. report.json has all."
        rows = rows[:LISTED]
    return Listed([row_of(member, report.tolerance, name_of, lead_of) for member in rows], note)


def flag_of(member: MemberReport, tolerance: float) -> str:
    """Return what is wrong with a member; "" for nothing."""
    flags = ["above the tolerance"] * (member.error > tolerance)
    return ", ".join([*flags, *[f"between two outcomes at noise level {member.bistable:.2g}"] * bool(member.bistable)])


def row_of(
    member: MemberReport, tolerance: float, name_of: Callable[[int], str], lead_of: Callable[[int], str]
) -> dict[str, Any]:
    return {
        "name": name_of(member.member),
        "lead": lead_of(member.lead),
        "rounds": member.rounds,
        "evaluations": member.evaluations,
        "residual": f"{member.residual:.1e}",
        "error": f"{member.error:.1e}",
        "flag": flag_of(member, tolerance),
    }


def layout_rows(report: Report) -> list[tuple[str, str]]:
    """Return how members and points were shared out."""
    names = {"ranks": "ranks", "groups": "groups of ranks", "time_ranks": "ranks along time, in each group"}
    names |= {"window": "points of a window", "lead_times": "lead times", "flight": "lead times swept together"}
    rows = [(names.get(name, name), str(value)) for name, value in report.layout.items() if name != "overlap"]
    if report.layout.get("overlap"):
        rows.append(("rounds", "of two halves of a group's members overlap: calls of the network and sweeps went on at once"))
    if report.timing:
        hosts = sorted(set(report.timing.hosts))
        shown = ", ".join(hosts[:NAMED]) + (f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else "")
        rows += [("hosts", shown), ("began", report.timing.began), ("ended", report.timing.ended)]
        if report.timing.call is not None:
            rows.append(("one network call for one field", in_seconds(report.timing.call)))
    return rows


def configuration(config: RunConfig) -> str:
    """Return the whole configuration as YAML."""
    return yaml.safe_dump(json.loads(json.dumps(config.as_dict())), sort_keys=False, allow_unicode=True, width=110)


def provenance(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the run was made, and the digests of the files that decide its fields."""
    rows = [(label, str(attributes[key])) for key, label in PROVENANCE.items() if key in attributes]
    digests = json.loads(attributes.get("inputs_sha256", "{}"))
    return rows + [(f"SHA-256 of {key}", str(digest)) for key, digest in digests.items()]
