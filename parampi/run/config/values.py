"""Values of keys that may be written in several ways: members, times, cases."""

from typing import Any

from parampi.engine.arguments import MAX_MEMBERS, member_numbers
from parampi.errors import ConfigError

LONGEST = 1e12
"""Seconds that a wall time can be."""
MOST_MEMBERS = 1 << 20
"""Members of one run."""


def check_members(members: Any) -> Any:
    """Return members as they are: how many, or a list of their numbers."""
    if isinstance(members, int) and MOST_MEMBERS < members <= MAX_MEMBERS:
        raise ValueError(f"a run draws at most {MOST_MEMBERS}; draw lists of numbers in several runs, and merge their files")
    numbers = members if isinstance(members, list) else [members]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if not whole:
        raise ValueError("give how many, or a list of member numbers")
    try:
        member_numbers(members)
    except ConfigError as error:
        raise ValueError(str(error).partition("; ")[2]) from None
    return members


def seconds(time: Any) -> Any:
    """Return the seconds of a number, or of hours, minutes and seconds."""
    if isinstance(time, str):
        parts = time.split(":")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            raise ValueError("give seconds, or hours, minutes and seconds such as 1:50:00")
        time = 3600 * int(parts[0]) + 60 * int(parts[1]) + int(parts[2])
    if time is not None and (isinstance(time, bool) or not isinstance(time, int | float) or not 0 < time < LONGEST):
        raise ValueError("give a positive number of seconds, or hours, minutes and seconds such as 1:50:00")
    return None if time is None else float(time)


def case_of(case: Any) -> int | str:
    """Return a case by its index or by its date."""
    if isinstance(case, bool) or not isinstance(case, int | str) or (isinstance(case, int) and case < 0):
        raise ValueError("give an index, 0 or more, or a date such as 2001-01-31T06:00")
    return case
