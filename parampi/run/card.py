"""A model's card: what its weights file says of the network's channels, by name. Kept in the metadata of safetensors."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from parampi.errors import ConfigError, DataError

LISTS, NUMBERS = ("channels", "condition"), ("sigma_data",)


@dataclass(frozen=True)
class Card:
    """The facts of a network that its weights file states, None where it states none.

    channels    names of what the network draws, in its order
    condition   names of its conditions, in its order
    predicts    as `model.predicts`
    sigma_data  standard deviation of the normalised data it was trained on
    """

    channels: tuple[str, ...] | None = None
    condition: tuple[str, ...] | None = None
    predicts: str | None = None
    sigma_data: float | None = None

    def order(self, names: Sequence[str], source: str) -> tuple[str, ...]:
        """Return the network's channels, in its order. Raises ConfigError unless all are among `names`."""
        missing = [name for name in self.channels or () if name not in names]
        if missing:
            raise ConfigError(
                f"{source} has no {', '.join(missing)}: it has {', '.join(names)}, and the network draws "
                f"{', '.join(self.channels or ())} (the card in its weights); make one with parampi stats --variable"
            )
        return self.channels or tuple(names)

    def condition_order(self, names: Sequence[str]) -> list[int]:
        """Return where the network's conditions stand among `names`. Raises ConfigError where they are others."""
        if self.condition is None:
            return list(range(len(names)))
        if sorted(self.condition) != sorted(names):
            raise ConfigError(
                f"the network is given {', '.join(self.condition) or 'nothing'} (the card in its weights), but condition names "
                f"{', '.join(names) or 'nothing'}; name the same variables, in any order"
            )
        return [list(names).index(name) for name in self.condition]

    def agree(self, predicts: str, sigma_data: float) -> None:
        """Raise ConfigError where a configuration says otherwise."""
        for name, stated, value in (("predicts", self.predicts, predicts), ("sigma_data", self.sigma_data, sigma_data)):
            if stated is not None and stated != value:
                raise ConfigError(f"model.{name} = {value}, but the card in the network's weights says {stated}; put it right")


def read(path: str | Path) -> Card:
    """Return the card of a weights file, an empty one where there is none. Raises DataError for a damaged card."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return Card()  # loading the weights says what is wrong
    names = (*LISTS, "predicts", *NUMBERS)
    return Card(**{name: parse_entry(path, name, metadata[name]) for name in names if name in metadata})


def parse_entry(path: str | Path, name: str, text: str) -> Any:
    """Return an entry of a card. Raises DataError where it is damaged."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if name in LISTS and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if name in NUMBERS and isinstance(value, int | float):
        return float(value)
    if name == "predicts" and isinstance(value, str):
        return value
    raise DataError(f"{path}: its card has {name} = {text}; write it anew with parampi card")


def write(path: str | Path, card: Card) -> None:
    """Put a card into a weights file; its entries replace those of the same names."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file, save_file

    from parampi.fields.atomic_files import new_partial, put_in_place, writing

    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is no safetensors file ({error})") from None
    metadata |= {name: json.dumps(value) for name, value in asdict(card).items() if value is not None}
    with writing(path):
        partial = new_partial(path)
        save_file(weights, partial, metadata)
        shutil.copymode(path, partial)
        put_in_place(path, overwrite=True)
