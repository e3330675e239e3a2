"""Scores of an ensemble against the data it should look like: moments and radial spectrum, each with its sampling error.

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
EMPTY = 1e-12
"""Share of the data's mean square below which a shell holds rounding errors only."""


def kurtosis(fields: Samples) -> Floats:
    """Return E[x^4] / E[x^2]^2 (C,) of fields (N, C, H, W) about the mean over all samples and points, which all count alike; 3
    if normal."""
    return moments(fields).kurtosis


def spectrum_ratio(fields: Samples, statistics: DatasetStatistics) -> Floats:
    """Return the mean spectrum of fields (N, C, H, W) over the data's, (C, K); NaN for shells the data has not."""
    return ratio(moments(fields, geometry=statistics.geometry).spectrum, filled_shells(statistics))


def quarter_of(statistics: DatasetStatistics) -> int:
    """Return the highest shell compared: half of the highest that the grid holds in all directions. In a plane this is a
    quarter of its points per side."""
    return statistics.geometry.highest // 2


@dataclass(frozen=True, eq=False)
class Score:
    """One measure of the ensemble, its standard error (NaN for a single member), and the same measure of the data."""

    value: Floats
    error: Floats
    data: Floats

    @property
    def ratio(self) -> Floats:
        """The ensemble's value over the data's, NaN where the data's is 0."""
        return ratio(self.value, self.data)

    @property
    def relative_error(self) -> Floats:
        """Standard error of `ratio`."""
        return ratio(self.error, self.data)


@dataclass(frozen=True, eq=False)
class EnsembleScores:
    """Scores of an ensemble against the data's statistics.

    mean, standard_deviation, kurtosis   (C,) over all members and points
    spectrum, shells                     (C, K') mean square per shell of wavenumbers, and the shells (K',) 1 ... quarter
    members, samples                     fields in the ensemble, and in the data (0 if unknown)
    geometry                             how means and spectra are taken, in words; "" for a plane
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    members: int
    samples: int
    geometry: str
    mean: Score
    standard_deviation: Score
    kurtosis: Score
    spectrum: Score
    shells: NDArray[np.integer[Any]]

    @property
    def deviations(self) -> Floats:
        """Distances (C, K') of the shells' ratios from 1; 0 where the data holds nothing."""
        return np.abs(np.nan_to_num(self.spectrum.ratio, nan=1.0) - 1)

    @property
    def worst_deviation(self) -> Floats:
        """Largest distance (C,) of a shell's ratio from 1."""
        return np.asarray(self.deviations.max(1, initial=0.0))

    @property
    def worst_shell(self) -> NDArray[np.integer[Any]]:
        """Shell (C,) with the largest distance."""
        return np.asarray(self.shells[self.deviations.argmax(1)] if len(self.shells) else np.zeros(len(self.names), int))

    def table(self) -> str:
        """Return all scores as text."""
        members = f"{self.members} member{'s' * (self.members != 1)}"
        samples = f"{self.samples} sample{'s' * (self.samples != 1)}" if self.samples else "samples"
        lines = [f"{members} against {samples} of the data; +- is one standard error of {members}"]
        lines += [f"the grid is {self.geometry}"] if self.geometry else []
        for c in range(len(self.names)):
            lines += ["", *self.channel(c)]
        return "\n".join(lines)

    def channel(self, c: int) -> list[str]:
        """Return the table's lines for one channel."""
        worst = f"{self.worst_deviation[c]:.1%} of the data, worst in shell {self.worst_shell[c]}"
        spectra = [f"shells 1 to {self.shells[-1]}: within {worst}"] if len(self.shells) else []
        return [
            f"{self.names[c]:<20}{'ensemble':>12}{'data':>12}{'ratio':>12}".rstrip() + f"    units {self.units[c]}",
            numbers("mean", self.mean, c),
            numbers("standard deviation", self.standard_deviation, c, relative=True),
            numbers("kurtosis", self.kurtosis, c, relative=True),
            *(numbers(f"shell {k}", self.spectrum, (c, i), relative=True) for i, k in enumerate(self.shells)),
            *spectra,
        ]


def compare(ensemble: str | Path, statistics: str | Path, quarter: int | None = None) -> EnsembleScores:
    """Score an ensemble file by a statistics file, shells 1 to `quarter` (by default half of those that the grid holds).

    Members that were not finished are left out. Raises DataError for files of different grids.
    """
    data = DatasetStatistics.from_file(statistics)
    data.require_spectrum(statistics)
    fields, _ = read_members(ensemble, data.names)
    try:
        return compare_fields(fields, data, quarter)
    except DataError as error:
        raise DataError(f"{ensemble}: {error}") from error


def masked(fields: Samples) -> bool:
    """Tell whether members lack values, all of them at the same points."""
    missing = np.isnan(np.asarray(fields[0:1]))
    same = (np.array_equal(np.isnan(np.asarray(fields[k : k + 1])), missing) for k in range(1, fields.shape[0]))
    return bool(missing.any()) and all(same)


def compare_fields(fields: Samples, statistics: DatasetStatistics, quarter: int | None = None) -> EnsembleScores:
    """Score fields (M, C, H, W) in physical units by the data's statistics, as `compare` does. Points that a mask takes from
    all members alike are left out."""
    last = quarter_of(statistics) if quarter is None else quarter
    most = int((statistics.wavenumber >= 0).sum()) - 1
    if not 1 <= last <= most and not (quarter is None and not statistics.geometry.has_modes):
        raise ConfigError(f"quarter = {last}; give the last shell to compare, from 1 to {most}")
    if tuple(fields.shape[1:]) != statistics.shape:
        raise DataError(f"members have shape {tuple(fields.shape[1:])}, the data of the statistics {statistics.shape}")
    measured = moments(fields, missing="mean" if masked(fields) else "refuse", geometry=statistics.geometry)
    shells = slice(1, last + 1)
    return EnsembleScores(
        names=statistics.names,
        units=statistics.units,
        members=fields.shape[0],
        samples=statistics.samples,
        geometry=statistics.geometry.words(),
        **moment_scores(measured, statistics),
        spectrum=spectrum_score(measured, statistics, shells),
        shells=statistics.wavenumber[shells],
    )


def moment_scores(measured: Moments, statistics: DatasetStatistics) -> dict[str, Score]:
    """Return the scores of mean, standard deviation and kurtosis, by name."""
    second, fourth = left_out(measured.second), left_out(measured.fourth)
    errors = {
        "mean": jackknife(left_out(measured.means)),
        "standard_deviation": jackknife(np.sqrt(second)),
        "kurtosis": jackknife(ratio(fourth, second**2)),
    }
    return {name: Score(getattr(measured, name), error, getattr(statistics, name)) for name, error in errors.items()}


def spectrum_score(measured: Moments, statistics: DatasetStatistics, shells: slice) -> Score:
    """Return the score of the spectrum, for some of the shells."""
    error = jackknife(left_out(measured.spectra[..., shells]))
    return Score(measured.spectrum[:, shells], error, filled_shells(statistics)[:, shells])


def filled_shells(statistics: DatasetStatistics) -> Floats:
    """Return the data's spectrum (C, K), 0 where only rounding errors are."""
    spectrum = statistics.spectrum
    return np.where(spectrum > EMPTY * spectrum.sum(1, keepdims=True), spectrum, 0.0)


def left_out(parts: Floats) -> Floats:
    """Return means over members (M, ...) with each member left out in turn; NaN if there is only one."""
    members = len(parts)
    return (parts.sum(0) - parts) / (members - 1) if members > 1 else np.full_like(parts, np.nan)


def jackknife(replicates: Floats) -> Floats:
    """Return the standard error, from a measure's values (M, ...) with each member left out in turn."""
    return np.asarray(np.sqrt((len(replicates) - 1) * replicates.var(0)))


def numbers(name: str, score: Score, index: int | tuple[int, int], relative: bool = False) -> str:
    """Return one line of the table."""
    line = f"  {name:<18}{score.value[index]:>12.4g}{score.data[index]:>12.4g}"
    value, error = (score.ratio[index], score.relative_error[index]) if relative else (np.nan, np.nan)
    return line + (f"{value:>12.3f}" if np.isfinite(value) else "") + (f" +- {error:.3f}" if np.isfinite(error) else "")
