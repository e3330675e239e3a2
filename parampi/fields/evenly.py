"""A choice of a few of many, evenly spread."""

import numpy as np


def evenly(number: int, most: int) -> list[int]:
    """Return at most so many whole numbers below `number`, evenly spread, the first and the last among them."""
    kept: list[int] = np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(int)).tolist()
    return kept
