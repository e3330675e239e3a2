"""Units of time as CF writes them."""

import re

from parampi.errors import DataError

SECONDS = {"microseconds": 1e-6, "milliseconds": 1e-3, "seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
SHORT_UNITS = {
    "microseconds": ("microsecond", "microsec", "microsecs"),
    "milliseconds": ("millisecond", "millisec", "millisecs", "msec", "msecs", "ms"),
    "seconds": ("second", "sec", "secs", "s"),
    "minutes": ("minute", "min", "mins"),
    "hours": ("hour", "hr", "hrs", "h"),
    "days": ("day", "d"),
}
UNITS = {short: unit for unit, others in SHORT_UNITS.items() for short in (unit, *others)}
"""Units by all their names, those of cftime."""
DURATION = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([a-z]+)", re.ASCII)


def unit_of(units: str) -> str:
    """Return the unit of a CF time such as "hours since 2001-01-01"; "" where it is none of the usual."""
    word, since, *_ = [*units.lower().split(), "", ""]
    return UNITS.get(word, "") if since == "since" else ""


def parse_duration(text: str, key: str = "") -> tuple[float, str]:
    """Return number and unit of a duration such as "6 hours" or 6h. Raise DataError for any other text, which `key` has."""
    match = DURATION.fullmatch(text.strip())
    value, unit = (float(match[1]), UNITS.get(match[2], "")) if match else (0.0, "")
    if not 0 < value < float("inf") or not unit:
        has = f"{key} has the step {text!r}" if key else f"condition.lead_step = {text!r}"
        raise DataError(f"{has}; give a number and seconds, minutes, hours or days, such as 6 hours")
    return value, unit
