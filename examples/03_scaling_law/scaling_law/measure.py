"""The whole measurement, as lines, as fits, as JSON and as tables."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from parampi import ConfigError
from scaling_law.fits import Fit, fits
from scaling_law.gaussian import gaussian_rows, theorem_rows
from scaling_law.pair import mixture_rows
from scaling_law.problems import PROBLEMS
from scaling_law.rows import Row
from scaling_law.table import markdown

TOLERANCE = 0.3
DIMS = tuple(2**k for k in range(4, 17))
QUICK = (16, 64, 256, 1024)
NAMES = (*PROBLEMS, "mixture")


@dataclass(frozen=True)
class Scaling:
    """Every method at its cheapest for a KL divergence of `tolerance^2`, and how that grows with the dimension."""

    tolerance: float
    rows: list[Row]
    fits: list[Fit]


def measure(dims: Sequence[int] = DIMS, problems: Sequence[str] = (), tolerance: float = TOLERANCE) -> Scaling:
    """All problems, or those named; "field" and "mixture", which take longer, in every second dimension only.

    Raises ConfigError for a problem that does not exist, a dimension below 16 and a tolerance outside (0, 1).
    """
    check(dims, problems, tolerance)
    rows = [row for dim in dims for row in theorem_rows(dim, tolerance)]
    for name in problems or NAMES:
        for dim in dims if name == "spectrum" else dims[::2]:
            rows += mixture_rows(dim, tolerance) if name == "mixture" else gaussian_rows(name, dim, tolerance)
    return Scaling(tolerance, rows, fits(rows, tolerance))


def check(dims: Sequence[int], problems: Sequence[str], tolerance: float) -> None:
    for name in problems:
        if name not in NAMES:
            raise ConfigError(f"there is no problem {name!r}; choose from {', '.join(NAMES)}")
    if not dims or min(dims) < 16:
        raise ConfigError(f"dims = {list(dims)}; give dimensions of at least 16")
    if not 0 < tolerance < 1:
        raise ConfigError(f"tolerance = {tolerance} must be between 0 and 1: its square is the divergence")


def to_json(scaling: Scaling) -> str:
    return json.dumps(asdict(scaling), indent=1)


def to_markdown(scaling: Scaling) -> str:
    """One line per method: rounds and points in a few dimensions, and how rounds and stored numbers grow."""
    dims = shown_dims(scaling)
    at = "d = " + ", ".join(map(str, dims))
    header = ("problem", "kind", "method", f"rounds, {at}", "grow as", "L² term", f"points, {at}", "numbers grow as")
    rows = {(r.problem, r.kind, r.method, r.dim): r for r in scaling.rows}
    body = []
    for f in scaling.fits:
        shown = [rows[f.problem, f.kind, f.method, d] for d in dims if (f.problem, f.kind, f.method, d) in rows]
        rounds, points = ", ".join(str(r.rounds) for r in shown), ", ".join(short(r.points) for r in shown)
        body.append([f.problem, f.kind, f.method, rounds, *growth(f), points, f"d^{f.memory_exponent:.2f}"])
    return markdown(header, body)


def shown_dims(scaling: Scaling) -> list[int]:
    """Up to four dimensions out of those in which all problems were measured."""
    everywhere = sorted({row.dim for row in scaling.rows})[::2]
    return everywhere[:: max(1, (len(everywhere) - 1) // 3)]


def short(number: int) -> str:
    return str(number) if number < 100_000 else f"{number:.2g}".replace("e+0", "e")


def growth(f: Fit) -> tuple[str, str]:
    """A power of the logarithm and the quadratic term, or a power of d for serial samplers."""
    if f.method.startswith("serial"):
        return f"d^{f.rounds_exponent:.2f}", "-"
    return f"log^{f.power:.1f}", f"{f.quadratic:.2f} ± {f.quadratic_error:.2f}"
