"""Rounds and residuals of members as the tables that the page's heat map draws, no larger than a page can hold."""

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.report import MemberReport, Report, Residuals, count
from parampi.verify.figures import residual_table

ROWS, COLUMNS = 200, 400
"""Most members and most points, or rounds, of a table. More points or rounds share columns, which show the largest."""
CELLS = 220_000
"""Most cells of all tables of single members together."""
DECADES = -16.0, 4.0
"""Powers of ten of the least and the greatest residual that is told apart."""
Namer = Callable[[int], str]
Table = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Row:
    """A member of the heat map: its name and a short one, what it cost at its first lead time, and what is wrong with it."""

    name: str
    short: str
    facts: str
    flag: str


def heat_map(
    report: Report, sigmas: Sequence[float], name_of: Namer, short_of: Namer, lead_times: Sequence[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Return what the page's script draws, as plain data, and lines about what is left out; nothing where none was drawn.
    `lead_times` of a roll-out in words: a view has the rounds of each, the others are of the first."""
    if not report.residuals:
        return {}, []
    numbers, notes = chosen(report)
    first = {member.member: member for member in reversed(report.members)}
    steps = max(len(sigmas) - 1, 1)
    rounds = max(len(report.residuals[number]) for number in numbers)
    summaries = [summary_of(report.residuals[number], steps, number in first) for number in numbers]
    taken, accepted, worst = ([getattr(one, name) for one in summaries] for name in ("taken", "accepted", "worst"))
    views = {"points": counts(taken, steps), "accepted": counts(accepted, rounds), "rounds": changes(worst, rounds)}
    if len(lead_times) > 1:
        views["leads"] = counts(rounds_by_lead(report, numbers, len(lead_times)), len(lead_times))
    if max(steps, rounds) > COLUMNS:
        notes.append(
            f"Up to {math.ceil(max(steps, rounds) / COLUMNS)} points or rounds share a column, which shows the largest."
        )
    rows = [row_of(number, first.get(number), name_of, short_of, report.tolerance) for number in numbers]
    singles, note = single_members([report.residuals[number] for number in numbers], [bool(row.flag) for row in rows], steps)
    return {
        "tolerance": report.tolerance,
        "steps": steps,
        "sigmas": [float(f"{sigma:.3g}") for sigma in sigmas[:steps]],
        "decades": DECADES,
        "leads": list(lead_times),
        "rows": [vars(row) for row in rows],
        "views": views,
        "singles": singles,
    }, notes + note


def chosen(report: Report) -> tuple[list[int], list[str]]:
    """Return the members that are shown, by number, and what to say of the others."""
    numbers = list(report.residuals)
    everyone, notes = len({member.member for member in report.members}), []
    if len(numbers) < everyone:
        notes.append(f"Of {everyone} members {len(numbers)} are known round by round: those of this attempt's groups that fit.")
    if len(numbers) > ROWS:
        errors: dict[int, float] = {}
        for member in report.members:
            errors[member.member] = max(errors.get(member.member, 0.0), member.error)
        flagged = set(report.bistable) | set(report.above)
        numbers.sort(key=lambda number: (number not in flagged, -errors.get(number, 0.0)))
        notes.append(f"Shown are {ROWS} of {len(numbers)} members: those that are flagged, then those with the largest errors.")
        numbers = numbers[:ROWS]
    return sorted(numbers), notes


def rounds_by_lead(report: Report, numbers: Sequence[int], leads: int) -> list[Table]:
    """Return the rounds of each member at each lead time (leads,), NaN where it is not finished."""
    taken = {(member.member, member.lead): float(member.rounds) for member in report.members}
    return [np.array([taken.get((number, lead), np.nan) for lead in range(leads)]) for number in numbers]


def row_of(number: int, member: MemberReport | None, name_of: Namer, short_of: Namer, tolerance: float) -> Row:
    """Return a member's row."""
    names = name_of(number), short_of(number)
    if member is None:
        return Row(*names, "not finished", "")
    flag = "above" if member.error > tolerance else "bistable" if member.bistable else ""
    facts = f"{count(member.rounds, 'round')}, {count(member.evaluations, 'evaluation')}, error at most {member.error:.1e}"
    return Row(*names, facts, flag)


def history_of(rounds: Sequence[Residuals]) -> list[tuple[int, Table]]:
    """Return a member's history as `residual_table` takes it."""
    return [(entry.first, np.array(entry.changes)) for entry in rounds]


@dataclass(frozen=True)
class Summary:
    """A member's rounds in three lines: `taken` rounds of each point, points `accepted` after each round, and the `worst`
    residual of each round, NaN where it has none."""

    taken: Table
    accepted: Table
    worst: Table


def summary_of(rounds: Sequence[Residuals], steps: int, finished: bool) -> Summary:
    """Return a member's rounds in three lines; only these are kept of its table, which may be large."""
    table = residual_table(history_of(rounds), steps)
    firsts = [entry.first for entry in rounds]
    accepted = np.array([*firsts[1:], steps if finished else firsts[-1]], np.float64)
    return Summary(np.isfinite(table).sum(0).astype(np.float64), accepted, largest(table))


def largest(table: Table) -> Table:
    """Return the largest residual of each round (R,); NaN where it has none."""
    known = np.where(np.isfinite(table), table, -np.inf).max(1)
    return np.where(np.isinf(known), np.nan, known)


def binned(table: Table, axis: int, most: int = COLUMNS) -> tuple[Table, int]:
    """Return a table of which so many cells share one that at most `most` are left, NaN where none is known, and how many."""
    each = math.ceil(table.shape[axis] / most) or 1
    short = -table.shape[axis] % each
    widths = [(0, short if k == axis else 0) for k in range(table.ndim)]
    padded = np.pad(np.where(np.isnan(table), -np.inf, table), widths, constant_values=-np.inf)
    shape = list(padded.shape)
    shape[axis : axis + 1] = [shape[axis] // each, each]
    found = padded.reshape(shape).max(axis + 1)
    return np.where(np.isinf(found), np.nan, found), each


def side_by_side(rows: Sequence[Table], columns: int) -> tuple[Table, int]:
    """Return rows of unequal length as one table, filled up with NaN, and how many of its columns share one."""
    table = np.full((len(rows), columns), np.nan)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return binned(table, axis=1)


def counts(rows: Sequence[Table], columns: int) -> dict[str, Any]:
    """Return a view of whole numbers: 0 for none, else the number and 1 more."""
    table, each = side_by_side(rows, columns)
    return packed(np.where(np.isnan(table), 0, np.minimum(np.nan_to_num(table), 65534) + 1)) | {"each": each}


def changes(rows: Sequence[Table], columns: int) -> dict[str, Any]:
    """Return a view of residuals."""
    table, each = side_by_side(rows, columns)
    return packed(encoded(table)) | {"each": each}


def single_members(
    histories: Sequence[Sequence[Residuals]], flagged: Sequence[bool], steps: int
) -> tuple[dict[str, Any], list[str]]:
    """Return tables (round, point) of single members by their rows, as many as there is room for, those that are flagged
    first; and what to say of the others."""
    singles: dict[str, Any] = {}
    room, total = CELLS, len(histories)
    for row in sorted(range(total), key=lambda row: not flagged[row]):
        by_point, points = binned(residual_table(history_of(histories[row]), steps), axis=1)
        table, rounds = binned(by_point, axis=0, most=COLUMNS // 2)
        room -= table.size
        if room < 0:
            words = f"{len(singles)} of {total} members can be chosen alone, the flagged ones first: more would not fit."
            return singles, [words]
        singles[str(row)] = packed(encoded(table)) | {"each": points, "rounds_each": rounds}
    return singles, []


def encoded(table: Table) -> Table:
    """Return residuals as numbers from 1 to 65535 by their logarithm, 0 where there is none."""
    least, greatest = DECADES
    powers = np.log10(np.clip(np.nan_to_num(table, nan=1.0), 10.0**least, 10.0**greatest))
    return np.where(np.isnan(table), 0, 1 + np.rint((powers - least) / (greatest - least) * 65534))


def packed(table: Table) -> dict[str, Any]:
    """Return a table of whole numbers below 65536 as text: two bytes each, the lower first, in base64."""
    data = base64.b64encode(table.astype("<u2").tobytes()).decode()
    return {"rows": table.shape[0], "columns": table.shape[1], "data": data}
