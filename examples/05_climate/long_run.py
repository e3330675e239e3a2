"""Long-run statistics of trajectories, with errors from resampled blocks of time.

The variables of Lorenz-96 all have the same law, so that means go over time and variables. Times that are near one another are
not independent: the bootstrap draws whole blocks, longer than the memory of the flow (Künsch 1989, Ann. Statist. 17, 1217).
"""

import numpy as np

BLOCK = 50  # times
LAGS = (1, 2, 5, 10)  # times


def blocks(trajectories, block=BLOCK):
    """Sums over variables and times of each block of trajectories (trajectory, time, variable), (block, 3 + lags): number, x,
    x^2, and x(t) x(t + lag) for each lag. The last times, from which the longest lag reaches beyond the end, are left out."""
    times = trajectories.shape[1] - max(LAGS)
    whole = times // block * block
    inside = trajectories[:, :whole]
    products = [trajectories[:, lag : lag + whole] * inside for lag in LAGS]
    terms = np.stack([np.ones_like(inside), inside, inside**2, *products]).sum(-1)
    return terms.reshape(len(terms), -1, block).sum(2).T


def measures(sums):
    """Mean, variance and autocorrelations at `LAGS`, (..., 2 + lags), from sums over blocks (..., 3 + lags)."""
    mean, square, *products = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
    variance = square - mean**2
    return np.stack([mean, variance, *((product - mean**2) / variance for product in products)], -1)


def estimate(trajectories, draws=2000, seed=0):
    """The measures of trajectories (trajectory, time, variable), and their standard errors from a bootstrap of blocks."""
    mean = trajectories.mean()
    # of the anomalies, since products at a lag reach into the next block, which a resampled one does not have
    parts = blocks(trajectories - mean)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(parts), np.full(len(parts), 1 / len(parts)), size=draws)
    values, errors = measures(parts.sum(0)), measures(counts @ parts).std(0, ddof=1)
    values[0] += mean
    return values, errors


def apart(first, second):
    """How far two estimates (measures, errors) are apart, in standard errors of the difference."""
    return (first[0] - second[0]) / np.hypot(first[1], second[1])
