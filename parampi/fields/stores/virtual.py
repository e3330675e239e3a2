"""An ensemble in several files, one for each rank that writes, and a joint file that shows them as one: mode `virtual`.

The joint file is an ordinary NetCDF-4 file with HDF5's virtual datasets (HDF5 1.10 and later read them) in the place of the
channels' variables. It names its parts relative to its own folder, so that both can be moved together.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from parampi.fields.atomic_files import await_file, partial_name, put_in_place, writing
from parampi.fields.stores.schema import EnsembleSchema, parts_folder
from parampi.fields.stores.summary import Summary

FACTS = ("rounds", "evaluations", "residual", "complete")
Box = tuple[slice, ...]


def part_name(path: str | Path, ensemble: str, writer: int) -> Path:
    """The file of one writer; `ensemble` tells the parts of one run from those of another."""
    return parts_folder(path) / f"{ensemble[:8]}-{writer:05d}.nc"


def join(path: str | Path, outline: EnsembleSchema, parts: Sequence[Path], summary: Summary, overwrite: bool = False) -> bool:
    """Write the joint file of parts. Whether no member is missing.

    Raises OutputError, for a part that cannot be seen too. What an earlier ensemble of this name left in the folder of parts is
    removed.
    """
    path = Path(path)
    for part in parts:
        await_file(part)
    with writing(path):
        with netCDF4.Dataset(partial_name(path), "w") as file:
            outline.write(file, fields=False)
            found = [copy_facts(file, part, outline) for part in parts]
            finished = int((file["complete"][:] == 1).sum())
            complete = finished == outline.places.expected
            file.setncattr("parampi_complete", np.int32(complete))
        if outline.content.members:
            add_fields(partial_name(path), path.parent, outline, found)
        with netCDF4.Dataset(partial_name(path), "a") as file:
            summary.write(file)
        put_in_place(path, overwrite)
        remove_stale_parts(path, parts)
    return complete


@dataclass(frozen=True)
class Part:
    """A file of one writer: how many members it has room for, and boxes of finished ones, in it and in the joint file."""

    path: Path
    members: int
    boxes: list[tuple[Box, Box]]


def copy_facts(file: netCDF4.Dataset, path: Path, outline: EnsembleSchema) -> Part:
    """Into the joint file what a part knows of its finished members."""
    rows = {realization: row for row, realization in enumerate(outline.places.realizations)}
    with netCDF4.Dataset(path) as source:
        source.set_auto_mask(False)
        file.set_auto_mask(False)
        here = np.array([rows[int(realization)] for realization in source["realization"][:]])
        finished = source["complete"][:] == 1
        for name in FACTS:
            values = file[name][:]
            values[here] = np.where(finished, source[name][:], values[here])
            file[name][:] = values
    return Part(path, len(here), placed(finished, here))


def placed(finished: NDArray[np.bool_], rows: NDArray[np.intp]) -> list[tuple[Box, Box]]:
    """Boxes of finished members in a part whose rows are `rows` of the joint file."""
    found = []
    for start, stop in runs(np.diff(rows) == 1):
        for first, *others in boxes(finished[start:stop]):
            here = slice(start + first.start, start + first.stop)
            there = slice(int(rows[here.start]), int(rows[here.stop - 1]) + 1)
            found.append(((here, *others), (there, *others)))
    return found


def runs(joined: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Stretches of items, of which `joined` (n - 1,) tells whether one belongs to the next."""
    edges = [0, *(np.flatnonzero(~joined) + 1).tolist(), len(joined) + 1]
    yield from pairwise(edges)


def boxes(mask: NDArray[np.bool_]) -> Iterator[Box]:
    """Disjoint boxes that cover what is true, few where neighbours are alike."""
    last = mask.reshape(-1, mask.shape[-1])
    for start, stop in runs((last[:, 1:] == last[:, :-1]).all(0)):
        if mask.ndim > 1:
            yield from ((*box, slice(start, stop)) for box in boxes(mask[..., start]))
        elif mask[start]:
            yield (slice(start, stop),)


def add_fields(target: Path, folder: Path, outline: EnsembleSchema, parts: Sequence[Part]) -> None:
    """Virtual variables of all chosen channels, which read as NaN where no part has a member."""
    import h5py  # here alone: the start of thousands of ranks need not load it

    with h5py.File(target, "r+") as file:
        for group in outline.groups:
            name, shape = group.variable, outline.shape(group)
            layout = h5py.VirtualLayout(shape, np.float32)
            for part in parts:
                source = h5py.VirtualSource(
                    str(part.path.relative_to(folder)), name, (part.members, *shape[1:]), np.float32
                )  # fmt: skip
                for here, there in part.boxes:
                    layout[there] = source[here]
            variable = file.create_virtual_dataset(name, layout, fillvalue=np.float32(np.nan))
            for axis, scale in enumerate(outline.axes(group)):
                variable.dims[axis].attach_scale(file[scale])
            variable.attrs["_FillValue"] = np.array([np.nan], np.float32)
            if outline.content.digits:
                variable.attrs["_QuantizeGranularBitRoundNumberOfSignificantDigits"] = np.array(
                    [outline.content.digits], np.int32
                )
            for key, value in outline.field_attributes(group).items():
                variable.attrs[key] = text(value)


def text(value: str) -> Any:
    """As the NetCDF library writes it: characters, not a string object."""
    import h5py

    data = value.encode()
    return np.bytes_(data) if value.isascii() else np.array(data, h5py.string_dtype("utf-8", len(data)))


def remove_stale_parts(path: Path, parts: Sequence[Path]) -> None:
    """Remove parts that the joint file does not name, and what a killed job left of its own."""
    folder, name = parts_folder(path), f"{'?' * 8}-{'[0-9]' * 5}.nc"
    for other in folder.glob(f".{name}.partial") if folder.is_dir() else ():
        other.unlink(missing_ok=True)
    for other in folder.glob(name) if folder.is_dir() else ():
        if other not in parts:
            other.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


@contextmanager
def sources(path: str | Path, name: str) -> Iterator[list[Any]]:
    """The virtual sources of a variable: none for one with data of its own."""
    import h5py

    with h5py.File(path) as file:
        variable = file[name]
        yield variable.virtual_sources() if variable.is_virtual else []
