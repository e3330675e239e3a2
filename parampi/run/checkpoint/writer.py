"""Rounds of a group in a checkpoint: write one, and read one of its members."""

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from parampi.engine import Engine
from parampi.engine.snapshot import MemberSnapshot
from parampi.errors import DataError, OutputError
from parampi.fields.atomic_files import write_whole, writing
from parampi.run.checkpoint.folder import REMEDY, Folder, SnapshotLocation
from parampi.run.checkpoint.ownership import remove_round
from parampi.run.checkpoint.records import write_record

KEPT = 2
"""Rounds that a group keeps."""
FIELD, BEGIN, NUMBER = "field.", "begin.", "number."
"""Beginnings of names in a rank's file: fields at points, the points of their first rows, numbers of members."""


def read_snapshot(location: SnapshotLocation) -> MemberSnapshot:
    """Return a member as it was kept; fields are read when they are asked for."""
    folder, column, ranks = Path(location[0]), int(location[1]), int(location[2])
    parts = [RankFile.of(folder / f"rank-{rank}.safetensors", column) for rank in range(ranks)]

    def rows(name: str, start: int, stop: int) -> Tensor:
        pieces = [piece for piece in (part.rows(name, start, stop) for part in parts) if piece is not None]
        if not pieces:
            raise DataError(f"{folder} lacks {name} of points {start} to {stop - 1}; {REMEDY}")
        like = pieces[0][1]
        total = torch.zeros((stop - start, *like.shape[1:]), dtype=like.dtype)
        for begin, values in pieces:
            total[begin - start : begin - start + len(values)] = values
        return total

    return MemberSnapshot(parts[0].numbers(), frozenset(name for part in parts for name in part.begins), rows)


@dataclass(frozen=True)
class RankFile:
    """One rank's file of a round, and in it one member: its points of the first rows of fields, by name."""

    path: Path
    column: int
    begins: dict[str, int]

    @classmethod
    def of(cls, path: Path, column: int) -> "RankFile":
        with safe_open(path, "pt") as file:
            names = [name.removeprefix(BEGIN) for name in file.keys() if name.startswith(BEGIN)]  # noqa: SIM118 (no mapping)
            return cls(path, column, {name: int(file.get_tensor(f"{BEGIN}{name}")[column]) for name in names})

    def numbers(self) -> dict[str, Tensor]:
        """Return the member's numbers, by name."""
        with safe_open(self.path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(NUMBER)]  # noqa: SIM118 (no mapping)
            columns = {name: file.get_slice(name)[self.column : self.column + 1] for name in names}
            return {name.removeprefix(NUMBER): values[0] for name, values in columns.items()}

    def rows(self, name: str, start: int, stop: int) -> tuple[int, Tensor] | None:
        """Return, of points start ... stop - 1, the first that this file has of a field, and its rows; None where there is
        none. An empty range gives no rows, of the field's shape."""
        if name not in self.begins:
            return None
        begin = self.begins[name]
        with safe_open(self.path, "pt") as file:
            kept = file.get_slice(f"{FIELD}{name}")
            low, high = max(start, begin), min(stop, begin + kept.get_shape()[0])
            if start == stop:
                return start, kept[0:1, self.column : self.column + 1][:0, 0]
            if low >= high:
                return None
            return low, kept[low - begin : high - begin, self.column : self.column + 1][:, 0]


@dataclass
class CheckpointWriter:
    """Writer of one group's rounds. `keep` is collective over the group.

    every  least seconds from one checkpoint to the next; it is longer where writing would take more than `share` of the time
    lead   which of the lead times of a roll-out is drawn
    """

    folder: Folder
    every: float
    share: float = 0.05
    lead: int = 0
    last: float = field(default_factory=time.monotonic)
    cost: float = 0.0
    kept: list[Path] = field(default_factory=list)
    trouble: str = ""

    def due(self) -> bool:
        return time.monotonic() - self.last >= max(self.every, self.cost / self.share)

    def keep(self, engine: Engine) -> bool:
        """Write a round; returns, on the rank that drives, whether that went well. A full disk costs the checkpoint, not the
        run."""
        begin, group = time.monotonic(), engine.group
        members = engine.problem.members.tolist()
        stamp = group.broadcast(np.array([time.time_ns()], np.int64))[0]
        path = self.folder.rounds / f"{stamp:020d}-{members[0]}"
        hashes = np.zeros((group.size, 33), np.int64)
        try:
            with writing(path):
                path.mkdir(parents=True, exist_ok=True)
            data = save(contents(engine))
            write_whole(path / f"rank-{group.rank}.safetensors", data)
            hashes[group.rank, :32] = list(hashlib.sha256(data).digest())
        except OutputError as error:
            hashes[group.rank, 32], self.trouble = 1, str(error)
        hashes = group.sum_to_root(hashes)
        good = group.rank == 0 and not hashes[:, 32].any() and self.seal(path, members, engine, hashes)
        if group.rank == 0 and not good:
            remove_round(path)
        self.last = time.monotonic()
        self.cost = self.last - begin
        return good

    def seal(self, path: Path, members: list[int], engine: Engine, hashes: np.ndarray) -> bool:
        """Say that a round is whole, and remove the oldest; returns whether that went well."""
        digests = [bytes(row[:32].astype(np.uint8)).hex() for row in hashes]
        rounds = engine.history.rounds.tolist()
        done = {"members": members, "lead": self.lead, "rounds": rounds, "ranks": len(digests), "sha256_of_ranks": digests}
        if engine.problem.leads is not None:
            done["leads"] = (engine.first // engine.problem.equations.steps).tolist()
        try:
            write_record(path / "done.json", done)
        except OutputError as error:
            self.trouble = str(error)
            return False
        self.kept.append(path)
        while len(self.kept) > KEPT:
            remove_round(self.kept.pop(0))
        return True


def contents(engine: Engine) -> dict[str, Tensor]:
    """Return what this rank writes of a round, on the CPU: its fields, and on the rank that drives the members' numbers."""
    state, data = engine.state(), dict[str, Tensor]()
    for name, kept in state.fields.items():
        if kept.rows.numel():
            data[f"{FIELD}{name}"] = kept.rows.detach().cpu().contiguous()
            data[f"{BEGIN}{name}"] = torch.tensor(kept.begin)
    if engine.group.rank == 0:
        data |= {f"{NUMBER}{name}": values.detach().cpu().contiguous() for name, values in state.numbers.items()}
    return data
