"""What a conditional network is given, from NetCDF or HDF5 files: one case per time, one read per case."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
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


@dataclass
class Conditions:
    """Variables (time, y, x) of files as conditions (C, y, x), normalised channel by channel; a file of one field is one case.

    paths       one file or several, whose times follow one another
    names       variables in the network's order; by name, wherever they stand in the files
    statistics  of these variables: mean, standard deviation, units
    select      indices of the cases to draw; None for all
    missing     "refuse" missing values (DataError), or give the "mean" in their place
    static      a file and its variables (y, x) that are given to every case, behind the others
    by_name     where the network's conditions are among names (those of the files, then static ones), which it is called with;
                None where they are in this order
    rollout     forecasts in a row; `channels` are then the names of what is drawn
    """

    paths: Sequence[Path]
    names: Sequence[str]
    statistics: DatasetStatistics
    select: Sequence[int] | None = None
    missing: Literal["refuse", "mean"] = "refuse"
    static: tuple[Path, Sequence[str]] | None = None
    rollout: Rollout | None = None
    by_name: Callable[[Sequence[str]], Sequence[int]] | None = None
    channels: Sequence[str] = ()
    samples: FileSamples = field(init=False)
    shape: tuple[int, ...] = field(init=False)
    cases: Cases = field(init=False)

    def __post_init__(self) -> None:
        self.samples = FileSamples(self.paths, self.names, least=2)
        with self.samples as opened:
            self.names = opened.names
        self.order = self.by_name([*self.names, *(self.static[1] if self.static else ())]) if self.by_name else None
        self.mean, self.deviation, units = self.scales(self.names)
        if self.rollout:
            self.rollout.connect(self.names, self.channels)
        with self.samples as opened:
            self.shape = opened.shape[1:]
            self.check_units(units)
            self.cases = self.axis_of_cases()
            self.check_forcing()
        self.constant = self.read_static() if self.static else None
        self.leads = self.rollout.leads(self.cases, self.spacing) if self.rollout else None

    def scales(self, names: Sequence[str]) -> tuple[Floats, Floats, list[str]]:
        """Means and standard deviations (C, 1, 1) and units."""
        unknown = [name for name in names if name not in self.statistics.names]
        if unknown:
            raise DataError(
                f"there are no statistics of {', '.join(unknown)} to normalise it with; the statistics file has "
                f"{', '.join(self.statistics.names)}; name another one (condition.statistics)"
            )
        rows = [self.statistics.names.index(name) for name in names]
        mean, deviation = self.statistics.mean[rows], self.statistics.standard_deviation[rows]
        return mean[:, None, None], deviation[:, None, None], [self.statistics.units[row] for row in rows]

    def check_forcing(self) -> None:
        """In a roll-out variables that no result replaces are needed at each of its times."""
        forcing, steps = self.rollout.unfed(self.names) if self.rollout else [], self.rollout.steps if self.rollout else 1
        last, total = max(self.cases.indices) + steps - 1, self.samples.shape[0]
        if forcing and last >= total:
            raise DataError(
                f"{steps} lead times from case {max(self.cases.indices)} need {', '.join(forcing)} up to index {last}, but the "
                f"files end at {total - 1}; take fewer lead times or earlier cases, or files that go on"
            )

    def read_static(self) -> Floats:
        assert self.static
        path, names = self.static
        mean, deviation, _ = self.scales(names)
        with FileSamples([path], names, least=2) as opened:
            if opened.shape[0] != 1 or opened.shape[2:] != self.shape[1:]:
                raise DataError(
                    f"{path}: {', '.join(names)} have shape {opened.leading[0] + opened.shape[2:]}; expected static fields "
                    f"{self.shape[1:]} like those of {self.paths[0]}"
                )
            return self.filled((opened[0:1][0] - mean) / deviation, names, f"in {path}")

    def check_units(self, expected: Sequence[str]) -> None:
        for path, variables in zip(self.paths, self.samples.variables, strict=True):
            for name, (variable, _), wanted in zip(self.names, variables, expected, strict=True):
                units = str(getattr(variable, "units", wanted))
                if units != wanted:
                    raise DataError(
                        f"{path}: {name} is in {units!r}, its statistics in {wanted!r}; convert the one or the other"
                    )

    def axis_of_cases(self) -> Cases:
        leading = self.samples.leading
        if any(len(shape) > 1 for shape in leading):
            dimensions = ", ".join(self.samples.variables[0][0][0].dimensions)
            raise DataError(
                f"{self.paths[0]}: {self.names[0]} has the axes ({dimensions}); a condition has (time, y, x) or (y, x), and of "
                f"an axis of levels one is named, such as {self.names[0]}@500"
            )
        total = self.samples.shape[0]
        chosen = list(range(total)) if self.select is None else [int(index) for index in self.select]
        wrong = [index for index in chosen if not 0 <= index < total]
        if wrong or not chosen or len(set(chosen)) < len(chosen):
            what = f"{wrong} are beyond" if wrong else "this names a case twice, or none, of"
            raise DataError(
                f"condition.select = {chosen}: {what} the {total} cases of the files; give different indices from 0 to "
                f"{total - 1}"
            )
        name, values, attributes = self.coordinate()
        self.spacing = np.diff(values)
        if self.rollout and unit_of(attributes.get("units", "")):
            attributes = {key: value for key, value in attributes.items() if key not in ("axis", "long_name")}
            name = "forecast_reference_time"
            attributes |= {"standard_name": name, "long_name": "start of the forecast"}
        return Cases(name, values[chosen], attributes, chosen)

    def coordinate(self) -> tuple[str, Floats, dict[str, str]]:
        """Name, values and attributes of the first axis, in all files; their indices where it has no coordinate."""
        first, timed = self.samples.variables[0][0][0], len(self.samples.leading[0]) == 1
        total = self.samples.shape[0]
        name = first.dimensions[0] if timed else "case"
        if not timed or any(name not in file.variables for file in self.samples.files):
            return name, np.arange(total, dtype=np.float64), {"long_name": "index of the condition", "units": "1"}
        told = [described(file[name]) for file in self.samples.files]
        for path, attributes in zip(self.paths, told, strict=True):
            for key in ("units", "calendar"):
                if attributes.get(key) != told[0].get(key):
                    raise DataError(
                        f"{path}: {name} has {key} {attributes.get(key)!r}, but {told[0].get(key)!r} in {self.paths[0]}; files "
                        f"that follow one another must agree"
                    )
        parts = [np.ma.asarray(file[name][:], np.float64).reshape(-1) for file in self.samples.files]
        values = np.concatenate([np.ma.filled(part, np.nan) for part in parts])
        return name, values, told[0]

    def __call__(self, cases: Sequence[int], lead: int = 0, results: Floats | None = None) -> Floats:
        """Normalised conditions (m, C, y, x) of cases, by their indices in the files; each is read once. At a later `lead` of a
        roll-out, `results` (m, channels, y, x) in physical units are those of the lead before."""
        steady = lead > 0 and self.rollout is not None and not self.rollout.unfed(self.names)
        found: dict[int, Floats] = {}
        with ExitStack() as stack:
            opened = stack.enter_context(self.samples) if not steady else None
            for case in sorted(set(cases)):
                at = case + lead
                raw = opened[at : at + 1][0] if opened else np.zeros(self.shape)
                scaled = (raw - self.mean) / self.deviation
                scaled[[row for row, _ in self.rollout.places] if lead and self.rollout else []] = 0.0
                found[case] = self.filled(scaled, self.names, f"of case {at} in {', '.join(map(str, self.paths))}")
        made = np.stack([found[case] for case in cases])
        if lead and self.rollout and results is not None:
            for row, channel in self.rollout.places:
                made[:, row] = (results[:, channel] - self.mean[row]) / self.deviation[row]
        if self.constant is not None:
            made = np.concatenate([made, np.broadcast_to(self.constant, (len(made), *self.constant.shape))], axis=1)
        return made if self.order is None else made[:, list(self.order)]

    def filled(self, fields: Floats, names: Sequence[str], where: str) -> Floats:
        """Normalised fields with the mean in the place of gaps. Raises DataError where that is not wanted, or all is gap."""
        gaps = ~np.isfinite(fields)
        if gaps.any():
            channel = int(gaps.any(axis=(1, 2)).argmax())
            if self.missing == "refuse" or gaps[channel].all():
                raise DataError(
                    f"{names[channel]} {where} has {int(gaps[channel].sum())} missing values of {gaps[channel].size}; fill "
                    f"them, or give the mean in the place of some (condition.missing: mean)"
                )
        return np.where(gaps, 0.0, fields)


def described(variable: Any) -> dict[str, str]:
    return {key: str(variable.getncattr(key)) for key in COPIED if key in variable.ncattrs()}
