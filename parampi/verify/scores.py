"""An ensemble against the data it should look like: moments and radial spectrum, each with its sampling error.

The sampling errors are standard errors that the members' own differences give, by the jackknife over members (Efron & Stein
1981, Ann. Statist. 9, 586): a small ensemble of a perfect model differs from the data by about as much.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import ConfigError, DataError
from parampi.fields import DatasetStatistics, Moments, moments, read_members
from parampi.fields.moments import Samples, ratio

Floats = NDArray[np.floating[Any]]
EMPTY = 1e-12  # a shell with a smaller share of the data's mean square holds rounding errors only


def kurtosis(fields: Samples) -> Floats:
    """E[x^4] / E[x^2]^2 of fields (N, C, H, W) about the mean over all samples and points, per channel (C,); 3 if normal."""
    return moments(fields).kurtosis


def spectrum_ratio(fields: Samples, statistics: DatasetStatistics) -> Floats:
    """Mean `radial_spectrum` of fields (N, C, H, W) over the data's, (C, K); NaN for shells in which the data holds nothing."""
    return ratio(moments(fields).spectrum, filled_shells(statistics))


def quarter_of(statistics: DatasetStatistics) -> int:
    """The highest shell compared: a quarter of the grid's points per side, which is half of what the grid can hold."""
    return max(1, shorter_side(statistics) // 4)


def shorter_side(statistics: DatasetStatistics) -> int:
    """Points along the shorter side of the grid; along the only one of fields with one dimension."""
    return min((points for points in statistics.grid if points > 1), default=1)


@dataclass(frozen=True, eq=False)
class Score:
    """One measure of the ensemble, its standard error (NaN for a single member), and the same measure of the data."""

    value: Floats
    error: Floats
    data: Floats

    @property
    def ratio(self) -> Floats:
        """The ensemble's over the data's, NaN where the data's is 0."""
        return ratio(self.value, self.data)

    @property
    def relative_error(self) -> Floats:
        """The error of `ratio`."""
        return ratio(self.error, self.data)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What an ensemble scores against the data's statistics.

    mean, standard_deviation, kurtosis   (C,) over all members and points
    spectrum, shells                     (C, K') mean square per shell of wavenumbers, and the shells (K',) 1 ... quarter
    members, samples                     fields in the ensemble, and in the data (0 if unknown)
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    members: int
    samples: int
    mean: Score
    standard_deviation: Score
    kurtosis: Score
    spectrum: Score
    shells: NDArray[np.integer[Any]]

    @property
    def deviations(self) -> Floats:
        """(C, K') distances of the shells' ratios from 1; 0 where the data holds nothing."""
        return np.abs(np.nan_to_num(self.spectrum.ratio, nan=1.0) - 1)

    @property
    def worst_deviation(self) -> Floats:
        """(C,) the largest of them."""
        return np.asarray(self.deviations.max(1))

    @property
    def worst_shell(self) -> NDArray[np.integer[Any]]:
        """(C,) the shell where it is."""
        return np.asarray(self.shells[self.deviations.argmax(1)])

    def table(self) -> str:
        """All of it as text."""
        members = f"{self.members} member" + "s" * (self.members != 1)
        samples = f"{self.samples} samples" if self.samples else "samples"
        lines = [f"{members} against {samples} of the data; +- is one standard error of {members}"]
        for c in range(len(self.names)):
            lines += ["", *self.channel(c)]
        return "\n".join(lines)

    def channel(self, c: int) -> list[str]:
        """The table's lines for one channel."""
        worst = f"{self.worst_deviation[c]:.1%} of the data, worst in shell {self.worst_shell[c]}"
        return [
            f"{self.names[c]:<20}{'ensemble':>12}{'data':>12}{'ratio':>12}".rstrip() + f"    units {self.units[c]}",
            numbers("mean", self.mean, c),
            numbers("standard deviation", self.standard_deviation, c, relative=True),
            numbers("kurtosis", self.kurtosis, c, relative=True),
            *(numbers(f"shell {k}", self.spectrum, (c, i), relative=True) for i, k in enumerate(self.shells)),
            f"shells 1 to {self.shells[-1]}: within {worst}",
        ]


def compare(ensemble: str | Path, statistics: str | Path, quarter: int | None = None) -> Comparison:
    """Score an ensemble file by a statistics file, shells 1 to `quarter` (by default a quarter of the grid's points per side).

    Members that were not finished are left out. Raises DataError for files that do not belong together.
    """
    data = DatasetStatistics.from_file(statistics)
    fields, _ = read_members(ensemble, data.names)
    try:
        return compare_fields(fields, data, quarter)
    except DataError as error:
        raise DataError(f"{ensemble}: {error}") from error


def masked(fields: Samples) -> bool:
    """Whether members lack values, all of them at the same points."""
    lacking = np.isnan(np.asarray(fields[0:1]))
    same = (np.array_equal(np.isnan(np.asarray(fields[k : k + 1])), lacking) for k in range(1, fields.shape[0]))
    return bool(lacking.any()) and all(same)


def compare_fields(fields: Samples, statistics: DatasetStatistics, quarter: int | None = None) -> Comparison:
    """Score fields (M, C, H, W) in physical units by the data's statistics, as `compare` does. Points that a mask takes from
    all members alike are left out."""
    last = quarter_of(statistics) if quarter is None else quarter
    if not 1 <= last < len(statistics.wavenumber):
        raise ConfigError(f"quarter = {last}; give the last shell to compare, from 1 to {len(statistics.wavenumber) - 1}")
    if tuple(fields.shape[1:]) != statistics.shape:
        raise DataError(f"members have shape {tuple(fields.shape[1:])}, the data of the statistics {statistics.shape}")
    found = moments(fields, missing="mean" if masked(fields) else "refuse")
    return Comparison(
        statistics.names, statistics.units, fields.shape[0], statistics.samples,
        *scores(found, statistics, slice(1, last + 1)), statistics.wavenumber[1 : last + 1],
    )  # fmt: skip


def scores(found: Moments, statistics: DatasetStatistics, shells: slice) -> tuple[Score, Score, Score, Score]:
    """Mean, standard deviation, kurtosis and spectrum."""
    second, fourth = left_out(found.second), left_out(found.fourth)
    return (
        Score(found.mean, jackknife(left_out(found.means)), statistics.mean),
        Score(found.standard_deviation, jackknife(np.sqrt(second)), statistics.standard_deviation),
        Score(found.kurtosis, jackknife(ratio(fourth, second**2)), statistics.kurtosis),
        Score(found.spectrum[:, shells], jackknife(left_out(found.spectra[..., shells])), filled_shells(statistics)[:, shells]),
    )


def filled_shells(statistics: DatasetStatistics) -> Floats:
    """The data's spectrum (C, K), 0 where only rounding errors are."""
    spectrum = statistics.spectrum
    return np.where(spectrum > EMPTY * spectrum.sum(1, keepdims=True), spectrum, 0.0)


def left_out(parts: Floats) -> Floats:
    """Means over members (M, ...) with each member left out in turn; NaN if there is only one."""
    members = len(parts)
    return (parts.sum(0) - parts) / (members - 1) if members > 1 else np.full_like(parts, np.nan)


def jackknife(replicates: Floats) -> Floats:
    """Standard error, from a measure's values (M, ...) with each member left out in turn."""
    return np.asarray(np.sqrt((len(replicates) - 1) * replicates.var(0)))


def numbers(name: str, score: Score, index: int | tuple[int, int], relative: bool = False) -> str:
    """One line of the table."""
    line = f"  {name:<18}{score.value[index]:>12.4g}{score.data[index]:>12.4g}"
    value, error = (score.ratio[index], score.relative_error[index]) if relative else (np.nan, np.nan)
    return line + (f"{value:>12.3f}" if np.isfinite(value) else "") + (f" +- {error:.3f}" if np.isfinite(error) else "")
