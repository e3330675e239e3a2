"""Parts of scores: what one field of an ensemble and of the truth contribute, from which scores of many are made.

Quadratic scores follow from the products of members' errors, the continuous ranked probability score from absolute distances of
members to the truth and to one another. So members can be drawn anew (the bootstrap) without reading fields again.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import ConfigError, DataError
from parampi.fields import Geometry

Floats = NDArray[np.floating[Any]]
CHUNK = 1 << 21
"""Numbers of all members that are worked on at once."""


def library() -> Any:
    """Return scoringrules. Raise ConfigError where it is not installed."""
    try:
        return importlib.import_module("scoringrules")
    except ImportError as error:
        raise ConfigError(
            f"scores need scoringrules, which cannot be imported ({error}); install it: pip install 'parampi[scores]'"
        ) from error


def shapes_of_parts(members: int, thresholds: int, shells: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a field's parts.

    covered      share of the area that has values
    error        (M,) mean error of each member by area
    products     (M, M) mean product of two members' errors
    absolute     (M,) mean absolute error
    distance     (M, M) mean absolute distance of two members
    crps         mean fair continuous ranked probability score, of the library
    ranks        (M + 1,) share of the area where so many members are below the truth; equal ones by lot
    brier        (T,) Brier score per threshold
    forecast     (T, M + 1) share of the area where so many members are above the threshold
    observed     (T, M + 1) and the truth is, too
    spectra      (3, K) of the members (their mean), the truth, and the error of the ensemble's mean
    """
    return {
        "covered": (),
        "error": (members,),
        "products": (members, members),
        "absolute": (members,),
        "distance": (members, members),
        "crps": (),
        "ranks": (members + 1,),
        "brier": (thresholds,),
        "forecast": (thresholds, members + 1),
        "observed": (thresholds, members + 1),
        "spectra": (3, shells),
    }


def field_parts(
    members: Floats, truth: Floats, geometry: Geometry, thresholds: Sequence[float], lot: np.random.Generator
) -> dict[str, Floats]:
    """Return the parts of members (M, H, W) and truth (H, W). Points where one of them has no value are left out. Raise
    DataError where none is left."""
    count, height, width = members.shape
    valid = np.isfinite(truth) & np.isfinite(members).all(0)
    weights = np.where(valid, geometry.weights()[:, None], 0.0)
    if not weights.sum() > 0:
        raise DataError("there is no point where the truth and all members have values")
    shapes = shapes_of_parts(count, len(thresholds), len(geometry.shells))
    parts: dict[str, Floats] = {name: np.zeros(shape) for name, shape in shapes.items()}
    rows = max(1, CHUNK // (count * width))
    for first in range(0, height, rows):
        block = slice(first, first + rows)
        keep = valid[block]
        some, true, weight = members[:, block][:, keep].astype(np.float64), truth[block][keep], weights[block][keep]
        for name, value in point_parts(some, np.asarray(true, np.float64), weight / weights.sum(), thresholds, lot).items():
            parts[name] += value
    parts["covered"] = np.asarray(weights.sum() / geometry.weights().sum() / width)
    if valid.all():
        parts["spectra"] = field_spectra(members, truth, geometry)
    else:
        parts["spectra"] += np.nan
    return parts


def point_parts(
    members: Floats, truth: Floats, weight: Floats, thresholds: Sequence[float], lot: np.random.Generator
) -> Mapping[str, Any]:
    """Return what points contribute: members (M, n), truth (n,), and weights (n,) of which all add up to 1."""
    errors = members - truth
    rank = (members < truth).sum(0) + (lot.random(truth.shape) * ((members == truth).sum(0) + 1)).astype(np.int64)
    above, exceeded = np.stack([(members > level).sum(0) for level in thresholds] or [rank[:0]]), len(thresholds)
    counts = range(exceeded)
    observed = [(truth > level).astype(np.float64) for level in thresholds]
    size, rules = len(members) + 1, library()
    return {
        "error": errors @ weight,
        "products": (errors * weight) @ errors.T,
        "absolute": np.abs(errors) @ weight,
        "distance": distances(members, weight),
        "crps": fair_crps(members, truth) @ weight,
        "ranks": np.bincount(rank, weight, minlength=size),
        "brier": np.array([rules.brier_score(observed[t], above[t] / len(members), backend="numpy") @ weight for t in counts]),
        "forecast": np.array([np.bincount(above[t], weight, minlength=size) for t in counts]).reshape(exceeded, size),
        "observed": np.array([np.bincount(above[t], weight * observed[t], minlength=size) for t in counts]).reshape(
            exceeded, size
        ),
    }


def fair_crps(members: Floats, truth: Floats) -> Floats:
    """Return the fair continuous ranked probability score (n,) of members (M, n), the absolute error of a single one: by the
    library's estimator of probability-weighted moments, which is the fair one (Zamo and Naveau 2018, Math. Geosci. 50, 209)
    at a cost that grows with M and not with its square."""
    if len(members) == 1:
        return np.asarray(np.abs(members[0] - truth))
    return np.asarray(library().crps_ensemble(truth, members.T, estimator="pwm", backend="numpy"))


def distances(members: Floats, weight: Floats) -> Floats:
    """Return the mean absolute distances (M, M) of members (M, n)."""
    matrix = np.zeros((len(members), len(members)))
    for row in range(len(members) - 1):
        matrix[row, row + 1 :] = np.abs(members[row + 1 :] - members[row]) @ weight
    return np.asarray(matrix + matrix.T)


def field_spectra(members: Floats, truth: Floats, geometry: Geometry) -> Floats:
    """Return the spectra (3, K) of members, truth, and the error of their mean."""
    drawn = np.mean([geometry.spectrum(member) for member in members], axis=0)
    mean = members.mean(0, dtype=np.float64)
    return np.stack([drawn, geometry.spectrum(truth), geometry.spectrum(mean - truth)])
