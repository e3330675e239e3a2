"""The study as JSON and as a table in Markdown."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from scaling_law.fits import ScalingFit
from scaling_law.study import ScalingStudy


def to_json(study: ScalingStudy) -> str:
    """Return all rows and fits."""
    return json.dumps(asdict(study), indent=1)


def to_markdown(study: ScalingStudy) -> str:
    """Return one line per method: rounds and points in a few dimensions, and how rounds and stored numbers grow."""
    dims = shown_dims(study)
    at = "d = " + ", ".join(map(str, dims))
    header = ("problem", "kind", "method", f"rounds, {at}", "grow as", "L² term", f"points, {at}", "numbers grow as")
    rows = {(r.problem, r.kind, r.method, r.dim): r for r in study.rows}
    lines = []
    for fit in study.fits:
        keys = [(fit.problem, fit.kind, fit.method, dim) for dim in dims]
        shown = [rows[key] for key in keys if key in rows]
        rounds, points = ", ".join(str(row.rounds) for row in shown), ", ".join(short(row.points) for row in shown)
        lines.append([fit.problem, fit.kind, fit.method, rounds, *growth(fit), points, f"d^{fit.memory_exponent:.2f}"])
    return markdown_table(header, lines)


def shown_dims(study: ScalingStudy) -> list[int]:
    """Return up to four dimensions out of those in which all problems were measured."""
    common = sorted({row.dim for row in study.rows})[::2]
    return common[:: max(1, (len(common) - 1) // 3)]


def short(number: int) -> str:
    """Return a number as text, with two digits if it is large."""
    return str(number) if number < 100_000 else f"{number:.2g}".replace("e+0", "e")


def growth(fit: ScalingFit) -> tuple[str, str]:
    """Return a power of the logarithm and the quadratic term, or a power of d for serial samplers."""
    if fit.method.startswith("serial"):
        return f"d^{fit.rounds_exponent:.2f}", "-"
    return f"log^{fit.power:.1f}", f"{fit.quadratic:.2f} ± {fit.quadratic_error:.2f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose columns are padded, so that it reads well as plain text too."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in (header, *rows)]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
