"""A model's card: what its weights file says of the network's channels, by name. Kept in the metadata of safetensors. Files and
folders of frameworks say some of it in their own way."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from parampi.errors import ConfigError, DataError
from parampi.networks import kind_of
from parampi.networks.loading import stated

LISTS, NUMBERS, MAPPINGS = ("channels", "condition"), ("sigma_data",), ("clock",)


@dataclass(frozen=True)
class Card:
    """The facts of a network that its weights file states, None where it states none.

    channels    names of what the network draws, in its order
    condition   names of its conditions, in its order
    predicts    as `model.predicts`
    sigma_data  standard deviation of the normalised data it was trained on, or a list of one for each channel
    clock       as `model.clock`
    """

    channels: tuple[str, ...] | None = None
    condition: tuple[str, ...] | None = None
    predicts: str | None = None
    sigma_data: float | list[float] | None = None
    clock: Mapping[str, Any] | None = None

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

    def agree(self, predicts: str, sigma_data: float | list[float], source: str = "the card in the network's weights") -> None:
        """Raise ConfigError where a configuration says otherwise."""
        for name, value, configured in (("predicts", self.predicts, predicts), ("sigma_data", self.sigma_data, sigma_data)):
            if value is not None and value != configured:
                raise ConfigError(f"model.{name} = {configured}, but {source} says {value}; put it right")


def read(path: str | Path) -> Card:
    """Return the card of a weights file, or what a framework's file says of its network; an empty one where there is none.
    Raises DataError for a damaged card."""
    if not Path(path).exists():
        return Card()  # loading the weights says what is wrong
    if not kind_of(Path(path)).whole:
        return of_safetensors(path)
    said = stated(Path(path))
    return Card(predicts=said.predicts, sigma_data=said.sigma_data if said.fixed else None, clock=said.clock)


def of_safetensors(path: str | Path) -> Card:
    """Return the card of a safetensors file. Raises DataError for a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return Card()  # loading the weights says what is wrong
    names = (*LISTS, "predicts", *NUMBERS, *MAPPINGS)
    return Card(**{name: parse_entry(path, name, metadata[name]) for name in names if name in metadata})


def parse_entry(path: str | Path, name: str, text: str) -> Any:
    """Return an entry of a card. Raises DataError where it is damaged."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if name in LISTS and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if name in NUMBERS and is_positive(value):
        return float(value)
    if name in NUMBERS and isinstance(value, list) and value and all(map(is_positive, value)):
        return [float(one) for one in value]
    if (name == "predicts" and isinstance(value, str)) or (name in MAPPINGS and isinstance(value, dict)):
        return value
    raise DataError(f"{path}: its card has {name} = {text}; write it anew with parampi card")


def is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def write(path: str | Path, card: Card) -> None:
    """Put a card into a weights file; its entries replace those of the same names. Raises ConfigError where there are as many
    standard deviations as there are not channels, DataError for another file."""
    scales = card.sigma_data if isinstance(card.sigma_data, list) else [1.0]
    if not all(map(is_positive, scales)) or len(scales) not in (1, len(card.channels or scales)):
        raise ConfigError(
            f"sigma_data = {card.sigma_data} for the channels {', '.join(card.channels or ()) or '?'}; give one number above "
            f"0, or one for each channel, in their order"
        )
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
