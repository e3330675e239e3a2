"""Moments of a set of fields, read a block of samples at a time, so that the set may be larger than memory."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.spectra import radial_spectrum

Floats = NDArray[np.floating[Any]]
Missing = Literal["refuse", "mean"]
BLOCK = 64
"""Samples that are read at once."""


class Samples(Protocol):
    """Fields (N, C, H, W) that can be sliced along samples: an array, a memory map, a variable of an open NetCDF file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, samples: slice, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of fields (N, C, H, W), float64, in powers of their units.

    means     (N, C) mean of each sample
    second    (N, C) mean square of the distance from `mean`, the mean over all samples, of each sample
    fourth    (N, C) mean fourth power of it
    spectra   (N, C, K) `radial_spectrum` of each sample, its mean included
    """

    means: Floats
    second: Floats
    fourth: Floats
    spectra: Floats

    @property
    def mean(self) -> Floats:
        """Mean (C,) over all samples and points."""
        return np.asarray(self.means.mean(0))

    @property
    def standard_deviation(self) -> Floats:
        """Standard deviation (C,) over all samples and points."""
        return np.asarray(np.sqrt(self.second.mean(0)))

    @property
    def kurtosis(self) -> Floats:
        """Kurtosis (C,), E[x^4] / E[x^2]^2 about the mean over samples and points; 3 if normal, NaN for a constant channel."""
        return ratio(self.fourth.mean(0), self.second.mean(0) ** 2)

    @property
    def spectrum(self) -> Floats:
        """Mean (C, K) over samples of the shell sums."""
        return np.asarray(self.spectra.mean(0))


class Team(Protocol):
    """Processes that read a share of the samples each."""

    rank: int
    size: int

    def add(self, work: Callable[[], Floats]) -> Floats:
        """Return the sum over processes of the arrays that `work` returns; raise a DataError of any process on all."""
        ...


class SingleProcess:
    """A team of one process."""

    rank, size = 0, 1

    def add(self, work: Callable[[], Floats]) -> Floats:
        """Return what `work` returns."""
        return work()


def moments(fields: Samples, team: Team | None = None, missing: Missing = "refuse") -> Moments:
    """Return the moments of fields (N, C, H, W), with the same bits for any `team` that shares the reading.

    `missing` values are refused, or left out of the moments and replaced by the mean for the spectrum. Raises DataError for
    other axes, no samples, or values that are not finite.
    """
    if len(fields.shape) != 4 or 0 in fields.shape:
        raise DataError(f"fields have shape {tuple(fields.shape)}; expected (samples, channels, y, x), at least one of each")
    team = team or SingleProcess()
    (means,) = per_sample(fields, team, missing, lambda block: [present_mean(block)])
    mean = means.mean(0)
    second, fourth, spectra = per_sample(fields, team, missing, lambda block: moments_about(mean, block))
    return Moments(means, second, fourth, spectra)


def per_sample(fields: Samples, team: Team, missing: Missing, measure: Callable[[Floats], Sequence[Floats]]) -> list[Floats]:
    """Return the arrays (N, ...) of `measure` for every sample; each process reads its share, and adding zeros changes no
    bit."""
    samples = fields.shape[0]
    shapes = [part.shape[1:] for part in measure(np.zeros((1, *fields.shape[1:])))]
    widths = [math.prod(shape) for shape in shapes]

    def rows_of_this_process() -> Floats:
        rows = np.zeros((samples, sum(widths)))
        for start, block in blocks(fields, team, missing):
            rows[start : start + len(block)] = np.concatenate([part.reshape(len(block), -1) for part in measure(block)], axis=1)
        return rows

    parts = np.split(team.add(rows_of_this_process), np.cumsum(widths)[:-1], axis=1)
    return [part.reshape(samples, *shape) for part, shape in zip(parts, shapes, strict=True)]


def blocks(fields: Samples, team: Team, missing: Missing) -> Iterator[tuple[int, Floats]]:
    """Yield blocks of this process's share of samples in float64, missing values as NaN, each with its first sample's number.

    Raises DataError where there are missing values, or, if they are allowed, where a channel of a sample has nothing else.
    """
    starts = range(0, fields.shape[0], BLOCK)
    for start in starts[len(starts) * team.rank // team.size : len(starts) * (team.rank + 1) // team.size]:
        block = np.ma.filled(np.ma.asarray(fields[start : start + BLOCK], np.float64), np.nan)
        finite = np.isfinite(block)
        good = finite.all((1, 2, 3)) if missing == "refuse" else np.any(finite, axis=(2, 3)).all(axis=1)
        if not good.all():
            sample = start + int(np.flatnonzero(~good)[0])
            raise DataError(
                f"sample {sample} of the fields holds NaN, Inf or missing values; leave such samples out, or use --missing mean"
                if missing == "refuse"
                else f"sample {sample} of the fields has a channel without any value; leave such samples out"
            )
        yield start, np.where(finite, block, np.nan) if missing == "mean" else block


def present_mean(fields: Floats) -> Floats:
    """Return means (n, C) over the points that have values."""
    present = np.isfinite(fields)
    if present.all():
        return np.asarray(fields.mean((2, 3)))
    return np.asarray(np.where(present, fields, 0.0).sum((2, 3)) / present.sum((2, 3)))


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return the elementwise quotient, NaN where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    quotient = np.full(shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) != 0)
    return quotient


def moments_about(mean: Floats, block: Floats) -> tuple[Floats, Floats, Floats]:
    """Return `second`, `fourth` and `spectra` of a block of samples, about the mean (C,) of all."""
    square = (block - mean[:, None, None]) ** 2
    filled = np.where(np.isnan(block), mean[:, None, None], block)
    return present_mean(square), present_mean(square**2), radial_spectrum(filled)
