"""Mappings in the JSON files of frameworks."""

import json
from pathlib import Path
from typing import Any

from parampi.errors import DataError


def read_mapping(path: Path, remedy: str, key: str = "") -> dict[str, Any]:
    """Return the mapping that a file holds. Raises DataError with a remedy, and the key that names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{key}{path} cannot be read ({error}); {remedy}") from None
    if not isinstance(content, dict):
        raise DataError(f"{key}{path} holds a {type(content).__name__}, and no mapping; {remedy}")
    return content
