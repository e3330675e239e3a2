"""Shares of the worst case that came true, and what is assumed where little is known of them."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST = 1.5
"""Largest share of the worst case that an estimate assumes."""
LEAST = 5e-3
"""Least share of the worst case that an estimate assumes."""
UNTRIED = 0.25
"""Least share that is assumed of a point in its second sweep, and `TRIED` of that with every further sweep."""
TRIED = 0.3


def nearest(values: Floats, known: NDArray[np.bool_], otherwise: Floats | float) -> Floats:
    """Return values (n, m), where not known those of the last known point before, else those of the first one after, else
    others (m,)."""
    places = np.where(known, np.arange(len(values))[:, None], -1)
    last = np.maximum.accumulate(places, axis=0)
    last = np.where(last >= 0, last, np.argmax(known, axis=0))
    filled: Floats = np.where(known.any(0), np.take_along_axis(values, last, axis=0), otherwise)
    return filled


def with_neighbours(shares: Floats) -> Floats:
    """Return the largest share (n, m) of each point and its neighbours."""
    widest: Floats = shares.copy()
    np.maximum(widest[1:], shares[:-1], out=widest[1:])
    np.maximum(widest[:-1], shares[1:], out=widest[:-1])
    return widest
