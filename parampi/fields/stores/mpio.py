"""An ensemble in one file that several ranks write at once, where the installed h5py can: the store `mpio`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.atomic_files import new_partial, partial_name, put_in_place, writing
from parampi.fields.stores.base import BaseStore, MemberFacts, StoreTarget, register
from parampi.fields.stores.content import Content
from parampi.fields.stores.member_order import members_first
from parampi.fields.stores.netcdf import put_member
from parampi.fields.stores.schema import EnsembleSchema
from parampi.fields.stores.summary import Summary

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Floats = NDArray[np.floating[Any]]
NO_PARALLEL_HDF5 = (
    "output.mode = mpio needs h5py with parallel HDF5, which the installed one lacks (wheels never have it): build h5py "
    "against the cluster's parallel HDF5 (HDF5_MPI=ON CC=mpicc pip install --no-binary h5py h5py), or use output.mode = virtual"
)


@register("mpio")
class MPIOStore(BaseStore):
    """One rank's part in a file that all ranks of `comm` write; they open and close it at once. The file keeps its partial name
    until `join`."""

    writers, collective, checksums, schema_file = "groups", True, False, True

    def __init__(self, path: str | Path, schema: EnsembleSchema, comm: "Comm"):
        import h5py

        super().__init__(schema)
        self.path = Path(path)
        with writing(path):
            self.file = h5py.File(partial_name(path), "r+", driver="mpio", comm=comm)

    @classmethod
    def check(cls, content: Content, comm: "Comm | None") -> None:
        """Raise OutputError where the installed library cannot write in parallel, or would have to compress."""
        import h5py

        if not h5py.get_config().mpi:
            raise OutputError(NO_PARALLEL_HDF5)
        if comm is None:
            raise OutputError("output.mode = mpio is for several ranks, and this is one process; use output.mode = gather")
        if content.compression or content.digits:
            raise OutputError(
                f"output.compression = {content.compression}: members of a file that several ranks write come one by one, "
                f"which parallel HDF5 cannot compress; use output.mode = virtual, or compress later (parampi merge "
                f"--compression)"
            )

    @classmethod
    def announce(cls, groups: int) -> str:
        """Return who writes the file."""
        return ", written by all groups of ranks"

    @classmethod
    def prepare(cls, target: StoreTarget) -> None:
        """Make the file, without members' values."""
        super().prepare(target)
        with writing(target.path), netCDF4.Dataset(new_partial(target.path), "w") as file:
            target.schema.write(file)

    @classmethod
    def open(cls, target: StoreTarget, rank: int, comm: "Comm | None") -> Self:
        """Return this rank's hand in the file."""
        assert comm is not None
        return cls(target.path, target.schema, comm)

    @classmethod
    def join(cls, target: StoreTarget, ranks: Sequence[int], summary: Summary) -> None:
        """Write the statistics over members, mark a complete ensemble, and give the file its name."""
        with writing(target.path), netCDF4.Dataset(partial_name(target.path), "a") as file:
            finished = int((file["complete"][:] == 1).sum())
            summary.write(members_first(file))
            file.setncattr("parampi_complete", np.int32(finished == target.schema.axes.expected))
        put_in_place(target.path, target.overwrite)
        super().join(target, ranks, summary)

    @classmethod
    def abandon(cls, target: StoreTarget) -> None:
        """Remove the file that `prepare` made."""
        partial_name(target.path).unlink(missing_ok=True)
        super().abandon(target)

    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None:
        """Write a member."""
        with writing(self.path):
            put_member(self.file, self.schema, self.schema.axes.index(member, lead), fields, facts)

    def finish(self, complete: bool) -> None:
        """Close the file, at once with all other writers."""
        with writing(self.path):
            self.file.close()

    def remove(self) -> None:
        """Close the file; `abandon` removes it."""
        self.file.close()
