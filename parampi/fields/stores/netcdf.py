"""An ensemble in one NetCDF-4 file that one process writes: the store `gather`."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.fields.atomic_files import check_target, new_partial, partial_name, put_in_place, writing
from parampi.fields.stores.base import BaseStore, MemberFacts, StoreTarget, register
from parampi.fields.stores.member_order import members_first
from parampi.fields.stores.schema import EnsembleSchema

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Floats = NDArray[np.floating[Any]]


@register("gather")
class NetCDFStore(BaseStore):
    """An ensemble in one NetCDF-4 file, see `EnsembleSchema`.

    With cases members have numbers `case * PER_CASE + realization`, and variables are (member, time, y, x), the axis of cases
    being named as in the files they come from. The file grows under a name of its own (see `partial_name`) and gets this one
    when it is closed; the global attribute `parampi_complete` is 0 if members are missing.

    summarised  whether the statistics over members are written at the end; otherwise `summary` has what they are made of

    Raises OutputError for a file that exists (unless `overwrite`) or cannot be written.
    """

    schema_file = True

    def __init__(self, path: str | Path, schema: EnsembleSchema, *, overwrite: bool = False, summarised: bool = True):
        super().__init__(schema)
        self.path, self.overwrite, self.summarised = Path(path), overwrite, summarised
        check_target(path, overwrite)
        with writing(path):
            self.file = netCDF4.Dataset(new_partial(path), "w")
            try:
                schema.write(self.file)
            except BaseException:
                self.discard()
                raise

    @classmethod
    def open(cls, target: StoreTarget, rank: int, comm: "Comm | None") -> Self:
        """Return the store of the whole ensemble."""
        return cls(target.path, target.schema, overwrite=target.overwrite)

    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None:
        """Write a member and bring it to disk."""
        with writing(self.path):
            put_member(self.file, self.schema, self.schema.axes.index(member, lead), fields, facts)
            self.file.sync()

    def finish(self, complete: bool) -> None:
        """Write the statistics over members, and give the file its name."""
        with writing(self.path):
            if self.summarised:
                self.summary.write(members_first(self.file))
            self.file.setncattr("parampi_complete", np.int32(complete))
            self.file.close()
            put_in_place(self.path, self.overwrite)

    def remove(self) -> None:
        """Remove the unfinished file."""
        with suppress(RuntimeError):  # on a full disk closing fails too, and hides what happened first
            self.file.close()
        partial_name(self.path).unlink(missing_ok=True)


def put_member(file: Any, schema: EnsembleSchema, index: tuple[int, ...], fields: Floats, facts: MemberFacts) -> None:
    """Write a member's fields and facts, at an index (member, [case], [lead time]), into a file of netCDF4 or h5py."""
    place = schema.axes.arranged(index)
    if schema.content.members:
        put_fields(file, schema, index, fields)
    for name, value in vars(facts).items():
        file[name][place if name != "seed" else index[:1]] = value
    file["complete"][place] = 1


def put_fields(file: Any, schema: EnsembleSchema, index: tuple[int, ...], fields: Floats) -> None:
    """Write those of a member's fields (C, H, W) that are written."""
    place = schema.axes.arranged(index)
    for (name, level), field in zip(schema.variable_slots, schema.select(fields), strict=True):
        file[name][(*place, *level)] = field.reshape(schema.statistics.sizes)
