"""Whether an ensemble drawn in parallel has the law of the serial ensemble: modes, marginals and the energy distance.

Tests of pairs compare each member with itself, drawn serially with the same noise. Tests of two samples compare the ensemble
with a serial one of other members.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from torch import Tensor

from parampi.bench.law_cases import LawCase, modes_of, serially
from parampi.bench.law_tests import (
    Floats,
    Outcome,
    compare_energies,
    compare_modes,
    compare_moments,
    compare_projections,
    holm,
)
from parampi.bench.rounds import relative
from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json

MEMBERS = 20_000
LEVEL = 0.05
"""Probability that any of a table's tests finds a difference where there is none."""
SMALLEST = 1e-300
"""Smallest p-value that is told from 0."""
TESTS = ("frequencies", "moments", "projections", "energy")
Report = Callable[[LawCase], None]


@dataclass(frozen=True)
class LawRow:
    """How an ensemble of one case compares with the serial one.

    above        share of the members above their tolerance, and `rounds`: mean number of rounds
    flagged      share of the members that are said to have stood between two outcomes
    flips        share of the members in another mode than when drawn serially, and `flips_unflagged`: and not flagged
    gained, lost  members that came into the mode whose frequency changed most (of two, the rarer one), and those that left it
    frequencies  test of flips in both directions; of its mode's frequency, as a share of the members
    moments      test of the pairs' entries, squares and norms; in standard deviations; `moment`: which differs most
    projections  Kolmogorov and Smirnov's test against other members; a distance of distribution functions, and a shift in
                 standard deviations that it finds
    energy       test of the energy distance from other members; relative to that of two members, and a shift as above
    """

    family: str
    half: str
    sampler: str
    solver: str
    window: int | None
    tolerance: float
    members: int
    above: float
    rounds: float
    flagged: float
    flips: float
    flips_unflagged: float
    gained: int
    lost: int
    frequencies: Outcome
    moments: Outcome
    moment: str
    projections: Outcome
    energy: Outcome

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(getattr(self, name) for name in TESTS)


def measure(
    cases: Sequence[LawCase], members: int = MEMBERS, seed: int = 0, report: Report = lambda case: None
) -> list[LawRow]:
    """Return the row of each case."""
    rows, level = [], LEVEL / (len(TESTS) * max(len(cases), 1))
    serial: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
    for case in cases:
        ensembles = case.family, case.sampler
        if ensembles not in serial:
            problem = case.problem(seed)
            serial[ensembles] = serially(problem, range(members)), serially(problem, range(members, 2 * members))
        rows.append(row_of(case, *serial[ensembles], seed=seed, level=level))
        report(case)
    return rows


def row_of(case: LawCase, serial: Tensor, others: Tensor, *, seed: int, level: float) -> LawRow:
    """Return a row, by the serial sampler's fields of the same members and of others, (m, *shape) both."""
    drawn = case.parallel(case.problem(seed), range(len(serial)))
    parallel, before, after = drawn.fields, modes_of(case.family, serial), modes_of(case.family, drawn.fields)
    flips = compare_modes(before, after, level)
    moments, moment = compare_moments(vectors(serial), vectors(parallel), level)
    return LawRow(
        family=case.family,
        half=case.half,
        sampler=case.sampler,
        solver=case.solver,
        window=case.window,
        tolerance=case.tolerance,
        members=len(serial),
        above=float((relative(parallel, serial) > case.tolerance).double().mean()),
        rounds=float(drawn.rounds.double().mean()),
        flagged=float(drawn.flagged.double().mean()),
        flips=flips.count / len(serial),
        flips_unflagged=float(np.mean((before != after) & ~drawn.flagged.numpy())),
        gained=flips.gained,
        lost=flips.lost,
        frequencies=flips.frequencies,
        moments=moments,
        moment=moment,
        projections=compare_projections(vectors(parallel), vectors(others), level),
        energy=compare_energies(vectors(parallel), vectors(others), level),
    )


def vectors(fields: Tensor) -> Floats:
    array: Floats = fields.flatten(1).numpy().astype(np.float64)
    return array


# ---------------------------------------------------------------------- tables


def to_markdown(rows: Sequence[LawRow]) -> str:
    """Return a digest, then tables of pairs and of samples; p-values where a difference was found are bold."""
    differing = differences(rows)
    bold = {(id(row), name) for row, name in differing}
    pairs = markdown(PAIRS, [pair_cells(row, bold) for row in rows])
    samples = markdown(SAMPLES, [sample_cells(row, bold) for row in rows])
    return "\n\n".join([markdown(DIGEST, digest(rows, differing)), pairs, samples])


def differences(rows: Sequence[LawRow]) -> list[tuple[LawRow, str]]:
    """Return the rows and tests that found a difference, by Holm's method over all of them."""
    tests = [(row, name) for row in rows for name in TESTS]
    adjusted = holm([getattr(row, name).p for row, name in tests])
    return [test for test, p in zip(tests, adjusted, strict=True) if p < LEVEL]


CASE = ("family", "half", "sampler", "solver", "window", "tolerance")
PAIRS = (
    *CASE, "above %", "flagged %", "flips %", "not flagged %", "in : out", "bias %", "finds", "p", "of", "shift", "finds", "p",
)  # fmt: skip
DIGEST = ("solver", "tolerance", "cases", "flips %", "bias %", "most", "shift", "most", *TESTS)
SAMPLES = (*CASE, "distance", "finds", "p", "energy", "finds", "p")


def case_cells(row: LawRow) -> list[Any]:
    return [row.family, row.half, row.sampler, row.solver, row.window or "all", row.tolerance]


def pair_cells(row: LawRow, bold: set[tuple[int, str]]) -> list[Any]:
    ways, modes, moments = f"{row.gained} : {row.lost}", row.frequencies, row.moments
    counts = [percent(share) for share in (row.above, row.flagged, row.flips, row.flips_unflagged)]
    frequencies = [percent(modes.size), percent(modes.finds), p_value(row, "frequencies", bold)]
    shifts = [row.moment, short(moments.size), short(moments.finds), p_value(row, "moments", bold)]
    return [*case_cells(row), *counts, ways, *frequencies, *shifts]


def sample_cells(row: LawRow, bold: set[tuple[int, str]]) -> list[Any]:
    cells = case_cells(row)
    for name in ("projections", "energy"):
        outcome = getattr(row, name)
        cells += [short(outcome.size), short(outcome.finds), p_value(row, name, bold)]
    return cells


def p_value(row: LawRow, name: str, bold: set[tuple[int, str]]) -> str:
    p = getattr(row, name).p
    text = f"{p:.2g}" if p > SMALLEST else f"< {SMALLEST:g}"
    return f"**{text}**" if (id(row), name) in bold else text


def percent(share: float) -> str:
    return f"{100 * share:.2f}"


def short(number: float) -> str:
    return f"{number:.2g}"


def digest(rows: Sequence[LawRow], differing: Sequence[tuple[LawRow, str]]) -> list[list[Any]]:
    """Return lines for each solver and tolerance, and for all: the largest differences of pairs, the medians, and by how many
    cases each test found one."""
    groups: dict[tuple[str, float], list[LawRow]] = {}
    for row in rows:
        groups.setdefault((row.solver, row.tolerance), []).append(row)
    lines = [digest_line([solver, tolerance], members, differing) for (solver, tolerance), members in groups.items()]
    return [*lines, digest_line(["all", None], rows, differing)] if rows else []


def digest_line(name: list[Any], rows: Sequence[LawRow], differing: Sequence[tuple[LawRow, str]]) -> list[Any]:
    flips = [row.flips for row in rows]
    biases, shifts = [row.frequencies.size for row in rows], [row.moments.size for row in rows]
    numbers = [percent(max(flips)), percent(median(biases)), percent(max(biases)), short(median(shifts)), short(max(shifts))]
    counts = [sum(row is one and test == name for row in rows for one, test in differing) for name in TESTS]
    return [*name, len(rows), *numbers, *counts]
