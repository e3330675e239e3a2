"""matplotlib, whatever the environment says: figures go into files, and take no backend and no style from elsewhere."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INK, ACCENT, FAINT = "#222222", "#c8553d", "#d9d9d9"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "mathtext.default": "regular",
}
BACKEND = "MPLBACKEND"
"""Variable of the environment that names a backend, which matplotlib checks when it is imported."""


@contextmanager
def drawing(style: dict[Any, Any]) -> Iterator[None]:
    """Import matplotlib without a backend of the environment, and set matplotlib's own style with changes meanwhile."""
    backend = os.environ.pop(BACKEND, None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ[BACKEND] = backend
    with matplotlib.rc_context():
        matplotlib.rcParams.update({key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"})
        matplotlib.rcParams.update(style)
        yield


def literal(text: str) -> str:
    """Return a text in which no dollar begins a formula."""
    return text.replace("$", r"\$")


def pretty(units: str, squared: bool = False) -> str:
    """Return units of UDUNITS, "m s-1" for example, with raised exponents; their square if `squared`."""
    powers = powers_of(units, 2 if squared else 1)
    if powers is None:
        return f"({literal(units)})$^2$" if squared else literal(units)
    return " ".join(name if power == 1 else f"{name}$^{{{power}}}$" for name, power in powers)


def plain_units(units: str) -> str:
    """Return units with raised exponents as characters, for text that is not drawn."""
    raised = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
    powers = powers_of(units)
    if powers is None:
        return units
    return " ".join(name if power == 1 else f"{name}{str(power).translate(raised)}" for name, power in powers)


def powers_of(units: str, times: int = 1) -> list[tuple[str, int]] | None:
    """Return the factors of units and their powers, so many times; None for what cannot be taken apart."""
    if units == "1":
        return [("1", 1)]
    factors = re.findall(r"([^\W\d]+|%)\^?(-?\d*)", units)
    if re.sub(r"[\s.^]", "", units) != "".join(name + power for name, power in factors):
        return None
    return [(name, int(power or 1) * times) for name, power in factors]
