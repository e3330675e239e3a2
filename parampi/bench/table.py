"""Tables of measurements as Markdown and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table with columns padded so that it reads well as plain text too."""
    cells = [list(header), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:g}"
    return str(value)


def to_json(rows: Sequence[Any]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)
