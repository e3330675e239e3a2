"""JSON that every reader takes: infinity is the number 1e999, which overflows to it, not Python's word `Infinity`."""

import json
import re
from typing import Any

WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|Infinity')
"""Texts, which stay as they are, and infinity."""


def to_json(value: Any, **options: Any) -> str:
    """Return `json.dumps(value, **options)` without `Infinity`. `json.loads` gives infinity back."""
    return WORDS.sub(lambda word: "1e999" if word[0] == "Infinity" else word[0], json.dumps(value, **options))
