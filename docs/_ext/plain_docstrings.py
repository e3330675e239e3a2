"""Docstrings of parampi are plain text: prose, with formulas in backticks, and columns and formulas set by spaces.

Prose becomes a paragraph, and what is laid out with spaces a literal block, which looks as it was written.
"""

import re
from itertools import groupby

from sphinx.application import Sphinx

SPECIAL = re.compile(r"([*|\\]|_\b|<)")
LAID_OUT = re.compile(r"^\s|\S {2,}\S")


def paragraphs(lines: list[str]) -> list[list[str]]:
    return [list(group) for filled, group in groupby(lines, key=lambda line: bool(line.strip())) if filled]


def prose(line: str) -> str:
    """The line with `code` as literal text and nothing else that reStructuredText would read as markup."""
    parts = line.split("`")
    return "".join(f"``{part}``" if k % 2 else SPECIAL.sub(r"\\\1", part) for k, part in enumerate(parts))


def translate(lines: list[str]) -> list[str]:
    """The docstring as reStructuredText. A formula in backticks that spans lines is joined first."""
    result: list[str] = []
    for paragraph in paragraphs(lines):
        if any(LAID_OUT.search(line) for line in paragraph):
            result += ["::", "", *(f"    {line}" for line in paragraph), ""]
        else:
            result += [prose(" ".join(paragraph)), ""]
    return result


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = translate(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
