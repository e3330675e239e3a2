"""Conditions of a network from NetCDF or HDF5 files: one case per time, one read per case."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.ensemble_axes import Cases
from parampi.fields.inputs.rollout import Rollout
from parampi.fields.inputs.samples import FileSamples
from parampi.fields.statistics import DatasetStatistics
from parampi.fields.times import unit_of

Floats = NDArray[np.floating[Any]]
COPIED = ("units", "calendar", "standard_name", "long_name", "axis", "units_metadata")
"""Attributes of the axis of times that are taken over."""


@dataclass
class Conditions:
    """Variables (time, y, x) of files as conditions (C, y, x), normalised channel by channel; a file of one field is one case.

    paths       one file or several, whose times follow one another
    names       variables in the network's order; by name, wherever they stand in the files
    statistics  of these variables: mean, standard deviation, units
    select      indices of the cases to draw; None for all
    missing     "refuse" missing values (DataError), or put the "mean" in their place
    static      a file and its variables (y, x) that follow the others in every case
    rollout     forecasts in a row; `channels` are then the names of what is drawn
    by_name     returns the order of the network's conditions among names (those of the files, then static ones); None where
                they are in this order

    `shape` (C, y, x) is that of the files' variables, `cases` the axis of cases, `leads` that of lead times or None.
    """

    paths: Sequence[Path]
    names: Sequence[str]
    statistics: DatasetStatistics
    _: KW_ONLY
    select: Sequence[int] | None = None
    missing: Literal["refuse", "mean"] = "refuse"
    static: tuple[Path, Sequence[str]] | None = None
    rollout: Rollout | None = None
    by_name: Callable[[Sequence[str]], Sequence[int]] | None = None
    channels: Sequence[str] = ()
    shape: tuple[int, ...] = field(init=False)
    cases: Cases = field(init=False)

    def __post_init__(self) -> None:
        with FileSamples(self.paths, self.names, least=2) as samples:
            self.names, self.shape, total = samples.names, samples.shape[1:], samples.shape[0]
            self.order = self.by_name([*self.names, *(self.static[1] if self.static else ())]) if self.by_name else None
            self.mean, self.deviation, units = self.scales(self.names)
            self.fed = self.rollout.connect(self.names, self.channels) if self.rollout else {}
            require_units(samples, units)
            require_axes(samples)
            indices, coordinate = self.selected_cases(total), read_times(samples)
            self.require_forcing(indices, total)
        self.cases = self.axis_of_cases(indices, *coordinate)
        self.constant = self.read_static() if self.static else None
        self.leads = self.rollout.leads(self.cases, np.diff(coordinate[1])) if self.rollout else None

    @property
    def forcing(self) -> list[str]:
        """Variables of the files that are read anew for each lead time, as no result replaces them."""
        return [name for row, name in enumerate(self.names) if row not in self.fed]

    def scales(self, names: Sequence[str]) -> tuple[Floats, Floats, list[str]]:
        """Return means and standard deviations (C, 1, 1) and units. Raise DataError for a variable without statistics."""
        unknown = [name for name in names if name not in self.statistics.names]
        if unknown:
            raise DataError(
                f"there are no statistics of {', '.join(unknown)} to normalise it with; the statistics file has "
                f"{', '.join(self.statistics.names)}; name another one (condition.statistics)"
            )
        rows = [self.statistics.names.index(name) for name in names]
        mean, deviation = self.statistics.mean[rows], self.statistics.standard_deviation[rows]
        return mean[:, None, None], deviation[:, None, None], [self.statistics.units[row] for row in rows]

    def require_forcing(self, indices: Sequence[int], total: int) -> None:
        """Raise DataError where files end before a roll-out: variables that no result replaces are needed at all its times."""
        steps = self.rollout.steps if self.rollout else 1
        last = max(indices) + steps - 1
        if self.rollout and self.forcing and last >= total:
            raise DataError(
                f"{steps} lead times from case {max(indices)} need {', '.join(self.forcing)} up to index {last}, but the files "
                f"end at {total - 1}; take fewer lead times or earlier cases, or files that go on"
            )

    def read_static(self) -> Floats:
        """Read the static variables (C, y, x), normalised. Raise DataError for another grid."""
        assert self.static
        path, names = self.static
        mean, deviation, _ = self.scales(names)
        with FileSamples([path], names, least=2) as opened:
            if opened.shape[0] != 1 or opened.shape[2:] != self.shape[1:]:
                raise DataError(
                    f"{path}: {', '.join(names)} have shape {opened.leading[0] + opened.shape[2:]}; expected static fields "
                    f"{self.shape[1:]} like those of {self.paths[0]}"
                )
            return self.fill_gaps((opened[0:1][0] - mean) / deviation, names, f"in {path}")

    def axis_of_cases(self, indices: list[int], name: str, values: Floats, attributes: dict[str, str]) -> Cases:
        """Return the axis of the selected cases, by the coordinate of all; in a roll-out these are the starts of forecasts."""
        if self.rollout and unit_of(attributes.get("units", "")):
            attributes = {key: value for key, value in attributes.items() if key not in ("axis", "long_name")}
            name = "forecast_reference_time"
            attributes |= {"standard_name": name, "long_name": "start of the forecast"}
        return Cases(name, values[indices], attributes, indices)

    def selected_cases(self, total: int) -> list[int]:
        """Return the indices of the cases to draw, of `total`. Raise DataError for indices that are not there or come twice."""
        indices = list(range(total)) if self.select is None else [int(index) for index in self.select]
        beyond = [index for index in indices if not 0 <= index < total]
        if beyond or not indices or len(set(indices)) < len(indices):
            reason = f"{beyond} are beyond" if beyond else "this names a case twice, or none, of"
            cases = "the 1 case" if total == 1 else f"the {total} cases"
            raise DataError(
                f"condition.select = {indices}: {reason} {cases} of the files; give different indices from 0 to {total - 1}"
            )
        return indices

    def __call__(self, cases: Sequence[int], lead: int = 0, results: Floats | None = None) -> Floats:
        """Return normalised conditions (m, C, y, x) of cases, by their indices in the files; each is read once.

        At a later `lead` of a roll-out, `results` (m, channels, y, x) in physical units are those of the lead before.
        """
        by_case = self.read_cases(sorted(set(cases)), lead)
        conditions = np.stack([by_case[case] for case in cases])
        if lead and results is not None:
            for row, channel in self.fed.items():
                conditions[:, row] = (results[:, channel] - self.mean[row]) / self.deviation[row]
        if self.constant is not None:
            constant = np.broadcast_to(self.constant, (len(conditions), *self.constant.shape))
            conditions = np.concatenate([conditions, constant], axis=1)
        return conditions if self.order is None else conditions[:, list(self.order)]

    def read_cases(self, cases: Sequence[int], lead: int) -> dict[int, Floats]:
        """Read the normalised variables (C, y, x) of cases at a lead time, 0 in the places of fed ones after the first; no file
        is opened where all are fed."""
        all_fed, fed = lead > 0 and not self.forcing, list(self.fed) if lead else []
        by_case: dict[int, Floats] = {}
        with ExitStack() as stack:
            opened = None if all_fed else stack.enter_context(FileSamples(self.paths, self.names, least=2))
            for case in cases:
                index = case + lead
                raw = opened[index : index + 1][0] if opened else np.zeros(self.shape)
                scaled = (raw - self.mean) / self.deviation
                scaled[fed] = 0.0
                by_case[case] = self.fill_gaps(scaled, self.names, f"of case {index} in {', '.join(map(str, self.paths))}")
        return by_case

    def digest(self) -> str:
        """Return the SHA-256 of all that is read of the files for the selected cases: fields, and the coordinate of cases."""
        steps = self.rollout.steps if self.rollout and self.forcing else 1
        digest = hashlib.sha256(np.ascontiguousarray(self.cases.values).tobytes())
        with FileSamples(self.paths, self.names, least=2) as samples:
            for index in sorted({case + lead for case in self.cases.indices for lead in range(steps)}):
                digest.update(np.ascontiguousarray(samples[index : index + 1]).tobytes())
        return digest.hexdigest()

    def fill_gaps(self, fields: Floats, names: Sequence[str], where: str) -> Floats:
        """Return normalised fields with the mean in the place of gaps. Raise DataError where gaps are refused or are all."""
        gaps = ~np.isfinite(fields)
        if gaps.any():
            channel = int(gaps.any(axis=(1, 2)).argmax())
            if self.missing == "refuse" or gaps[channel].all():
                count = int(gaps[channel].sum())
                raise DataError(
                    f"{names[channel]} {where} has {count} missing value{'s' * (count != 1)} of {gaps[channel].size}; fill "
                    f"them, or give the mean in the place of some (condition.missing: mean)"
                )
        return np.where(gaps, 0.0, fields)


def copied_attributes(variable: Any) -> dict[str, str]:
    """Return the attributes of a coordinate that are taken over."""
    return {key: str(variable.getncattr(key)) for key in COPIED if key in variable.ncattrs()}


def require_units(samples: FileSamples, expected: Sequence[str]) -> None:
    """Raise DataError for a variable in other units than its statistics."""
    for path, variables in zip(samples.paths, samples.variables, strict=True):
        for name, (variable, _), statistics_units in zip(samples.names, variables, expected, strict=True):
            units = str(getattr(variable, "units", statistics_units))
            if units != statistics_units:
                raise DataError(
                    f"{path}: {name} is in {units!r}, its statistics in {statistics_units!r}; convert the one or the other"
                )


def require_axes(samples: FileSamples) -> None:
    """Raise DataError for variables with more axes than (time, y, x)."""
    if any(len(shape) > 1 for shape in samples.leading):
        name, dimensions = samples.names[0], ", ".join(samples.variables[0][0][0].dimensions)
        raise DataError(
            f"{samples.paths[0]}: {name} has the axes ({dimensions}); a condition has (time, y, x) or (y, x), and of an axis "
            f"of levels one is named, such as {name}@500"
        )


def read_times(samples: FileSamples) -> tuple[str, Floats, dict[str, str]]:
    """Read name, values and attributes of the first axis, in all files; indices where it has no coordinate."""
    first, timed = samples.variables[0][0][0], len(samples.leading[0]) == 1
    total = samples.shape[0]
    name = first.dimensions[0] if timed else "case"
    if not timed or any(name not in file.variables for file in samples.files):
        return name, np.arange(total, dtype=np.float64), {"long_name": "index of the condition", "units": "1"}
    attributes = [copied_attributes(file[name]) for file in samples.files]
    for path, others in zip(samples.paths, attributes, strict=True):
        for key in ("units", "calendar"):
            if others.get(key) != attributes[0].get(key):
                raise DataError(
                    f"{path}: {name} has {key} {others.get(key)!r}, but {attributes[0].get(key)!r} in {samples.paths[0]}; "
                    f"files that follow one another must agree"
                )
    parts = [np.ma.asarray(file[name][:], np.float64).reshape(-1) for file in samples.files]
    values = np.concatenate([np.ma.filled(part, np.nan) for part in parts])
    return name, values, attributes[0]
