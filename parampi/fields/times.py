"""Units of time as CF writes them."""

from parampi.errors import DataError

SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
SHORT_UNITS = {
    "seconds": ("second", "s"),
    "minutes": ("minute", "min"),
    "hours": ("hour", "h"),
    "days": ("day", "d"),
}
UNITS = {short: unit for unit, others in SHORT_UNITS.items() for short in (unit, *others)}
"""Units by all their names."""


def unit_of(units: str) -> str:
    """Return the unit of a CF time such as "hours since 2001-01-01"; "" where it is none of the usual."""
    word, _, rest = units.partition(" ")
    return UNITS.get(word, "") if rest.startswith("since") else ""


def parse_duration(text: str) -> tuple[float, str]:
    """Return number and unit of a duration such as "6 hours". Raise DataError for any other text."""
    number, _, word = text.strip().partition(" ")
    unit = UNITS.get(word.strip(), "")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf") or not unit:
        raise DataError(f"condition.lead_step = {text!r}; give a number and {', '.join(SECONDS)}, such as 6 hours")
    return value, unit
