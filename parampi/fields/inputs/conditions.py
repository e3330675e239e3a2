"""Conditions of a network from files: one case per time, on the grid and in the units of their statistics."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.ensemble_axes import Cases
from parampi.fields.inputs.case_dates import indices_of
from parampi.fields.inputs.groups import plain
from parampi.fields.inputs.horizontal import grid_of_statistics
from parampi.fields.inputs.rollout import Rollout
from parampi.fields.inputs.samples import FileSamples
from parampi.fields.statistics import DatasetStatistics
from parampi.fields.times import unit_of

Floats = NDArray[np.floating[Any]]
FAR = 20.0
"""Standard deviations from the mean beyond which a condition is of other data than its statistics."""
KEPT = 1 << 28
"""Bytes of fields that are kept from the look at all of them before sampling."""


@dataclass
class Conditions:
    """Variables (time, y, x) of files as conditions (C, y, x), normalised channel by channel; a file of one field is one case.

    Cases are numbered in the order of their times. Fields are turned onto the grid of the statistics, and converted into their
    units. The condition of a later lead time is taken at the time at which its step begins.

    paths       one file or several
    names       variables in the network's order; by name, wherever they stand in the files
    statistics  of these variables: mean, standard deviation, units
    select      indices or dates of the cases to draw (`case_dates`); None for all
    missing     "refuse" missing values (DataError), or put the "mean" in their place
    static      a file and its variables (y, x) that follow the others in every case
    rollout     forecasts in a row; `channels` are then the names of what is drawn
    axes        names of the files' axes, in the order of storage, where they have none
    by_name     returns the order of the network's conditions among names (those of the files, then static ones); None where
                they are in this order

    `shape` (C, y, x) is that of the files' variables, `cases` the axis of cases, `leads` that of lead times or None, `notes`
    lines about what was turned, converted or sorted.
    """

    paths: Sequence[Path]
    names: Sequence[str]
    statistics: DatasetStatistics
    _: KW_ONLY
    select: Sequence[int | str] | None = None
    missing: Literal["refuse", "mean"] = "refuse"
    static: tuple[Path, Sequence[str]] | None = None
    rollout: Rollout | None = None
    by_name: Callable[[Sequence[str]], Sequence[int]] | None = None
    channels: Sequence[str] = ()
    axes: Sequence[str] = ()
    shape: tuple[int, ...] = field(init=False)
    cases: Cases = field(init=False)

    def __post_init__(self) -> None:
        grid, levels = grid_of_statistics(self.statistics), self.statistics.level_units
        common: dict[str, Any] = {"least": 2, "units": self.units_of, "levels": levels, "axes": self.axes}
        common["dimensions"] = self.statistics.dimensions
        with FileSamples(self.paths, self.names, grid=grid, **common) as samples:
            self.source, self.names, self.shape = samples, samples.names, samples.shape[1:]
            self.times, self.notes = samples.times, samples.notes
            require_axes(samples)
        self.order = self.by_name([*self.names, *map(plain, self.static[1] if self.static else ())]) if self.by_name else None
        self.mean, self.deviation = self.scales(self.names)
        self.fed = self.rollout.connect(self.names, self.channels) if self.rollout else {}
        self.cases = self.axis_of_cases(self.selected_cases(len(self.times.values)))
        self.constant = self.read_static() if self.static else None
        self.leads = self.rollout.leads(self.times) if self.rollout else None
        self.forced = {case: self.indices_of(case) for case in self.cases.indices}
        self.kept: dict[int, Floats] = {}
        self.seal = ""

    def indices_of(self, case: int) -> list[int]:
        """Return which samples the conditions of a case are, one for each lead time. Raise DataError where files have none."""
        if self.rollout is None or self.leads is None or not self.forcing:
            return [case]
        return self.rollout.forcing_indices(case, self.times, self.leads, self.forcing)

    @property
    def forcing(self) -> list[str]:
        """Variables of the files that are read anew for each lead time, as no result replaces them."""
        return [name for row, name in enumerate(self.names) if row not in self.fed]

    def rows_of(self, names: Sequence[str]) -> list[int]:
        """Return where variables stand in the statistics. Raise DataError for a variable without statistics."""
        unknown = [name for name in names if name not in self.statistics.names]
        if unknown:
            raise DataError(
                f"there are no statistics of {', '.join(unknown)} to normalise it with; the statistics file has "
                f"{', '.join(self.statistics.names)}; name another one (condition.statistics)"
            )
        return [self.statistics.names.index(name) for name in names]

    def units_of(self, names: Sequence[str]) -> list[str]:
        """Return the units of variables in the statistics."""
        return [self.statistics.units[row] for row in self.rows_of(names)]

    def scales(self, names: Sequence[str]) -> tuple[Floats, Floats]:
        """Return means and standard deviations (C, 1, 1)."""
        rows = self.rows_of(names)
        return self.statistics.mean[rows][:, None, None], self.statistics.standard_deviation[rows][:, None, None]

    def read_static(self) -> Floats:
        """Read the static variables (C, y, x), normalised. Raise DataError for another grid."""
        assert self.static
        path, stored = self.static
        names = [plain(name) for name in stored]
        mean, deviation = self.scales(names)
        common: dict[str, Any] = {"least": 2, "units": self.units_of, "levels": self.statistics.level_units, "axes": self.axes}
        common["dimensions"] = self.statistics.dimensions
        with FileSamples([path], stored, grid=self.source.grid, **common) as opened:
            self.notes = [*self.notes, *opened.notes]
            if opened.shape[0] != 1 or opened.shape[2:] != self.shape[1:]:
                raise DataError(
                    f"{path}: {', '.join(names)} have shape {opened.files[0].leading + opened.shape[2:]}; expected static "
                    f"fields {self.shape[1:]} like those of {self.paths[0]}"
                )
            return self.checked((opened[0:1][0] - mean) / deviation, names, f"in {path}")

    def axis_of_cases(self, indices: list[int]) -> Cases:
        """Return the axis of the selected cases, by the coordinate of all; in a roll-out these are the starts of forecasts."""
        name, attributes = self.times.name, self.times.attributes
        if self.rollout and unit_of(attributes.get("units", "")):
            attributes = {key: value for key, value in attributes.items() if key not in ("axis", "long_name")}
            name = "forecast_reference_time"
            attributes |= {"standard_name": name, "long_name": "start of the forecast"}
        return Cases(name, self.times.values[indices], attributes, indices)

    def selected_cases(self, total: int) -> list[int]:
        """Return the indices of the cases to draw, of `total`. Raise DataError for indices that are not there or come twice."""
        if total == 0:
            raise DataError(
                f"{', '.join(map(str, self.paths))}: no field is in it, as the axis {self.times.name} is empty; name others"
            )
        indices = list(range(total)) if self.select is None else indices_of(self.select, self.times)
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
        fed = list(self.fed) if lead else []
        if len(fed) == len(self.names):
            return {case: np.zeros(self.shape) for case in cases}
        with self.source:
            return {case: self.read_case(case, lead, fed) for case in cases}

    def read_case(self, case: int, lead: int, fed: Sequence[int]) -> Floats:
        """Read the normalised variables (C, y, x) of a case at a lead time, 0 in the places of fed ones."""
        index = self.forced[case][lead]
        scaled = self.read_sample(index, fed if lead or index == case else list(self.fed))
        if lead == 0 and index != case:  # the state is that of the start, the forcing of the end of the step
            scaled[list(self.fed)] = self.read_sample(case, [])[list(self.fed)]
        return scaled

    def read_sample(self, index: int, without: Sequence[int]) -> Floats:
        """Read the normalised variables (C, y, x) of a sample, 0 in the places of some."""
        raw = self.kept[index] if index in self.kept else self.source[index : index + 1][0]
        scaled = (raw - self.mean) / self.deviation
        scaled[list(without)] = 0.0
        return self.checked(scaled, self.names, self.place(index))

    def require_states_of(self, channels: Sequence[str]) -> None:
        """Raise DataError unless the files say of all these channels what forecasts start from."""
        known = {self.channels[channel] for channel in self.fed.values()}
        if missing := [name for name in channels if name not in known]:
            raise DataError(
                f"output.initial_state = true, and the conditions ({', '.join(self.names)}) have no state of "
                f"{', '.join(missing)}; leave it out, or leave these out of output.variables"
            )

    def initial_state(self, case: int) -> Floats:
        """Return the state (channels, ...) that the forecasts of a case start from, in physical units: what the files have, the
        mean in the place of gaps, as the network sees them, and NaN for channels of which there is none."""
        with self.source:
            raw = self.kept[case] if case in self.kept else self.source[case : case + 1][0]
        state = np.full((len(self.channels), *self.shape[1:]), np.nan)
        for row, channel in self.fed.items():
            state[channel] = np.where(np.isfinite(raw[row]), raw[row], self.mean[row])
        return state

    def place(self, index: int) -> str:
        """Return where a sample comes from, for messages."""
        path = self.source.paths[self.source.place(index)[0]]
        return f"of case {index} in {path}" + (f", {self.times.text(self.times.values[index])}," if self.times.dated else "")

    def digest(self) -> str:
        """Return the SHA-256 of all that is read of the files for the selected cases: fields, and the coordinate of cases. All
        of it is looked at, once; DataError for values that no condition has."""
        self.seal = self.seal or self.look_at_all()
        return self.seal

    def look_at_all(self) -> str:
        """Read and check the fields of all cases, and keep them as far as they fit; return their SHA-256."""
        digest = hashlib.sha256(np.ascontiguousarray(self.cases.values).tobytes())
        indices = sorted({*self.forced, *(index for indices in self.forced.values() for index in indices)})
        with self.source:
            for index in indices:
                raw = self.source[index : index + 1][0]
                digest.update(np.ascontiguousarray(raw).tobytes())
                if (len(self.kept) + 1) * raw.nbytes <= KEPT:
                    self.kept[index] = raw
                self.read_sample(index, () if index in self.forced else list(self.fed))
        return digest.hexdigest()

    def checked(self, fields: Floats, names: Sequence[str], where: str) -> Floats:
        """Return normalised fields with the mean in the place of gaps. Raise DataError where gaps are refused, where a variable
        has nothing else, and for values that its statistics make impossible."""
        gaps = ~np.isfinite(fields)
        for channel in np.flatnonzero(gaps.any(axis=(1, 2))).tolist():
            if self.missing == "refuse" or gaps[channel].all():
                count = int(gaps[channel].sum())
                raise DataError(
                    f"{names[channel]} {where} has {count} missing value{'s' * (count != 1)} of {gaps[channel].size}; fill "
                    f"them, or give the mean in the place of some (condition.missing: mean)"
                )
        far = np.where(gaps, 0.0, np.abs(fields))
        if far.max() > FAR:
            name = names[int(far.max(axis=(1, 2)).argmax())]
            raise DataError(
                f"{name} {where} is up to {far.max():.3g} standard deviations from the mean of its statistics; are they of the "
                f"same data, in the same units ({self.units_of([name])[0]})? Give statistics of these data "
                f"(condition.statistics), or other files"
            )
        return np.where(gaps, 0.0, fields)


def require_axes(samples: FileSamples) -> None:
    """Raise DataError for variables with more axes than (time, y, x)."""
    for file in samples.files:
        if len(file.leading) > 1:
            part = file.parts[0]
            axes = ", ".join((*part.samples, *part.axes.stored))
            raise DataError(
                f"{file.path}: {part.variable} has the axes ({axes}); a condition has (time, y, x) or (y, x), and of an axis "
                f"of levels one is named, such as {part.variable}@500; of any other axis take one index (xarray's isel)"
            )
