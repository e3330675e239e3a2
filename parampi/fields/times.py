"""Units of time as CF writes them."""

from parampi.errors import DataError

SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
ALIASES = {"second": "seconds", "s": "seconds", "minute": "minutes", "min": "minutes", "hour": "hours", "h": "hours",
           "day": "days", "d": "days"}  # fmt: skip


def unit_of(units: str) -> str:
    """Of a CF time such as "hours since 2001-01-01"; "" where it is none of the usual."""
    word, _, rest = units.partition(" ")
    word = ALIASES.get(word, word)
    return word if rest.startswith("since") and word in SECONDS else ""


def parsed(step: str) -> tuple[float, str]:
    """A duration such as "6 hours". Raises DataError."""
    number, _, word = step.strip().partition(" ")
    word = ALIASES.get(word.strip(), word.strip())
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf") or word not in SECONDS:
        raise DataError(f"condition.lead_step = {step!r}; give a number and {', '.join(SECONDS)}, such as 6 hours")
    return value, word
