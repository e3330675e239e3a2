"""Checkpoints of a run: finished members, and the state of the others between two rounds.

    DIR/.parampi-ensemble.nc/parampi-lock   whose the folder is, and who draws into it
      run.json                              what is drawn, and a digest of it
      members/17.safetensors                a finished member, as it left the sampler
      rounds/STAMP-G/rank-R.safetensors     what rank R of group G held after a round
      rounds/STAMP-G/done.json              written last: who is in it, and the files' digests

Every file is written under another name, brought to disk and renamed, and has a digest. What is damaged is passed over, which
is said; each group keeps its last two rounds. The format is safetensors and JSON: reading it runs no code.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from parampi.errors import ConfigError, DataError, OutputError
from parampi.fields.atomic_files import writing
from parampi.report import MemberReport
from parampi.run.checkpoint.ownership import (
    FOLDER,
    folder_name,
    recognised,
    remove_checkpoint,
    remove_contents,
    remove_round,
    subfolders,
    take_lock,
    unfinished_in,
)
from parampi.run.checkpoint.records import DAMAGE, read_member, read_record, refuse_link, write_member, write_record
from parampi.run.stored_records import RoundRecord, RunRecord

ELSEWHERE = ("parallel", "checkpoint")
"""Sections that do not decide what is drawn and where it is written."""
REMEDY = "start anew with parampi run and --overwrite"
SnapshotLocation = Sequence[Any]
"""Where a member of a round is: the round's folder, the member's column, the number of ranks that wrote, and in a roll-out that
is swept together its lead time."""


def deciding(config: dict[str, Any]) -> dict[str, Any]:
    """Return what decides the fields and what is written where, below the directory of the run, which may be moved."""
    decides = {key: value for key, value in config.items() if key not in ELSEWHERE}
    for section, free in (("model", "probe"), ("output", "directory")):
        if section in decides:
            decides[section] = {key: value for key, value in config[section].items() if key != free}
    return decides


class Folder:
    """The checkpoint of the run that writes `ensemble` into `directory`, for rank 0 unless said otherwise."""

    def __init__(self, directory: str | Path, ensemble: str):
        self.path = Path(directory) / folder_name(ensemble)
        self.members, self.rounds = self.path / "members", self.path / "rounds"
        self.locked = False
        self.damaged: list[str] = []
        self.descriptor: int | None = None

    @classmethod
    def find(cls, place: Path) -> "Folder":
        """Return the checkpoint of the unfinished run in a directory, or of the run that writes an ensemble of this name.

        Raises DataError where there is none, and with their names where there are several.
        """
        for directory in place.parents:
            own = cls(directory, str(place.relative_to(directory)))
            if own.exists:
                return own
        there = unfinished_in(place)
        if len(there) > 1:
            raise DataError(f"{place} holds several unfinished runs; give the name of one: {', '.join(map(str, there))}")
        if not there:
            raise DataError(f"{place} holds no unfinished run (there is no {place / f'{FOLDER}*' / 'run.json'}); {REMEDY}")
        return cls(place, str(there[0].relative_to(place)))

    @property
    def directory(self) -> Path:
        return self.path.parent

    @property
    def exists(self) -> bool:
        return recognised(self.path) and (self.path / "run.json").is_file()

    def lock(self) -> None:
        """Keep other jobs out until this process ends. Raises OutputError where one is at work."""
        if not self.locked:
            self.descriptor, self.locked = take_lock(self.path), True
            self.make_room()

    def make_room(self) -> None:
        with writing(self.path):
            self.members.mkdir(exist_ok=True)
            self.rounds.mkdir(exist_ok=True)

    def begin(self, record: RunRecord) -> None:
        """Say what is drawn here."""
        write_record(self.path / "run.json", record.model_dump())

    def remember_files(self, files: dict[str, str]) -> None:
        """Say what the run has written in the places of its outputs."""
        record = self.about()
        self.begin(record.model_copy(update={"files": record.files | files}))

    def about(self) -> RunRecord:
        """Return what `begin` wrote. Raises DataError."""
        path = self.path / "run.json"
        try:
            return read_record(path, RunRecord)
        except FileNotFoundError:
            raise DataError(f"{self.path.parent} holds no unfinished run (there is no {path}); {REMEDY}") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is damaged, or was changed by hand ({error}); {REMEDY}") from None

    def empty(self) -> None:
        """Remove what an earlier run kept."""
        with writing(self.path):
            remove_contents(self.path)
        self.make_room()

    def clear(self) -> None:
        """Remove the checkpoint, also what an earlier run left of one; the lock goes last."""
        with suppress(OutputError):  # another job may have begun to draw here
            if recognised(self.path):
                self.lock()
                with writing(self.path):
                    remove_checkpoint(self.path)
        self.release()

    def release(self) -> None:
        """Let other jobs in. Where nothing was begun nothing is left."""
        if self.locked:
            if not self.exists:
                remove_checkpoint(self.path)
            if self.descriptor is not None:
                os.close(self.descriptor)
            self.locked, self.descriptor = False, None

    # ------------------------------------------------------------------ finished members

    def member_file(self, member: int, lead: int = 0) -> Path:
        """Return a member's file; in a roll-out there is one for each lead time."""
        return self.members / (f"{member}-{lead}.safetensors" if lead else f"{member}.safetensors")

    def keep(self, state: Tensor, report: MemberReport) -> None:
        write_member(self.member_file(report.member, report.lead), state, report)

    def finished(self, members: Sequence[int], lead: int = 0, shape: Sequence[int] | None = None) -> list[int]:
        """Return those of the members that are finished, whole and of this shape. Damaged ones are remembered as such."""
        finished = []
        for member in members:
            try:
                read_member(self.member_file(member, lead), member, lead, shape)
                finished.append(member)
            except FileNotFoundError:
                continue
            except DAMAGE as error:
                self.damaged.append(f"{self.member_file(member, lead)} ({error}): member {member} is drawn again")
        return finished

    def member(self, member: int, lead: int = 0) -> tuple[Tensor, MemberReport]:
        """Return a member that is finished. Raises DataError where it is not whole."""
        path = self.member_file(member, lead)
        try:
            return read_member(path, member, lead)
        except DAMAGE as error:
            raise DataError(f"{path} cannot be read ({error}); do all ranks see the output's folder?") from error

    # ------------------------------------------------------------------ rounds

    def locations(self, members: Sequence[int], lead: int = 0) -> dict[str, list[Any]]:
        """Return the location of each member, by number, in the round that is furthest of those it was kept in. Rounds that
        are not whole or damaged are passed over."""
        locations: dict[str, list[Any]] = {}
        furthest: dict[int, float] = {}
        for folder in sorted(subfolders(self.rounds)):
            done = self.whole(folder)
            if done is None or done.lead != lead:
                continue
            for column, (member, rounds) in enumerate(zip(done.members, done.rounds, strict=True)):
                if member in members and rounds > furthest.get(member, 0.0):
                    lead_of = [] if done.leads is None else [done.leads[column]]
                    furthest[member], locations[str(member)] = rounds, [str(folder), column, done.ranks, *lead_of]
        return locations

    def prune_rounds(self, finished: Sequence[int], lead: int = 0) -> None:
        """Remove rounds whose members are all finished, and those of earlier lead times."""
        for folder in subfolders(self.rounds):
            try:
                done = read_record(folder / "done.json", RoundRecord)
            except (OSError, ValueError):
                continue
            if done.lead < lead or set(done.members) <= set(finished):
                remove_round(folder)

    def whole(self, folder: Path) -> RoundRecord | None:
        """Return what a round says of itself; None where it was not finished or a file is not what was written."""
        try:
            done = read_record(folder / "done.json", RoundRecord)
            for rank, expected in enumerate(done.sha256_of_ranks):
                refuse_link(folder / f"rank-{rank}.safetensors")
                if hashlib.sha256((folder / f"rank-{rank}.safetensors").read_bytes()).hexdigest() != expected:
                    raise ValueError(f"the file of rank {rank} is not what was written")
            return done
        except (OSError, ValueError) as error:
            if (folder / "done.json").is_file():
                self.damaged.append(f"{folder} ({error}): its members go on from an earlier round, or are drawn again")
            return None


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the keys that differ, of what decides the fields and the files, and of those that one lacks, which."""
    before, after = flat(deciding(old)), flat(deciding(new))
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    lacks = {key: "the checkpoint" if key not in before else "the configuration" for key in before.keys() ^ after.keys()}
    return [f"{key} (missing in {lacks[key]})" if key in lacks else key for key in changed]


def flat(tree: dict[str, Any]) -> dict[str, str]:
    """Return the values of a configuration as text, by section and key."""
    values: dict[str, str] = {}
    for name, section in tree.items():
        pairs = {f"{name}.{key}": value for key, value in section.items()} if isinstance(section, dict) else {name: section}
        values |= {key: json.dumps(value, sort_keys=True) for key, value in pairs.items()}
    return values


def same_run(folder: Folder, config: dict[str, Any], inputs: dict[str, str]) -> None:
    """Raise ConfigError unless a checkpoint is of this configuration and of these inputs, all of them."""
    about = folder.about()
    if changed := differences(about.config, config):
        raise ConfigError(
            f"the checkpoint in {folder.path.parent} is of another configuration: other values of {', '.join(changed)}; go on "
            f"without these overrides, or {REMEDY}"
        )
    same_inputs(folder, about, inputs)


def same_inputs(folder: Folder, about: RunRecord, inputs: dict[str, str]) -> None:
    """Raise ConfigError unless a checkpoint is of these inputs, and of no others."""
    for name in sorted(inputs.keys() | about.inputs.keys()):
        if about.inputs.get(name) != inputs.get(name):
            missing = "there is none now" if name in about.inputs else f"{folder.path / 'run.json'} has no digest of it"
            reason = "its digest is another one" if name in about.inputs and name in inputs else missing
            raise ConfigError(
                f"{name} is not the file that the checkpoint in {folder.path.parent} began with ({reason}); bring that one "
                f"back, or {REMEDY}"
            )
