"""Scores of forecasts from their parts, and their confidence intervals by drawing starts and members anew.

The bootstrap (Efron and Tibshirani 1993, An Introduction to the Bootstrap) draws starts with replacement, and for each of them
members. Pairs of a member with itself are left out, so that what is fair stays fair. An interval is that of the drawn scores,
moved so that their median is the score itself: the mean of members that are drawn twice is further from the truth.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def draws(starts: int, members: int, replicates: int, seed: int) -> tuple[Floats, Floats]:
    """Return how often each start (B, S) and each start's members (S, B, M) are drawn."""
    lot = np.random.default_rng(seed)
    drawn_starts = lot.multinomial(starts, np.full(starts, 1 / starts), size=replicates)
    drawn_members = lot.multinomial(members, np.full(members, 1 / members), size=(starts, replicates))
    return drawn_starts.astype(np.float64), drawn_members.astype(np.float64)


def means_of_start(parts: Mapping[str, Floats], counts: Floats) -> dict[str, Floats]:
    """Return what one start and lead time contribute to scores, (B,) each, for members that count so often (B, M)."""
    total = counts.sum(1)
    pairs = total**2 - (counts**2).sum(1)  # of different members
    several = pairs > 0
    products, size = parts["products"], len(parts["error"])
    own = np.diagonal(products)
    squares = np.maximum(own[:, None] + own[None] - 2 * products, 0.0)
    norm = np.sqrt(np.where(np.eye(size, dtype=bool), 0.0, squares))

    def over_pairs(matrix: Floats) -> Floats:
        """Return the mean over pairs of different members, 0 where there is one alone."""
        return np.asarray(np.divide(((counts @ matrix) * counts).sum(1), pairs, out=np.zeros(len(counts)), where=several))

    return {
        "crps": counts @ parts["absolute"] / total - over_pairs(parts["distance"]) / 2,
        "squared_error": ((counts @ products) * counts).sum(1) / total**2,
        "variance": over_pairs(squares) / 2,
        "bias": counts @ parts["error"] / total,
        "energy": counts @ np.sqrt(np.maximum(own, 0.0)) / total - over_pairs(norm) / 2,
    }


def scores_of(means: Mapping[str, Floats], members: int) -> dict[str, Floats]:
    """Return scores from means over starts. The spread is that of members of one law with the truth, in which the error of the
    mean is sqrt((M + 1) / M) times theirs (Fortin et al. 2014, J. Hydrometeorol. 15, 1708)."""
    rmse = np.sqrt(np.maximum(means["squared_error"], 0.0))
    alone = members == 1
    spread = np.full_like(rmse, np.nan) if alone else np.sqrt(np.maximum(means["variance"], 0.0) * (members + 1) / members)
    return {
        "crps": means["crps"],
        "rmse": rmse,
        "spread": spread,
        "spread_skill": np.divide(spread, rmse, out=np.full_like(rmse, np.nan), where=rmse > 0),
        "bias": means["bias"],
        "energy": means["energy"],
    }


def estimate(parts: Mapping[str, Floats], lead: int) -> dict[str, float]:
    """Return the scores of a lead time from parts (S, L, ...); the library's CRPS."""
    starts, members = parts["error"].shape[0], parts["error"].shape[2]
    single = [means_of_start(at(parts, start, lead), np.ones((1, members))) for start in range(starts)]
    means = {name: np.mean([one[name] for one in single], axis=0) for name in single[0]}
    means["crps"] = parts["crps"][:, lead].mean(keepdims=True)
    return {name: float(value[0]) for name, value in scores_of(means, members).items()}


def replicate(parts: Mapping[str, Floats], lead: int, drawn: tuple[Floats, Floats]) -> dict[str, Floats]:
    """Return scores (B,) of a lead time with starts and members that are drawn anew."""
    starts, members = drawn
    single = [means_of_start(at(parts, start, lead), members[start]) for start in range(len(members))]
    means = {name: (starts * np.stack([one[name] for one in single], 1)).sum(1) / starts.sum(1) for name in single[0]}
    return scores_of(means, members.shape[2])


def at(parts: Mapping[str, Floats], start: int, lead: int) -> dict[str, Floats]:
    """Return the parts of one start and lead time."""
    return {name: value[start, lead] for name, value in parts.items()}


def over_starts(values: Floats, starts: Floats) -> Floats:
    """Return means (B, ...) of values (S, ...) over starts that are drawn (B, S)."""
    return np.asarray(np.tensordot(starts, values, 1) / starts.sum(1).reshape(-1, *[1] * (values.ndim - 1)))


def interval(value: Floats | float, replicates: Floats, confidence: float) -> Floats:
    """Return the ends (2, ...) of the interval of a score, from drawn ones (B, ...); NaN where it is not known."""
    if not np.isfinite(replicates).all():
        return np.full((2, *np.shape(value)), np.nan)
    low, middle, high = np.quantile(replicates, [(1 - confidence) / 2, 0.5, (1 + confidence) / 2], axis=0)
    return np.asarray(np.stack([value + low - middle, value + high - middle]))
