"""An ensemble in several files, one for each rank that writes, and a joint file that shows them as one: the store `virtual`.

The joint file is an ordinary NetCDF-4 file with HDF5's virtual datasets (HDF5 1.10 and later read them) in the place of the
channels' variables. It names its parts relative to its own folder, so that both can be moved at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.fields.atomic_files import await_file, new_partial, partial_name, put_in_place, writing
from parampi.fields.channels import LevelGroup
from parampi.fields.failures import intact
from parampi.fields.netcdf_files import reading
from parampi.fields.stores.base import StoreTarget, register
from parampi.fields.stores.member_order import members_first
from parampi.fields.stores.netcdf import NetCDFStore
from parampi.fields.stores.parts import PARTS, claim_parts, part_name
from parampi.fields.stores.schema import EnsembleSchema
from parampi.fields.stores.sources import literal, virtual_sources_of
from parampi.fields.stores.summary import Summary

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

JOINED_FACTS = ("rounds", "evaluations", "residual", "bistable", "complete")
"""Variables that the joint file copies from the parts."""
COMMENT = (
    "The fields of members are not in this file but in the parts that parampi_parts names. Without them they read as missing "
    "values. Copy them along, or make one plain file: parampi merge"
)
Box = tuple[slice, ...]


@register("virtual")
class VirtualStore(NetCDFStore):
    """One rank's part of an ensemble, in a file of its own; rank 0 joins the parts."""

    writers = "groups"

    @classmethod
    def announce(cls, groups: int) -> str:
        """Return how many parts there are."""
        return f" and the parts of {groups} rank{'s' * (groups != 1)} beside it"

    @classmethod
    def prepare(cls, target: StoreTarget) -> None:
        """Make the folder of parts, and say whose are written into it."""
        super().prepare(target)
        claim_parts(target.path, target.ensemble)

    @classmethod
    def open(cls, target: StoreTarget, rank: int, comm: "Comm | None") -> Self:
        """Return the store of a rank's part, beside those of other ensembles."""
        return cls(part_name(target.path, target.ensemble, rank), target.schema, summarised=False)

    @classmethod
    def join(cls, target: StoreTarget, ranks: Sequence[int], summary: Summary) -> None:
        """Write the joint file of the parts of `ranks`."""
        cls.join_parts(target, ranks, summary)
        super().join(target, ranks, summary)

    @classmethod
    def join_parts(cls, target: StoreTarget, ranks: Sequence[int], summary: Summary) -> list[Path]:
        """Write the joint file; return the parts."""
        parts = [part_name(target.path, target.ensemble, rank) for rank in ranks]
        join_parts(target.path, target.schema, parts, summary, overwrite=target.overwrite)
        return parts

    def close(self, complete: bool) -> None:
        """Finish the part; remove it where no member was finished."""
        if self.finished:
            super().close(complete)
        else:
            self.discard()


def join_parts(
    path: str | Path, schema: EnsembleSchema, parts: Sequence[Path], summary: Summary, *, overwrite: bool = False
) -> bool:
    """Write the joint file of parts. Return whether no member is missing.

    Raises OutputError, also where a part of another rank is not visible.
    """
    path = Path(path)
    for part in parts:
        await_file(part)
    with writing(path):
        with netCDF4.Dataset(new_partial(path), "w") as file:
            schema.write(file, fields=False)
            copied = [copy_facts(members_first(file), part, schema) for part in parts]
            finished = int((file["complete"][:] == 1).sum())
            complete = finished == schema.axes.expected
            file.setncattr("parampi_complete", np.int32(complete))
            file.setncattr(PARTS, " ".join(str(part.relative_to(path.parent)) for part in parts))
            file.setncattr("comment", COMMENT)
        if schema.content.members:
            add_fields(partial_name(path), path.parent, schema, copied)
        with netCDF4.Dataset(partial_name(path), "a") as file:
            summary.write(members_first(file))
        put_in_place(path, overwrite)
    return complete


@dataclass(frozen=True)
class Part:
    """A file of one writer: how many members it has room for, and boxes of finished ones, in it and in the joint file, members
    first."""

    path: Path
    members: int
    boxes: list[tuple[Box, Box]]


def copy_facts(file: Any, path: Path, schema: EnsembleSchema) -> Part:
    """Copy what a part knows of its finished members into the joint file, which shows members first."""
    joint_rows = {realization: row for row, realization in enumerate(schema.axes.realizations)}
    with reading(path) as part:
        source = members_first(part)
        source.set_auto_mask(False)
        file.set_auto_mask(False)
        rows = np.array([joint_rows[int(realization)] for realization in source["realization"][:]])
        finished = source["complete"][:] == 1
        for name in JOINED_FACTS:
            values = file[name][:]
            values[rows] = np.where(finished, source[name][:], values[rows])
            file[name][:] = values
    return Part(path, len(rows), paired_boxes(finished, rows))


def paired_boxes(finished: NDArray[np.bool_], rows: NDArray[np.intp]) -> list[tuple[Box, Box]]:
    """Return boxes of finished members in a part, each with its place in the joint file, whose rows are `rows`."""
    pairs = []
    for start, stop in runs(np.diff(rows) == 1):
        for first, *others in boxes(finished[start:stop]):
            part_rows = slice(start + first.start, start + first.stop)
            joint_rows = slice(int(rows[part_rows.start]), int(rows[part_rows.stop - 1]) + 1)
            pairs.append(((part_rows, *others), (joint_rows, *others)))
    return pairs


def runs(joined: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield stretches of n items; `joined` (n - 1,) tells whether an item and the next belong to one stretch."""
    edges = [0, *(np.flatnonzero(~joined) + 1).tolist(), len(joined) + 1]
    yield from pairwise(edges)


def boxes(mask: NDArray[np.bool_]) -> Iterator[Box]:
    """Yield disjoint boxes that cover what is true, few where neighbours are alike."""
    last = mask.reshape(-1, mask.shape[-1])
    for start, stop in runs((last[:, 1:] == last[:, :-1]).all(0)):
        if mask.ndim > 1:
            yield from ((*box, slice(start, stop)) for box in boxes(mask[..., start]))
        elif mask[start]:
            yield (slice(start, stop),)


def add_fields(target: Path, folder: Path, schema: EnsembleSchema, parts: Sequence[Part]) -> None:
    """Add virtual variables of all chosen channels, which read as NaN where no part has a member."""
    import h5py  # loaded only when parts are joined: the start of thousands of ranks need not load it

    with h5py.File(target, "r+") as file:
        for group in schema.groups:
            name, shape, arranged = group.variable, schema.variable_shape(group), schema.axes.arranged
            layout = h5py.VirtualLayout(shape, np.float32)
            beside = shape[len(schema.axes.shape) :]
            for part in parts:
                part_shape = arranged((part.members, *schema.axes.shape[1:], *beside))
                place = literal(str(part.path.relative_to(folder)))
                source = h5py.VirtualSource(place, literal(name), part_shape, np.float32)
                for part_box, joint_box in part.boxes:
                    layout[arranged(joint_box)] = source[arranged(part_box)]
            variable = file.create_virtual_dataset(name, layout, fillvalue=np.float32(np.nan))
            for axis, scale in enumerate(schema.variable_axes(group)):
                variable.dims[axis].attach_scale(file[scale])
            set_attributes(variable, schema, group)


def set_attributes(variable: Any, schema: EnsembleSchema, group: LevelGroup) -> None:
    """Give a virtual variable the attributes that the NetCDF library would."""
    variable.attrs["_FillValue"] = np.array([np.nan], np.float32)
    if schema.content.digits:
        digits = np.array([schema.content.digits], np.int32)
        variable.attrs["_QuantizeGranularBitRoundNumberOfSignificantDigits"] = digits
    for key, value in schema.field_attributes(group).items():
        variable.attrs[key] = text_attribute(value)


def text_attribute(value: str) -> Any:
    """Return a text as the NetCDF library writes it: characters, not a string object."""
    import h5py

    data = value.encode()
    return np.bytes_(data) if value.isascii() else np.array(data, h5py.string_dtype("utf-8", len(data)))


@contextmanager
def virtual_sources(path: str | Path, name: str) -> Iterator[list[Any]]:
    """Open a file and yield the virtual sources of a variable, by their real names: none where it has data of its own."""
    import h5py

    if not h5py.is_hdf5(path):
        yield []
        return
    with intact(path), h5py.File(path) as file:
        yield virtual_sources_of(file, name)
