"""Moments of a set of fields, read a block of samples at a time, so that the set may be larger than memory."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.evenly import evenly
from parampi.fields.geometry import Geometry

Floats = NDArray[np.floating[Any]]
Missing = Literal["refuse", "mean"]
BLOCK = 64
"""Samples that are read at once."""
FEW = 8
"""Samples that are a block, if they are read at once."""
POINTS = 8192
"""Points whose powers are summed at once: they stay in the processor's cache, and BLAS does not share them among threads, so
that the bits do not depend on how many there are."""


class Samples(Protocol):
    """Fields (N, C, H, W) that can be sliced along samples: an array, a memory map, a variable of an open NetCDF file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, samples: slice, /) -> Any: ...


@runtime_checkable
class StoredSamples(Samples, Protocol):
    """Fields in files, which take time to read and may be read by a thread."""

    def at_once(self, sample: int) -> int:
        """Return how many samples from this one on come of what is read at once."""
        ...


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of fields (N, C, H, W), float64, in powers of their units. Points count by the area that they stand for.

    means     (N, C) mean of each sample
    second    (N, C) mean square of the distance from `mean`, the mean over all samples, of each sample
    fourth    (N, C) mean fourth power of it
    spectra   (N, C, K) spectrum (`Geometry.spectrum`) of each sample, or of some, its mean included
    present   (N, C) share of each sample's area that has values, by which it counts
    """

    means: Floats
    second: Floats
    fourth: Floats
    spectra: Floats
    present: Floats

    @property
    def mean(self) -> Floats:
        """Mean (C,) over all samples and points."""
        return weighted(self.means, self.present)

    @property
    def standard_deviation(self) -> Floats:
        """Standard deviation (C,) over all samples and points."""
        return np.asarray(np.sqrt(weighted(self.second, self.present)))

    @property
    def kurtosis(self) -> Floats:
        """Kurtosis (C,), E[x^4] / E[x^2]^2 about the mean over samples and points; 3 if normal, NaN for a constant channel."""
        return ratio(weighted(self.fourth, self.present), weighted(self.second, self.present) ** 2)

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


def moments(
    fields: Samples,
    team: Team | None = None,
    missing: Missing = "refuse",
    most_spectra: int | None = None,
    geometry: Geometry | None = None,
) -> Moments:
    """Return the moments of fields (N, C, H, W), read once, with the same bits for any `team` that shares the reading.

    `geometry`: where their points are; a plane by default, of points that all count alike.

    `missing` values are refused, or left out of the moments and replaced by the mean for the spectrum (then fields with gaps
    are read twice). Spectra are taken of `most_spectra` samples, evenly spread; of all by default. Raises DataError for other
    axes, no samples, or values that are not finite.
    """
    if len(fields.shape) != 4 or 0 in fields.shape:
        raise DataError(f"fields have shape {tuple(fields.shape)}; expected (samples, channels, y, x), at least one of each")
    team, geometry = team or SingleProcess(), geometry or Geometry((fields.shape[2], fields.shape[3]))
    shift, chosen = first_mean(fields, missing), evenly_spread(fields.shape[0], most_spectra)

    def measure(start: int, block: Floats) -> list[Floats]:
        return measured_block(shift, block, chosen[start : start + len(block)], start, missing, geometry)

    measured = per_sample(fields, team, measure)
    means, first, second, third, fourth, present, spectra = measured
    distance = weighted(first, present)  # of the mean from the shift
    if (present < 1.0).any():  # now that the mean is known, which stands in the place of gaps
        mean = shift + distance
        (spectra,) = per_sample(fields, team, lambda k, block: [spectra_of(mean, block, chosen[k : k + len(block)], geometry)])
    return Moments(
        means,
        second - 2 * distance * first + distance**2,
        fourth - 4 * distance * third + 6 * distance**2 * second - 4 * distance**3 * first + distance**4,
        spectra[chosen],
        present,
    )


def evenly_spread(samples: int, most: int | None) -> NDArray[np.bool_]:
    """Return which of the samples are among `most`, evenly spread; all of them by default."""
    chosen = np.zeros(samples, bool)
    chosen[evenly(samples, most or samples)] = True
    return chosen


def first_mean(fields: Samples, missing: Missing) -> Floats:
    """Return the mean (C,) of the first sample, about which sums of powers lose no digits."""
    block = read_block(fields, 0, 1)
    require_values(block, 0, missing)
    return np.asarray(present_mean(block)[0])


def per_sample(fields: Samples, team: Team, measure: Callable[[int, Floats], Sequence[Floats]]) -> list[Floats]:
    """Return the arrays (N, ...) of `measure` for every sample, called with the first one's number and a block; each process
    reads its share, and adding zeros changes no bit."""
    samples = fields.shape[0]
    shapes = [part.shape[1:] for part in measure(0, np.zeros((1, *fields.shape[1:])))]
    widths = [math.prod(shape) for shape in shapes]

    def rows_of_this_process() -> Floats:
        rows = np.zeros((samples, sum(widths)))
        for start, block in blocks(fields, team):
            parts = [part.reshape(len(block), -1) for part in measure(start, block)]
            rows[start : start + len(block)] = np.concatenate(parts, axis=1)
        return rows

    parts = np.split(team.add(rows_of_this_process), np.cumsum(widths)[:-1], axis=1)
    return [part.reshape(samples, *shape) for part, shape in zip(parts, shapes, strict=True)]


def share(samples: int, team: Team) -> tuple[int, int]:
    """Return the first sample that this process reads, and the one behind its last."""
    count = -(-samples // BLOCK)
    return BLOCK * (count * team.rank // team.size), min(samples, BLOCK * (count * (team.rank + 1) // team.size))


def blocks(fields: Samples, team: Team) -> Iterator[tuple[int, Floats]]:
    """Yield blocks of this process's share of samples, missing values as NaN, each with its first sample's number."""
    spans = spans_of(fields, *share(fields.shape[0], team))
    if not isinstance(fields, StoredSamples):
        yield from ((start, read_block(fields, start, stop)) for start, stop in spans)
        return
    with ThreadPoolExecutor(1) as reader:  # the next block is read while this one is measured
        coming: deque[tuple[int, Future[Floats]]] = deque()
        for start, stop in spans:
            coming.append((start, reader.submit(read_block, fields, start, stop)))
            if len(coming) == 2:
                first, block = coming.popleft()
                yield first, block.result()
        for first, block in coming:
            yield first, block.result()


def spans_of(fields: Samples, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the first sample of each block, and the one behind its last: as many as are read at once, unless these are few."""
    while first < stop:
        length = fields.at_once(first) if isinstance(fields, StoredSamples) else BLOCK
        end = min(first + (length if length >= FEW else BLOCK), stop)
        yield first, end
        first = end


def read_block(fields: Samples, start: int, stop: int) -> Floats:
    """Return samples in the precision that they come in, float32 or float64, missing values as NaN."""
    block = fields[start:stop]
    kind = np.float32 if getattr(block, "dtype", None) == np.float32 else np.float64
    return np.asarray(np.ma.filled(np.ma.asarray(block, kind), np.nan)) if np.ma.isMA(block) else np.asarray(block, kind)


def require_values(block: Floats, start: int, missing: Missing) -> None:
    """Raise DataError where values are not finite and refused, or are all that a channel of a sample has."""
    finite = np.isfinite(block)
    good = finite.all((1, 2, 3)) if missing == "refuse" else np.any(finite, axis=(2, 3)).all(axis=1)
    if not good.all():
        sample = start + int(np.flatnonzero(~good)[0])
        raise DataError(
            f"sample {sample} of the fields holds NaN, Inf or missing values; leave such samples out, or use --missing mean"
            if missing == "refuse"
            else f"sample {sample} of the fields has a channel without any value; leave such samples out"
        )


def present_mean(fields: Floats) -> Floats:
    """Return means (n, C) over the points that have values, in float64."""
    present = np.isfinite(fields)
    if present.all():
        return np.asarray(fields.mean((2, 3), dtype=np.float64))
    return np.asarray(np.where(present, fields, 0.0).sum((2, 3), dtype=np.float64) / present.sum((2, 3)))


def weighted(values: Floats, weights: Floats) -> Floats:
    """Return the mean (C,) over samples of values (N, C), each with its weight; the plain one where these are all equal."""
    if (weights == weights[0]).all():
        return np.asarray(values.mean(0))
    return np.asarray((weights * values).sum(0) / weights.sum(0))


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return the elementwise quotient, NaN where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    quotient = np.full(shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) != 0)
    return quotient


def measured_block(
    shift: Floats, block: Floats, chosen: NDArray[np.bool_], start: int, missing: Missing, geometry: Geometry
) -> list[Floats]:
    """Return means (n, C), those of four powers of the distance from `shift` (C,), the share of points with values, and
    spectra. Raise DataError for values that are missing, as `require_values` does; only sums that are not finite are a reason
    to look at each value."""
    count, areas = block.shape[2] * block.shape[3], geometry.point_areas()
    powers, present = np.empty((5, *block.shape[:2])), np.ones(block.shape[:2])
    for sample, channel in np.ndindex(*block.shape[:2]):
        powers[:, sample, channel] = power_sums(block[sample, channel].ravel(), float(shift[channel]), areas) / count
    gaps = np.argwhere(~np.isfinite(powers[1])).tolist()
    if gaps:
        require_values(block, start, missing)
    for sample, channel in gaps:
        finite = np.isfinite(block[sample, channel])
        field, parts = block[sample, channel][finite], None if areas is None else areas[finite.ravel()]
        covered = field.size if parts is None else float(parts.sum())
        powers[:, sample, channel] = power_sums(field, float(shift[channel]), parts) / covered
        present[sample, channel] = covered / count
    return [*powers, present, spectra_of(shift, block, chosen, geometry)]


def power_sums(field: Floats, shift: float, areas: Floats | None = None) -> Floats:
    """Return the sums (5,) of values (n,), and of four powers of their distance from `shift`, each times its area (n,); scalar
    products are sums of products. A mean near 0 has more digits in the sum of the values than in that of distances."""
    starts = range(0, field.size, POINTS)
    sums, distances, squares = np.empty((len(starts), 5)), np.empty(POINTS), np.empty(POINTS)
    for row, start in zip(sums, starts, strict=True):
        part = field[start : start + POINTS]
        distance = np.subtract(part, shift, out=distances[: part.size], dtype=np.float64)
        square = np.multiply(distance, distance, out=squares[: part.size])
        if areas is None:
            row[:] = part.sum(dtype=np.float64), distance.sum(), distance @ distance, square @ distance, square @ square
        else:
            area = areas[start : start + POINTS]
            once, twice = area * distance, area * square
            row[:] = area @ part.astype(np.float64), once.sum(), once @ distance, twice @ distance, twice @ square
    return np.asarray(sums.sum(0))


def spectra_of(mean: Floats, block: Floats, chosen: NDArray[np.bool_], geometry: Geometry) -> Floats:
    """Return the spectra (n, C, K) of chosen samples, with the mean (C,) in the place of gaps; 0 for others."""
    spectra = np.zeros((*block.shape[:2], len(geometry.shells)))
    for sample, channel in np.ndindex(*block.shape[:2]):  # one by one, as what stays in the processor's cache costs less
        if chosen[sample]:
            field = block[sample, channel].astype(np.float64)
            finite = np.isfinite(field)
            spectra[sample, channel] = geometry.spectrum(field if finite.all() else np.where(finite, field, mean[channel]))
    return spectra
