"""Ensembles in one NetCDF-4 file, after the CF conventions: the store of the mode `gather`, and how such a file is read.

`gather`: all members come to one process, which writes them as they come.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError, OutputError
from parampi.fields.conditions import PER_CASE, Cases
from parampi.fields.netcdf import CONVENTIONS, reading, require, write_axis
from parampi.fields.statistics import Statistics
from parampi.fields.store import Keeper, MemberFacts
from parampi.fields.summary import METHODS, Content, Running, slabs
from parampi.fields.target import check_target, partial_name, put_in_place, writing

Floats = NDArray[np.floating[Any]]
Attributes = Mapping[str, str | float]
LARGEST_INT32, LARGEST_INT64 = 2**31 - 1, 2**63 - 1


class NetCDFStore(Keeper):
    """An ensemble in one NetCDF-4 file.

    With `cases` members have numbers `case * PER_CASE + realization`, and variables are (member, time, y, x), the axis of cases
    being named as in the files they come from.

    One variable (member, y, x) per channel, float32, NaN where a member is missing; per member its number `realization`, its
    `seed`, `rounds`, `evaluations`, `residual` and whether it is `complete`. The file grows as .NAME.partial and gets its name
    when it is closed; the global attribute `parampi_complete` is 0 if members are missing. `attributes` become global ones too.

    Raises OutputError for a file that exists (unless `overwrite`) or cannot be written.
    """

    def __init__(
        self, path: str | Path, statistics: Statistics, members: Sequence[int], seed: int, attributes: Attributes | None = None,
        overwrite: bool = False, cases: Cases | None = None, content: Content | None = None,
    ):  # fmt: skip
        super().__init__(members, statistics.shape)
        self.path, self.names, self.overwrite = Path(path), statistics.names, overwrite
        self.content, self.cases = content or Content(), cases
        self.chosen = self.content.chosen(self.names)
        shape = (len(self.chosen), *statistics.grid)
        self.running = [Running(shape) for _ in (cases.indices if cases else [0])] if self.content.summary else []
        self.counted = set[int]()
        self.places, realizations = places(list(self.rows), cases)
        check_target(path, overwrite)
        with writing(path):
            self.file = netCDF4.Dataset(partial_name(path), "w")
            try:
                describe(self.file, statistics, attributes or {})
                create_facts(self.file, realizations, seed, cases)
                create_fields(self.file, statistics, cases, self.content)
                create_summary(self.file, statistics, cases, self.content)
            except BaseException:
                self.discard()
                raise

    def put(self, member: int, fields: Floats, facts: MemberFacts) -> None:
        row = self.places[member]
        with writing(self.path):
            kept = [field for name, field in zip(self.names, fields, strict=True) if name in self.chosen]
            for name, field in zip(self.chosen, kept, strict=True) if self.content.members else ():
                self.file[name][row] = field
            if self.running and member not in self.counted:
                self.running[row[-1] if self.cases else 0].add(np.stack(kept).astype(np.float64))
                self.counted.add(member)
            for name, value in vars(facts).items():
                self.file[name][row if name != "seed" else row[:1]] = value
            self.file["complete"][row] = 1
            self.file.sync()

    def finish(self, complete: bool) -> None:
        with writing(self.path):
            self.summarise()
            self.file.setncattr("parampi_complete", np.int32(complete))
            self.file.close()
            put_in_place(self.path, self.overwrite)

    def summarise(self) -> None:
        """Write the statistics over members that were asked for."""
        for column, running in enumerate(self.running):
            at = (column,) if self.cases else ()
            for channel, name in enumerate(self.chosen):
                for kind in self.content.summary:
                    if kind != "quantiles":
                        self.file[f"{name}_{kind}"][(*at, ...)] = running.value(kind)[channel]
                    elif running.count:
                        self.write_quantiles(name, at)

    def write_quantiles(self, name: str, at: tuple[int, ...]) -> None:
        """Those of finished members, a few rows of the grid at a time."""
        finished = np.flatnonzero(np.ma.filled(self.file["complete"][(slice(None), *at)], 0) == 1)
        source, target = self.file[name], self.file[f"{name}_quantiles"]
        for rows in slabs(len(finished), *source.shape[-2:]):
            values = np.ma.filled(source[(slice(None), *at, rows)], np.nan)[finished]
            target[(slice(None), *at, rows)] = np.quantile(values.astype(np.float64), self.content.quantiles, axis=0)

    def discard(self) -> None:
        with suppress(RuntimeError):  # on a full disk closing fails too, and hides what happened first
            self.file.close()
        partial_name(self.path).unlink(missing_ok=True)


def describe(file: netCDF4.Dataset, statistics: Statistics, attributes: Attributes) -> None:
    """Global attributes and grid."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    file.setncattr("title", f"Ensemble of {', '.join(statistics.long_names)}, drawn from a diffusion model")
    file.setncattr("history", f"{now}: drawn by parampi")
    for name, value in attributes.items():
        file.setncattr(name, attribute(value))
    file.setncatts({"Conventions": CONVENTIONS, "parampi_complete": np.int32(0)})
    write_axis(file, "y", statistics.y, statistics.y_units)
    write_axis(file, "x", statistics.x, statistics.x_units)


def attribute(value: str | float) -> str | float | np.int32:
    """A number or string as NetCDF can hold it: truth as 0 and 1, integers beyond 64 bits as text."""
    if isinstance(value, bool):
        return np.int32(value)
    return str(value) if isinstance(value, int) and abs(value) > LARGEST_INT64 else value


def places(numbers: list[int], cases: Cases | None) -> tuple[dict[int, tuple[int, ...]], list[int]]:
    """Where each member stands on the axes (member,) or (member, time), and the realizations along the first."""
    if cases is None:
        return {number: (row,) for row, number in enumerate(numbers)}, numbers
    realizations = list(dict.fromkeys(number % PER_CASE for number in numbers))
    columns = {case: column for column, case in enumerate(cases.indices)}
    rows = {realization: row for row, realization in enumerate(realizations)}
    return {n: (rows[n % PER_CASE], columns[n // PER_CASE]) for n in numbers}, realizations


def create_facts(file: netCDF4.Dataset, members: list[int], seed: int, cases: Cases | None) -> None:
    """What is known per member. Integers have no fill value, which would make readers turn them into floats."""
    file.createDimension("member", len(members))
    if cases is not None:
        if cases.name in file.variables or cases.name in file.dimensions:
            raise OutputError(f"the axis of cases cannot be named {cases.name!r}, which ensemble files use; rename it")
        file.createDimension(cases.name, len(cases.values))
        axis = file.createVariable(cases.name, "f8", (cases.name,))
        axis.setncatts(cases.attributes)
        axis[:] = cases.values
    numbers = "i4" if max(members) <= LARGEST_INT32 else "i8"
    seeds = "i8" if seed <= LARGEST_INT64 else "u8"
    flags = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": "missing finished"}
    for name, kind, values, attributes in (
        ("realization", numbers, members, {"standard_name": "realization", "long_name": "number of the member", "units": "1"}),
        ("seed", seeds, seed, {"long_name": "seed of the ensemble's noise", "units": "1"}),
        ("rounds", "i8", 0, {"long_name": "dependent batched network evaluations", "units": "1"}),
        ("evaluations", "i8", 0, {"long_name": "network evaluations of single fields", "units": "1"}),
        ("residual", "f8", np.nan, {"long_name": "relative residual of the last sweep", "units": "1"}),
        ("complete", "i1", 0, {"long_name": "whether the member was finished", **flags}),
    ):
        axes = ("member",) if cases is None or name in ("realization", "seed") else ("member", cases.name)
        variable = file.createVariable(name, kind, axes, fill_value=np.nan if kind == "f8" else None)
        variable.setncatts(attributes)
        variable[:] = np.broadcast_to(np.array(values, kind), variable.shape)


def create_fields(file: netCDF4.Dataset, statistics: Statistics, cases: Cases | None, content: Content) -> None:
    """One variable per channel; a chunk is a member, so that writing one touches no other."""
    for name, units, long_name in zip(statistics.names, statistics.units, statistics.long_names, strict=True):
        if name in file.variables or name in file.dimensions:
            raise OutputError(f"a channel cannot be named {name!r}, which ensemble files use; rename it in the statistics")
        if not content.members or name not in content.chosen(statistics.names):
            continue
        axes = ("member", "y", "x") if cases is None else ("member", cases.name, "y", "x")
        chunks = (*[1] * (len(axes) - 2), *statistics.grid)
        variable = file.createVariable(name, "f4", axes, fill_value=np.nan, chunksizes=chunks, **packed(content))
        variable.setncatts({"long_name": long_name, "units": units, "coordinates": "realization"})
        variable.setncattr("ancillary_variables", "seed rounds evaluations residual complete")


def packed(content: Content) -> dict[str, Any]:
    return {"compression": "zlib", "complevel": content.compression, "shuffle": True} if content.compression else {}


def create_summary(file: netCDF4.Dataset, statistics: Statistics, cases: Cases | None, content: Content) -> None:
    """A variable (time, y, x) per channel and statistic, quantiles with an axis of their own in front."""
    if "quantiles" in content.summary:
        file.createDimension("quantile", len(content.quantiles))
        axis = file.createVariable("quantile", "f8", ("quantile",))
        axis.setncatts({"long_name": "share of the members below", "units": "1"})
        axis[:] = content.quantiles
    grid = ("y", "x") if cases is None else (cases.name, "y", "x")
    for name, units, long_name in zip(statistics.names, statistics.units, statistics.long_names, strict=True):
        for kind in content.summary if name in content.chosen(statistics.names) else ():
            axes = ("quantile", *grid) if kind == "quantiles" else grid
            variable = file.createVariable(f"{name}_{kind}", "f4", axes, fill_value=np.nan, **packed(content))
            told = {"long_name": f"{kind.replace('_', ' ')} of {long_name} over members", "units": units}
            variable.setncatts(told | ({"cell_methods": f"realization: {METHODS[kind]}"} if kind in METHODS else {}))


@contextmanager
def open_ensemble(path: str | Path) -> Iterator[netCDF4.Dataset]:
    """An ensemble file open for reading. Raises DataError for any other."""
    with reading(path) as file:
        require(file, path, ["realization", "complete"], "an ensemble of members")
        yield file


def read_members(path: str | Path, names: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
    """Finished members (M, C, H, W) of an ensemble file, channels in the order of `names`, and their realizations; where there
    are cases, those of all of them, member by member.

    Raises DataError naming variables that are missing, and where no member is finished.
    """
    with reading(path) as file:
        require(file, path, [*names, "realization", "complete"], "an ensemble of " + ", ".join(names))
        rows = np.nonzero(np.ma.filled(file["complete"][:], 0) == 1)
        if len(rows[0]) == 0:
            raise DataError(f"{path} holds no finished member")
        fields = np.stack([np.ma.filled(file[name][:], np.nan)[rows] for name in names], axis=1)
        return fields, [int(member) for member in file["realization"][:][rows[0]]]
