"""An ensemble in a Zarr store that several ranks write at once, without locks: the store `zarr`.

A chunk is one field of one member, and a file of its own, so that no two ranks write the same one. What is known of members is
written by rank 0 at the end, of what each rank leaves in a file for it. Until then the folder has another name, and says that
no member is finished.
"""

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from parampi.errors import OutputError
from parampi.fields.atomic_files import PATIENCE, await_file, partial_name, synchronise, write_whole, writing
from parampi.fields.atomic_folders import abandon_folder, begin_folder, put_folder_in_place
from parampi.fields.ensemble_folders import COMPLETE, ENDING, METADATA
from parampi.fields.stores.base import BaseStore, MemberFacts, StoreTarget, register
from parampi.fields.stores.content import Content
from parampi.fields.stores.member_order import members_first
from parampi.fields.stores.netcdf import put_fields
from parampi.fields.stores.rounding import rounded
from parampi.fields.stores.schema import EnsembleSchema
from parampi.fields.stores.summary import Summary
from parampi.fields.stores.zarr_file import ZarrFile, library

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Floats = NDArray[np.floating[Any]]
Index = tuple[int, ...]


@register("zarr")
class ZarrStore(BaseStore):
    """One rank's hand in a Zarr store. Members' fields are written as they come, facts with the end."""

    writers, schema_file, ending = "groups", True, ENDING

    def __init__(self, path: str | Path, schema: EnsembleSchema, rank: int):
        super().__init__(schema)
        self.path, self.rank = Path(path), rank
        self.facts: dict[Index, MemberFacts] = {}
        await_file(partial_name(path) / METADATA)
        with writing(path):
            self.folder = os.stat(partial_name(path)).st_ino
            self.file = ZarrFile(partial_name(path), "r+")

    @classmethod
    def check(cls, content: Content, comm: "Comm | None") -> None:
        """Raise OutputError where the library is not installed."""
        library()

    @classmethod
    def announce(cls, groups: int) -> str:
        """Return who writes it."""
        return f", a Zarr store written by {'all groups of ranks' if groups > 1 else 'one rank'}"

    @classmethod
    def prepare(cls, target: StoreTarget) -> None:
        """Make the store, without members' values."""
        super().prepare(target)
        partial = begin_folder(target.path)
        try:
            with writing(target.path), ZarrFile(partial, "w-") as file:
                target.schema.write(file)
        except BaseException:
            abandon_folder(target.path)
            raise

    @classmethod
    def open(cls, target: StoreTarget, rank: int, comm: "Comm | None") -> Self:
        """Return this rank's hand in the store."""
        return cls(target.path, target.schema, rank)

    @classmethod
    def join(cls, target: StoreTarget, ranks: Sequence[int], summary: Summary) -> None:
        """Write the facts of all ranks' members and the statistics over members, and give the store its name."""
        path, schema = target.path, target.schema
        files = [facts_name(path, rank) for rank in ranks]
        facts = {index: one for file in files for index, one in read_facts(file).items()}
        with writing(path), ZarrFile(partial_name(path), "r+") as file:
            if schema.content.members:
                await_chunks(file, schema, facts)
            put_facts(members_first(file), facts)
            summary.write(members_first(file))
            file.setncattr(COMPLETE, int(len(facts) == schema.axes.expected))
        with writing(path):
            for place in files:
                place.unlink()
            put_folder_in_place(path, target.overwrite)
        super().join(target, ranks, summary)

    @classmethod
    def abandon(cls, target: StoreTarget) -> None:
        """Remove the store that `prepare` made."""
        abandon_folder(target.path)
        super().abandon(target)

    def put(self, member: int, lead: int, fields: Floats, facts: MemberFacts) -> None:
        """Write a member's fields and bring them to disk."""
        index = self.schema.axes.index(member, lead)
        with writing(self.path):
            if os.stat(partial_name(self.path)).st_ino != self.folder:
                raise OutputError(f"{self.path} is now written by another run, which took this one for dead; start it alone")
            if self.schema.content.members:
                put_fields(self.file, self.schema, index, rounded(fields, self.schema.content.digits))
                for chunk in chunk_files(self.file, self.schema, index):
                    synchronise(chunk)
        self.facts[index] = facts

    def finish(self, complete: bool) -> None:
        """Leave the facts for rank 0."""
        if self.facts:
            rows = [[list(index), vars(one)] for index, one in self.facts.items()]
            write_whole(facts_name(self.path, self.rank), json.dumps(rows).encode())

    def remove(self) -> None:
        """Do nothing: `abandon` removes what was written."""


def facts_name(path: Path, rank: int) -> Path:
    """Return the file in which a rank leaves what is known of its members; beside the variables it would be taken for one."""
    return partial_name(path) / "complete" / f"parampi-facts-{rank:05d}.json"


def read_facts(path: Path) -> dict[Index, MemberFacts]:
    """Return the facts that a rank left, by the indices (member, [case], [lead time]) of fields."""
    await_file(path)
    with writing(path):
        return {tuple(index): MemberFacts(**facts) for index, facts in json.loads(path.read_bytes())}


def put_facts(file: Any, facts: dict[Index, MemberFacts]) -> None:
    """Write facts into a file that shows members first; each variable once, as it is one chunk."""
    for name in ("seed", "rounds", "evaluations", "residual", "bistable", "complete"):
        values = file[name][:]
        for index, one in facts.items():
            values[index[: values.ndim]] = 1 if name == "complete" else getattr(one, name)
        file[name][:] = values


def chunk_files(file: ZarrFile, schema: EnsembleSchema, index: Index) -> Iterable[Path]:
    """Return the files of a field's chunks, one for each variable and level."""
    place = schema.axes.arranged(index)
    return [file[name].chunk((*place, *level)) for name, level in schema.variable_slots]


def await_chunks(file: ZarrFile, schema: EnsembleSchema, indices: Iterable[Index], seconds: float = PATIENCE) -> None:
    """Wait until the chunks that other nodes wrote are visible. Raise OutputError after `seconds`: without them fields would
    read as missing values, and no reader would say so."""
    needed = {chunk for index in indices for chunk in chunk_files(file, schema, index)}
    until = time.monotonic() + seconds
    while missing := needed - {folder / name for folder in {chunk.parent for chunk in needed} for name in os.listdir(folder)}:
        if time.monotonic() > until:
            raise OutputError(
                f"{min(missing)} was written by another rank but cannot be seen by this one; all ranks must share a file system"
            )
        time.sleep(0.1)
