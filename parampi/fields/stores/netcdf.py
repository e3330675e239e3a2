"""An ensemble in one NetCDF-4 file that one process writes: the store of the mode `gather`, and of a part in mode `virtual`."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.fields.atomic_files import check_target, partial_name, put_in_place, writing
from parampi.fields.ensemble_axes import Cases, EnsembleAxes, Leads
from parampi.fields.inputs.grids import GridMetadata
from parampi.fields.statistics import DatasetStatistics
from parampi.fields.stores.base import BaseStore, MemberFacts
from parampi.fields.stores.content import Content
from parampi.fields.stores.schema import Attributes, EnsembleSchema
from parampi.fields.stores.summary import Summary

Floats = NDArray[np.floating[Any]]


class NetCDFStore(BaseStore):
    """An ensemble in one NetCDF-4 file, see `EnsembleSchema`.

    With `cases` members have numbers `case * PER_CASE + realization`, and variables are (member, time, y, x), the axis of cases
    being named as in the files they come from. The file grows as .NAME.partial and gets its name when it is closed; the global
    attribute `parampi_complete` is 0 if members are missing. `attributes` become global ones too. `summarised`: whether the
    statistics over members are written at the end; otherwise `summary` has what they are made of.

    Raises OutputError for a file that exists (unless `overwrite`) or cannot be written.
    """

    def __init__(
        self, path: str | Path, statistics: DatasetStatistics, members: Sequence[int], seed: int, attributes: Attributes |
        None = None,
        overwrite: bool = False, cases: Cases | None = None, content: Content | None = None, leads: Leads | None = None,
        summarised: bool = True, cells: GridMetadata | None = None,
    ):  # fmt: skip
        super().__init__(members, statistics.shape, len(leads.values) if leads else 1)
        places = EnsembleAxes(list(self.rows), cases, leads)
        outline = EnsembleSchema(statistics, places, seed, attributes or {}, content or Content(), cells or GridMetadata())
        self.path, self.outline, self.overwrite, self.summarised = Path(path), outline, overwrite, summarised
        self.summary = Summary(outline.content, outline.variable_slots, statistics.mean_of(outline.chosen))
        check_target(path, overwrite)
        with writing(path):
            self.file = netCDF4.Dataset(partial_name(path), "w")
            try:
                outline.write(self.file)
            except BaseException:
                self.discard()
                raise

    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None:
        place = self.outline.places.of(member, lead)
        with writing(self.path):
            put(self.file, self.outline, place, fields, facts)
            self.summary.add((member, lead), place[1:], self.outline.select(fields))
            self.file.sync()

    def finish(self, complete: bool) -> None:
        with writing(self.path):
            if self.summarised:
                self.summary.write(self.file)
            self.file.setncattr("parampi_complete", np.int32(complete))
            self.file.close()
            put_in_place(self.path, self.overwrite)

    def discard(self) -> None:
        with suppress(RuntimeError):  # on a full disk closing fails too, and hides what happened first
            self.file.close()
        partial_name(self.path).unlink(missing_ok=True)


def put(file: Any, outline: EnsembleSchema, place: tuple[int, ...], fields: Floats, facts: MemberFacts) -> None:
    """A member's fields and facts, into a file of either library."""
    for (name, level), field in (
        zip(outline.variable_slots, outline.select(fields), strict=True) if outline.content.members else ()
    ):
        file[name][(*place, *level)] = field
    for name, value in vars(facts).items():
        file[name][place if name != "seed" else place[:1]] = value
    file["complete"][place] = 1
