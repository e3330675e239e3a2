"""Numbers of ranks as an option, shared by verbs."""

from typing import Any

import click

RANKS = "Numbers of ranks, such as 1,2,4,8."
MACHINE = "What parampi bench network and bench scan have written of the machine (--out)."
MOST = 1 << 20


def counts(context: click.Context, option: Any, text: str) -> list[int]:
    """Return the numbers, each once, the smallest first. Raises BadParameter, with what to give instead."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and 1 <= int(word[:9]) <= MOST and len(word) < 9 for word in words):
        raise click.BadParameter(f"{text!r} are no numbers of ranks; give them with commas, such as 1,2,4,8")
    return sorted({int(word) for word in words})
