"""What a conditional network is given, from NetCDF or HDF5 files: one case per time, one read per case."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.places import Cases
from parampi.fields.samples import FileSamples
from parampi.fields.statistics import Statistics

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
    """

    paths: Sequence[Path]
    names: Sequence[str]
    statistics: Statistics
    select: Sequence[int] | None = None
    missing: Literal["refuse", "mean"] = "refuse"
    samples: FileSamples = field(init=False)
    shape: tuple[int, ...] = field(init=False)
    cases: Cases = field(init=False)

    def __post_init__(self) -> None:
        self.samples = FileSamples(self.paths, self.names, least=2)
        unknown = [name for name in self.names if name not in self.statistics.names]
        if unknown:
            raise DataError(
                f"there are no statistics of {', '.join(unknown)} to normalise it with; the statistics file has "
                f"{', '.join(self.statistics.names)}; name another one (condition.statistics)"
            )
        rows = [self.statistics.names.index(name) for name in self.names]
        self.mean = self.statistics.mean[rows][:, None, None]
        self.deviation = self.statistics.standard_deviation[rows][:, None, None]
        with self.samples as opened:
            self.shape = opened.shape[1:]
            self.check_units([self.statistics.units[row] for row in rows])
            self.cases = self.axis_of_cases()

    def check_units(self, expected: Sequence[str]) -> None:
        for path, file in zip(self.paths, self.samples.files, strict=True):
            for name, wanted in zip(self.names, expected, strict=True):
                units = str(getattr(file[name], "units", wanted))
                if units != wanted:
                    raise DataError(
                        f"{path}: {name} is in {units!r}, its statistics in {wanted!r}; convert the one or the other"
                    )

    def axis_of_cases(self) -> Cases:
        leading = self.samples.leading
        if any(len(shape) > 1 for shape in leading):
            dimensions = ", ".join(self.samples.files[0][self.names[0]].dimensions)
            raise DataError(
                f"{self.paths[0]}: {self.names[0]} has the axes ({dimensions}); a condition has (time, y, x) or (y, x)"
            )
        total = self.samples.shape[0]
        chosen = list(range(total)) if self.select is None else [int(index) for index in self.select]
        wrong = [index for index in chosen if not 0 <= index < total]
        if wrong or not chosen or len(set(chosen)) < len(chosen):
            what = f"{wrong} of condition.select are" if wrong else f"condition.select = {chosen} is"
            raise DataError(f"{what} not among the {total} cases of the files; give different indices from 0 to {total - 1}")
        name, values, attributes = self.coordinate()
        return Cases(name, values[chosen], attributes, chosen)

    def coordinate(self) -> tuple[str, Floats, dict[str, str]]:
        """Name, values and attributes of the first axis, in all files; their indices where it has no coordinate."""
        first = self.samples.files[0][self.names[0]]
        total = self.samples.shape[0]
        name = first.dimensions[0] if first.ndim > 2 else "case"
        if first.ndim < 3 or any(name not in file.variables for file in self.samples.files):
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

    def __call__(self, cases: Sequence[int]) -> Floats:
        """Normalised conditions (m, C, y, x) of cases, by their indices in the files; each is read once."""
        with ExitStack() as stack:
            opened = stack.enter_context(self.samples)
            found = {case: self.normalised(opened[case : case + 1][0], case) for case in sorted(set(cases))}
        return np.stack([found[case] for case in cases])

    def normalised(self, raw: Floats, case: int) -> Floats:
        fields = (raw - self.mean) / self.deviation
        gaps = ~np.isfinite(fields)
        if gaps.any():
            channel = int(gaps.any(axis=(1, 2)).argmax())
            if self.missing == "refuse" or gaps[channel].all():
                files, count = ", ".join(map(str, self.paths)), int(gaps[channel].sum())
                raise DataError(
                    f"{self.names[channel]} of case {case} in {files} has {count} missing values of {gaps[channel].size}; fill "
                    f"them, or give the mean in the place of some (condition.missing: mean)"
                )
        return np.where(gaps, 0.0, fields)


def described(variable: Any) -> dict[str, str]:
    return {key: str(variable.getncattr(key)) for key in COPIED if key in variable.ncattrs()}
