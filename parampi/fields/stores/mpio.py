"""An ensemble in one file that several ranks write at once, where the installed h5py can: mode `mpio`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.atomic_files import partial_name, writing
from parampi.fields.stores.base import BaseStore, MemberFacts
from parampi.fields.stores.content import Content
from parampi.fields.stores.netcdf import put
from parampi.fields.stores.schema import EnsembleSchema
from parampi.fields.stores.summary import Summary

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Floats = NDArray[np.floating[Any]]
WHEEL = (
    "output.mode = mpio needs h5py with parallel HDF5, which the installed one lacks (wheels never have it): build h5py "
    "against the cluster's parallel HDF5 (HDF5_MPI=ON CC=mpicc pip install --no-binary h5py h5py), or use output.mode = virtual"
)


def require_parallel(content: Content, comm: "Comm | None") -> None:
    """Raise OutputError where the installed library cannot write in parallel, or not what is asked for."""
    import h5py

    if not h5py.get_config().mpi:
        raise OutputError(WHEEL)
    if comm is None:
        raise OutputError("output.mode = mpio is for several ranks, and this is one process; use output.mode = gather")
    if content.compression or content.digits:
        raise OutputError(
            f"output.compression = {content.compression}: members of a file that several ranks write come one by one, which "
            f"parallel HDF5 cannot compress; use output.mode = virtual, or compress later (parampi merge --compression)"
        )


def create(path: str | Path, outline: EnsembleSchema) -> None:
    """The file without members' values, by one rank before all others open it."""
    with writing(path), netCDF4.Dataset(partial_name(path), "w") as file:
        outline.write(file)


class ParallelStore(BaseStore):
    """One rank's hand in a file that all ranks of `comm` write; opened and closed by all of them together, after `create`.
    The file keeps its partial name until `complete` is done with it."""

    def __init__(self, path: str | Path, outline: EnsembleSchema, comm: "Comm"):
        import h5py

        super().__init__(
            outline.places.numbers, outline.statistics.shape, len(outline.places.leads.values) if outline.places.leads else 1
        )
        self.path, self.outline = Path(path), outline
        self.summary = Summary(outline.content, outline.variable_slots, outline.statistics.mean_of(outline.chosen))
        with writing(path):
            self.file = h5py.File(partial_name(path), "r+", driver="mpio", comm=comm)

    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None:
        place = self.outline.places.of(member, lead)
        with writing(self.path):
            put(self.file, self.outline, place, fields, facts)
            self.summary.add((member, lead), place[1:], self.outline.select(fields))

    def finish(self, complete: bool) -> None:
        with writing(self.path):
            self.file.close()

    def discard(self) -> None:
        self.file.close()


def complete(path: str | Path, outline: EnsembleSchema, summary: Summary) -> tuple[int, bool]:
    """By one rank, after all have closed: statistics over members; how many fields are there, and whether that is all."""
    with writing(path), netCDF4.Dataset(partial_name(path), "a") as file:
        finished = int((file["complete"][:] == 1).sum())
        whole = finished == outline.places.expected
        summary.write(file)
        file.setncattr("parampi_complete", np.int32(whole))
    return finished, whole
