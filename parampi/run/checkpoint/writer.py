"""Rounds of a group in a checkpoint: how they are kept, and how one of their members is read."""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from parampi.engine.snapshot import COUNTS, MemberSnapshot
from parampi.engine.windows import Engine
from parampi.errors import DataError, OutputError
from parampi.fields.atomic_files import writing
from parampi.run.checkpoint.folder import REMEDY, Folder, write_whole

KEPT = 2
"""Rounds that a group keeps."""


def read_snapshot(place: Sequence[Any]) -> MemberSnapshot:
    """A member as it was kept, its fields to be read when they are asked for."""
    folder, column, ranks = Path(place[0]), int(place[1]), int(place[2])
    parts = [folder / f"rank-{rank}.safetensors" for rank in range(ranks)]
    begins: list[dict[str, int]] = []
    for path in parts:
        with safe_open(path, "pt") as file:
            here = [name[6:] for name in file.keys() if name.startswith("begin.")]  # noqa: SIM118 (no mapping)
            begins.append({name: int(file.get_tensor(f"begin.{name}")[column]) for name in here})

    def rows(name: str, start: int, stop: int) -> Tensor:
        total: Tensor | None = None
        for path, begin in zip(parts, begins, strict=True):
            if name not in begin:
                continue
            with safe_open(path, "pt") as file:
                held = file.get_slice(name)
                low, high = max(start, begin[name]), min(stop, begin[name] + held.get_shape()[0])
                if low >= high:
                    continue
                piece = held[low - begin[name] : high - begin[name], column : column + 1][:, 0]
            if total is None:
                total = torch.zeros((stop - start, *piece.shape[1:]), dtype=piece.dtype)
            total[low - start : high - start] = piece
        if total is None:
            raise DataError(f"{folder} lacks {name} of points {start} to {stop - 1}; {REMEDY}")
        return total

    with safe_open(parts[0], "pt") as file:
        numbers = {name[7:]: file.get_tensor(name)[column] for name in file.keys() if name.startswith("number.")}  # noqa: SIM118
    rule = {name[5:]: value.numpy() for name, value in numbers.items() if name.startswith("rule.")}
    facts = {name: float(numbers[name]) for name in COUNTS}

    def latest() -> Tensor:
        with safe_open(parts[0], "pt") as file:
            kept: Tensor = file.get_slice("latest")[column : column + 1][0]
            return kept

    names = frozenset(name for begin in begins for name in begin)
    return MemberSnapshot(int(numbers["first"]), facts, rule, names, rows, latest)


@dataclass
class CheckpointWriter:
    """Keeps the rounds of one group. `keep` is collective over the group.

    every  least seconds from one checkpoint to the next; it is longer where writing would take more than `share` of the time
    lead   of the lead times of a roll-out, the one that is drawn
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

    def keep(self, engine: Engine, held: dict[str, Tensor], numbers: dict[str, Tensor]) -> bool:
        """Write a round; whether that went well, on the rank that drives. A full disk costs the checkpoint, not the run."""
        begin, group = time.monotonic(), engine.group
        members = [int(member) for member in engine.chain.members]
        stamp = group.broadcast(np.array([time.time_ns()], np.int64))[0]
        path = self.folder.rounds / f"{stamp:020d}-{members[0]}"
        hashes = np.zeros((group.size, 33), np.int64)
        try:
            with writing(path):
                path.mkdir(parents=True, exist_ok=True)
            data = save(held | {f"number.{name}": values for name, values in numbers.items()})
            write_whole(path / f"rank-{group.rank}.safetensors", data)
            hashes[group.rank, :32] = list(hashlib.sha256(data).digest())
        except OutputError as error:
            hashes[group.rank, 32], self.trouble = 1, str(error)
        hashes = group.sum_to_root(hashes)
        good = group.rank == 0 and not hashes[:, 32].any() and self.seal(path, members, engine, hashes)
        if group.rank == 0 and not good:
            shutil.rmtree(path, ignore_errors=True)
        self.last = time.monotonic()
        self.cost = self.last - begin
        return good

    def seal(self, path: Path, members: list[int], engine: Engine, hashes: np.ndarray) -> bool:
        digests = [bytes(row[:32].astype(np.uint8)).hex() for row in hashes]
        rounds = engine.account.rounds.tolist()
        done = {"members": members, "lead": self.lead, "rounds": rounds, "ranks": len(digests), "sha256": digests}
        try:
            write_whole(path / "done.json", json.dumps(done).encode())
        except OutputError as error:
            self.trouble = str(error)
            return False
        self.kept.append(path)
        while len(self.kept) > KEPT:
            shutil.rmtree(self.kept.pop(0), ignore_errors=True)
        return True
