"""Keys of the network that a configuration leaves out, taken from the file that holds the network, or from its card."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from parampi.errors import UserError
from parampi.run import card


def complete(tree: dict[str, Any]) -> None:
    """Put what the network's file says of prediction, clock and scale in the places of keys that are left out."""
    model = tree.get("model")
    weights = model.get("weights") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(weights, str):
        return
    said = card.Card()
    with suppress(UserError, OSError, ValueError):  # loading the network says what is wrong with the file
        said = card.read(Path(weights))
    for key in ("predicts", "clock", "sigma_data"):
        value = getattr(said, key)
        if value is not None and model.get(key) is None:
            model[key] = value
