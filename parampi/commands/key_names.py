"""Keys of a configuration as a shell completes them; nothing large is loaded."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEYS = Path(__file__).parents[1] / "run" / "config" / "keys.yaml"


def completed(*sections: str) -> Callable[[Any, Any, str], list[str]]:
    """Return what completes a key of these sections, or of any if none is named, up to its equals sign."""

    def complete(context: Any, parameter: Any, begun: str) -> list[str]:
        names = re.findall(r"^([\w.]+):$", KEYS.read_text(encoding="utf-8"), re.MULTILINE)
        return [f"{name}=" for name in names if name.startswith(begun) and (not sections or name.split(".")[0] in sections)]

    return complete
