"""What a file of a framework says of its network, in the words of a configuration's section `model`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stated:
    """The facts of a network that its file or folder states, None where it states none.

    predicts    as `model.predicts`
    clock       as `model.clock`
    sigma_data  as `model.sigma_data`
    fixed       whether a configuration must have that very `sigma_data`; else it is what to take where none is configured
    shape       of one field
    condition   channels of the condition, 0 where it takes none
    """

    predicts: str | None = None
    clock: Mapping[str, Any] | None = None
    sigma_data: float | None = None
    fixed: bool = False
    shape: tuple[int, ...] | None = None
    condition: int | None = None
