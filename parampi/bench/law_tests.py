"""Tests of whether two ensembles have one law, each with the smallest difference that it finds.

Two are for pairs: the same members, drawn serially and in parallel. They find small differences, as what pairs have in common
falls out. Two are for ensembles that are independent of one another, and find what somebody who has only one of them could.
All lead to a p-value by the ensembles' own spread: nothing is assumed of the law itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import ConfigError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MOMENTS = ("entry", "square", "norm")
POWER = 0.9
"""Probability with which a difference as large as `finds` is found."""
DIRECTIONS, THRESHOLDS = 16, 16
"""Random directions on which independent ensembles are compared, and places along each where the energy distance reads
distribution functions."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a test: its p-value, the difference that was measured, and the smallest one that it finds with
    probability POWER at the level that it was asked for."""

    p: float
    size: float
    finds: float


@dataclass(frozen=True)
class Flips:
    """Members that are in one mode when drawn serially and in another when drawn in parallel.

    count           of them
    gained, lost    members that the mode whose frequency changed most has gained, and those that it has lost; of two modes, the
                    rarer one
    frequencies     test of equal frequencies of modes; differences are of the frequency of one mode
    """

    count: int
    gained: int
    lost: int
    frequencies: Outcome


def scipy_stats() -> Any:
    """Return scipy's statistics. Raises ConfigError where it is not installed."""
    try:
        from scipy import stats
    except ImportError:
        raise ConfigError("tests of an ensemble's law need scipy; install it: pip install 'parampi[bench]'") from None
    return stats


def normal_sum(level: float) -> float:
    """Return by how many standard deviations a mean has to differ to be found, two-sided."""
    quantile = scipy_stats().norm.isf
    return float(quantile(level / 2) + quantile(1 - POWER))


# ---------------------------------------------------------------------- pairs


def compare_modes(serial: Integers, parallel: Integers, level: float) -> Flips:
    """Test whether flips between modes 0, 1, ... are equally likely in both directions.

    Under that hypothesis each flip from one mode to another might as well have been one back. For two modes this is
    McNemar's exact test. For more it is one of marginal homogeneity, as Stuart and Maxwell's: `sum_k d_k^2 / m_k` of what
    modes gained on balance, d, and of the flips that they took part in, m, against its law when directions are tossed.
    """
    modes = int(max(serial.max(initial=0), parallel.max(initial=0))) + 1
    table = np.zeros((modes, modes))
    np.add.at(table, (serial, parallel), 1)
    np.fill_diagonal(table, 0)
    flips, size, members = table + table.T, table.sum(0) - table.sum(1), len(serial)
    count, rare = int(table.sum()), np.bincount(serial, minlength=modes)
    worst = max(range(modes), key=lambda mode: (abs(size[mode]), -rare[mode]))
    touched = flips.sum(1) > 0
    p = frequencies_p(flips[np.ix_(touched, touched)], size[touched], count)
    frequencies = Outcome(p, abs(size[worst]) / members, smallest_bias(flips[np.ix_(touched, touched)], level) / members)
    return Flips(count, int(table[:, worst].sum()), int(table[worst].sum()), frequencies)


def frequencies_p(flips: Floats, size: Floats, count: int) -> float:
    """Return the p-value of changes (K,) of modes' members, by the numbers of flips (K, K) between two of them."""
    if len(size) == 2:
        return float(scipy_stats().binomtest((count + int(size[0])) // 2, count).pvalue)
    if count == 0:
        return 1.0
    statistic = float((size**2 / flips.sum(1)).sum())
    # so many tosses of a coin have no outcomes less likely than that
    return max(float(weighted_chi_squares(flip_weights(flips)).sf(statistic)), 2.0 ** (1 - count))


def flip_weights(flips: Floats) -> Floats:
    """Return the weights of squares of independent normals whose sum the statistic of mode frequencies is."""
    scale = 1 / np.sqrt(flips.sum(1))
    weights: Floats = np.linalg.eigvalsh(np.eye(len(flips)) - flips * scale * scale[:, None]).clip(min=0)
    return weights


def smallest_bias(flips: Floats, level: float) -> float:
    """Return how many members the mode with most flips has to gain on balance for that to be found.

    The gain is along the ways that flips took, and in addition to them: it raises their number.
    """
    deviations, most = normal_sum(level), 0.0
    if len(flips) > 1:
        totals = flips.sum(1)
        most = float(totals.max())
        gain = -flips[np.argmax(totals)] / most
        gain[np.argmax(totals)] += 1
        covariance = np.diag(totals) - flips
        law = weighted_chi_squares(flip_weights(flips))
        first, second = float((gain**2 / totals).sum()), float((gain / totals) @ covariance @ (gain / totals))
        deviations = smallest_amplitude(law, first, second, level) / math.sqrt(most)
    return (deviations**2 + deviations * math.sqrt(deviations**2 + 4 * most)) / 2


def compare_moments(serial: Floats, parallel: Floats, level: float) -> tuple[Outcome, str]:
    """Test whether means of the entries, of their squares, and of the norm are equal: t-tests of the pairs' differences, as
    many as there are such numbers, so that the level is shared out among them. Differences are in standard deviations.
    Returns also which of MOMENTS differs most."""
    before, after = moments_of(serial), moments_of(parallel)
    spread, differences = before.std(0), after - before
    error = differences.std(0, ddof=1) / math.sqrt(len(before))
    shift, changed, count = differences.mean(0), error > 0, before.shape[1]
    statistic = np.abs(shift[changed] / error[changed])
    p = 2 * scipy_stats().t.sf(statistic.max(initial=0.0), len(before) - 1) * count
    finds = normal_sum(level / count) * (error / spread).max()
    sizes = np.abs(shift) / spread
    kind = MOMENTS[int(np.argmax(sizes)) // serial.shape[1]]
    return Outcome(min(float(p), 1.0), float(sizes.max()), float(finds)), kind


def moments_of(fields: Floats) -> Floats:
    """Return entries (n, d), their squares, and norms, (n, 2 d + 1)."""
    return np.concatenate([fields, fields**2, np.linalg.norm(fields, axis=1, keepdims=True)], axis=1)


# ---------------------------------------------------------------------- independent ensembles


def compare_projections(one: Floats, other: Floats, level: float, seed: int = 0) -> Outcome:
    """Test whether marginals along random directions are equal, by Kolmogorov and Smirnov's test; the level is shared out.

    Its size is the largest distance of distribution functions; it finds shifts, in standard deviations of a normal law."""
    stats, directions = scipy_stats(), random_directions(one.shape[1], seed)
    results = [stats.ks_2samp(a, b, method="asymp") for a, b in zip((one @ directions).T, (other @ directions).T, strict=True)]
    p = min(DIRECTIONS * min(result.pvalue for result in results), 1.0)
    root = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    # at the middle of the law the difference of distribution functions has a standard deviation of half of 1 / root
    distance = (stats.kstwobign.isf(level / DIRECTIONS) + 0.5 * stats.norm.isf(1 - POWER)) / root
    shift = 2 * stats.norm.isf(0.5 - distance / 2) if distance < 1 else math.inf
    return Outcome(float(p), float(max(result.statistic for result in results)), float(shift))


def compare_energies(one: Floats, other: Floats, level: float, seed: int = 0) -> Outcome:
    """Test whether the energy distance is 0, in its form as a mean over random directions of `2 integral (F - G)^2`.

    The permutations of members among the two ensembles have the law of a weighted sum of squares of normals where members
    are many; its weights are taken from both ensembles. Its size is the distance relative to the mean distance of two
    members. It finds shifts along one direction, in standard deviations.
    """
    directions, pooled = random_directions(one.shape[1], seed), np.concatenate([one, other])
    reading = Reading.of(pooled @ directions)
    rows = reading.features(pooled @ directions)
    members = len(one) * len(other) / len(pooled)
    centred = rows - rows.mean(0)
    weights = np.linalg.eigvalsh(centred.T @ centred / len(pooled)).clip(min=0)
    distance = float(((rows[: len(one)].mean(0) - rows[len(one) :].mean(0)) ** 2).sum())
    law = weighted_chi_squares(weights)
    finds = smallest_shift(reading, other @ directions, directions[:, 0] @ directions, law, members=members, level=level)
    return Outcome(float(law.sf(members * distance)), distance / float(weights.sum()), finds)


def random_directions(dimensions: int, seed: int) -> Floats:
    """Return unit vectors (d, DIRECTIONS)."""
    vectors = np.random.default_rng(seed).standard_normal((dimensions, DIRECTIONS))
    unit: Floats = vectors / np.linalg.norm(vectors, axis=0)
    return unit


@dataclass(frozen=True)
class Reading:
    """Places (DIRECTIONS, THRESHOLDS) where distribution functions are read, and the lengths that each stands for."""

    places: Floats
    lengths: Floats

    @classmethod
    def of(cls, projections: Floats) -> "Reading":
        """Return places between which there are equally many of the projections (n, DIRECTIONS)."""
        edges = np.quantile(projections, np.linspace(0, 1, 2 * THRESHOLDS + 1), axis=0).T
        return cls(edges[:, 1::2], np.diff(edges[:, ::2], axis=1))

    def features(self, projections: Floats) -> Floats:
        """Return rows (n, DIRECTIONS * THRESHOLDS) whose means' squared distance is the energy distance."""
        scale = np.sqrt(2 * self.lengths / DIRECTIONS)
        rows: Floats = np.where(projections[:, :, None] <= self.places, scale, 0.0).reshape(len(projections), -1)
        return rows


def smallest_shift(reading: Reading, projections: Floats, along: Floats, law: Any, *, members: float, level: float) -> float:
    """Return the shift along the first direction that is found, in standard deviations; `along` are its projections."""
    spread = projections[:, 0].std()
    # the effect of a shift is in proportion to it while it is small
    small = 0.1 * spread
    rows = reading.features(projections)
    moved = reading.features(projections + small * along).mean(0) - reading.features(projections - small * along).mean(0)
    effect = math.sqrt(members) * moved / (2 * small)
    second = float(np.var(rows @ effect))
    return smallest_amplitude(law, float(effect @ effect), second, level) / float(spread)


# ---------------------------------------------------------------------- laws of sums of squares


def weighted_chi_squares(weights: Floats) -> Any:
    """Return the law of `sum_i w_i z_i^2` for standard normal z, by its first three moments."""
    first, second, third = (float((weights**power).sum()) for power in (1, 2, 3))
    return scipy_stats().pearson3(math.sqrt(8) * third / second**1.5, first, math.sqrt(2 * second))


def smallest_amplitude(law: Any, first: float, second: float, level: float) -> float:
    """Return the t for which `|z + t a|^2` is above the critical value with probability POWER. It has a mean of `t^2 first` and
    a variance of `4 t^2 second` above that of the law of `|z|^2`."""
    critical, mean, variance = float(law.isf(level)), float(law.mean()), float(law.var())
    low, high = 0.0, 1.0
    while found_at(high, first, second, mean=mean, variance=variance) < critical:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        short = found_at(middle, first, second, mean=mean, variance=variance) < critical
        low, high = (middle, high) if short else (low, middle)
    return high


def found_at(amplitude: float, first: float, second: float, *, mean: float, variance: float) -> float:
    """Return the value that `|z + t a|^2` exceeds with probability POWER."""
    deviation = float(scipy_stats().norm.isf(1 - POWER))
    return mean + amplitude**2 * first - deviation * math.sqrt(variance + 4 * amplitude**2 * second)


# ---------------------------------------------------------------------- many tests


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values that hold for all tests at once (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        largest = max(largest, min((len(p_values) - rank) * p_values[index], 1.0))
        adjusted[index] = largest
    return adjusted
