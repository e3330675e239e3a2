"""Units by their meaning, as UDUNITS reads them (cf-units): equal spellings, and factors between convertible ones."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
NONE = (
    "",
    "1",
    "none",
    "unitless",
    "dimensionless",
    "(0 - 1)",
    "(0-1)",
    "0-1",
    "~",
    "-",
    "nondim",
    "proportion",
    "fraction",
    "n/a",
)
"""Spellings of "no unit" that UDUNITS does not know."""
TEMPERATURE = re.compile(r"(?:deg(?:ree)?s?[ _.]*)(celsius|c|kelvin|k|fahrenheit|f)", re.IGNORECASE)
"""Spellings of temperatures that UDUNITS takes for an angle times something, or does not know."""
KNOWN = {"psu": "1e-3", "gpm": "m", "c": "degC", "deg": "degree", "m of water equivalent": "m", "mb": "hPa"}
"""Other usual spellings that UDUNITS takes for something else, or does not know."""


@dataclass(frozen=True)
class Conversion:
    """The values in other units: `factor * value + offset`."""

    factor: float = 1.0
    offset: float = 0.0

    def __call__(self, values: Floats) -> Floats:
        return values if self.factor == 1.0 and self.offset == 0.0 else values * self.factor + self.offset

    @property
    def changes(self) -> bool:
        return (self.factor, self.offset) != (1.0, 0.0)


def conversion(source: str, target: str) -> Conversion | None:
    """Return what turns values in `source` into `target`; None where nothing does."""
    source, target = spelling(source), spelling(target)
    if source == target:
        return Conversion()
    first, second = unit(source), unit(target)
    if first is None or second is None or not first.is_convertible(second):
        return None
    if first == second:
        return Conversion()
    zero, one = (float(first.convert(value, second)) for value in (0.0, 1.0))
    return Conversion(float(one - zero) if zero else one, zero)


def spelling(text: str) -> str:
    """Return units in the spelling of UDUNITS, as far as the usual other ones go."""
    text = " ".join(str(text).split())
    if text.lower() in NONE:
        return "1"
    match = TEMPERATURE.fullmatch(text)
    if match:
        return {"c": "degC", "k": "K", "f": "degF"}[match[1][0].lower()]
    return KNOWN.get(text.lower() if text.lower() != "mb" else text, text)


@lru_cache(maxsize=512)
def unit(text: str) -> Any:
    """Return the unit of a text; None for one that UDUNITS does not know, or that is no unit."""
    from cf_units import Unit

    try:
        made = Unit(text)
    except ValueError:
        return None
    return None if made.is_unknown() or made.is_no_unit() or made.is_time_reference() else made
