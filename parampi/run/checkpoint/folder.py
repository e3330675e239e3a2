"""Checkpoints of a run: finished members, and the state of the others between two rounds.

    DIR/checkpoint/run.json              what is drawn, and a digest of it
    DIR/checkpoint/members/17.safetensors   a finished member, as it left the sampler
    DIR/checkpoint/rounds/STAMP-G/rank-R.safetensors   what rank R of group G held after a round
    DIR/checkpoint/rounds/STAMP-G/done.json            written last: who is in it, and the files' digests

Every file is written under another name, brought to disk and renamed. Each group keeps its last two rounds, so that one may be
damaged. The format is safetensors: reading it runs no code.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from parampi.errors import ConfigError, DataError, OutputError
from parampi.fields.atomic_files import write_whole, writing
from parampi.fields.json_text import to_json
from parampi.report import MemberReport

FOLDER = "checkpoint"
ELSEWHERE = ("parallel", "output", "checkpoint")
"""Sections that say where and how, and do not decide the fields."""
REMEDY = "start anew with parampi run and --overwrite"
SnapshotLocation = Sequence[Any]
"""Where a member of a round is: the round's folder, the member's column, the number of ranks that wrote."""


def digest(config: dict[str, Any]) -> str:
    """Return a digest of what decides the fields; where and how a run is made does not."""
    decides = {key: value for key, value in config.items() if key not in ELSEWHERE}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


class Folder:
    """The checkpoint of a run in `directory`, for rank 0 unless said otherwise."""

    def __init__(self, directory: str | Path):
        self.path = Path(directory) / FOLDER
        self.members, self.rounds = self.path / "members", self.path / "rounds"
        self.held: IO[str] | None = None

    @property
    def exists(self) -> bool:
        return (self.path / "run.json").is_file()

    def lock(self) -> None:
        """Keep other jobs out until this process ends. Raises OutputError where one is at work."""
        with writing(self.path):
            self.members.mkdir(parents=True, exist_ok=True)
            self.rounds.mkdir(exist_ok=True)
            self.held = (self.path / "lock").open("w")
        try:
            fcntl.flock(self.held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.held.close()
            self.held = None
            raise OutputError(
                f"another job is drawing into {self.path.parent}; wait for it, or choose another folder"
            ) from None
        except OSError:
            return  # a file system without locks

    def begin(self, config: dict[str, Any], inputs: dict[str, str]) -> None:
        about = {"config": config, "digest": digest(config), "inputs": inputs}
        write_whole(self.path / "run.json", to_json(about, indent=1).encode())

    def about(self) -> dict[str, Any]:
        """Return what `begin` wrote. Raises DataError."""
        path = self.path / "run.json"
        try:
            about: dict[str, Any] = json.loads(path.read_text())
            expected, _ = about["digest"], about["inputs"]
        except FileNotFoundError:
            raise DataError(f"{self.path.parent} holds no unfinished run (there is no {path}); {REMEDY}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}); {REMEDY}") from None
        if digest(about["config"]) != expected:
            raise DataError(f"{path} was changed by hand: its digest does not fit its configuration; {REMEDY}")
        return about

    def empty(self) -> None:
        """Remove what an earlier run kept."""
        with writing(self.path):
            for folder in (self.members, self.rounds):
                shutil.rmtree(folder)
                folder.mkdir()

    def clear(self) -> None:
        """Remove the checkpoint; the lock goes last."""
        with writing(self.path):
            (self.path / "run.json").unlink(missing_ok=True)
            shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Let other jobs in. Where nothing was begun nothing is left."""
        if self.held is not None:
            if not self.exists:
                shutil.rmtree(self.path, ignore_errors=True)
            self.held.close()
            self.held = None

    # ------------------------------------------------------------------ finished members

    def member_file(self, member: int, lead: int = 0) -> Path:
        """Return a member's file; in a roll-out there is one for each lead time."""
        return self.members / (f"{member}-{lead}.safetensors" if lead else f"{member}.safetensors")

    def keep(self, state: Tensor, report: MemberReport) -> None:
        facts = {name: json.dumps(value) for name, value in vars(report).items()}
        write_whole(self.member_file(report.member, report.lead), save({"state": state.cpu().contiguous()}, facts))

    def finished(self, members: Sequence[int], lead: int = 0) -> list[int]:
        """Return those of the members that are finished and whole."""
        finished = []
        for member in members:
            try:
                with safe_open(self.member_file(member, lead), "pt") as file:
                    if "state" in file.keys():  # noqa: SIM118 (no mapping)
                        finished.append(member)
            except (OSError, SafetensorError):
                continue
        return finished

    def member(self, member: int, lead: int = 0) -> tuple[Tensor, MemberReport]:
        with safe_open(self.member_file(member, lead), "pt") as file:
            return file.get_tensor("state"), self.report(member, lead)

    def report(self, member: int, lead: int = 0) -> MemberReport:
        with safe_open(self.member_file(member, lead), "pt") as file:
            return MemberReport(**{name: json.loads(value) for name, value in file.metadata().items()})

    # ------------------------------------------------------------------ rounds

    def locations(self, members: Sequence[int], lead: int = 0) -> dict[str, list[Any]]:
        """Return the location of each member, by number, in the round that is furthest of those it was kept in. Rounds that
        are not whole or damaged are passed over."""
        locations: dict[str, list[Any]] = {}
        furthest: dict[int, float] = {}
        for folder in sorted(self.rounds.iterdir()) if self.rounds.is_dir() else []:
            done = whole(folder)
            for column, member in enumerate(done["members"] if done and done.get("lead", 0) == lead else []):
                rounds = done["rounds"][column] if done else 0.0
                if member in members and rounds > furthest.get(member, 0.0):
                    furthest[member], locations[str(member)] = rounds, [str(folder), column, done["ranks"] if done else 0]
        return locations

    def prune_rounds(self, finished: Sequence[int], lead: int = 0) -> None:
        """Remove rounds whose members are all finished, and those of earlier lead times."""
        for folder in self.rounds.iterdir() if self.rounds.is_dir() else []:
            try:
                done = json.loads((folder / "done.json").read_text())
            except (OSError, ValueError):
                continue
            if done.get("lead", 0) < lead or set(done["members"]) <= set(finished):
                shutil.rmtree(folder, ignore_errors=True)


def whole(folder: Path) -> dict[str, Any] | None:
    """Return what a round says of itself; None where it was not finished or a file is not what was written."""
    try:
        done: dict[str, Any] = json.loads((folder / "done.json").read_text())
        for rank, expected in enumerate(done["sha256"]):
            if hashlib.sha256((folder / f"rank-{rank}.safetensors").read_bytes()).hexdigest() != expected:
                return None
        return done
    except (OSError, ValueError, KeyError, TypeError):
        return None


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the keys that differ, of what decides the fields."""
    sections = [name for name in new if name not in ELSEWHERE and old.get(name) != new[name]]
    keys = []
    for name in sections:
        before, after = old.get(name), new[name]
        if isinstance(before, dict) and isinstance(after, dict):
            keys += [f"{name}.{key}" for key in after if before.get(key) != after[key]]
        else:
            keys.append(name)
    return keys


def same_run(folder: Folder, config: dict[str, Any], inputs: dict[str, str]) -> None:
    """Raise ConfigError unless a checkpoint is of this configuration and of these inputs."""
    about = folder.about()
    if about["digest"] != digest(config):
        changed = ", ".join(differences(about["config"], config))
        raise ConfigError(
            f"the checkpoint in {folder.path.parent} is of another configuration: other values of {changed}; go on "
            f"without these overrides, or {REMEDY}"
        )
    for name, value in inputs.items():
        if about["inputs"].get(name) != value:
            raise ConfigError(f"{name} is not the file that the checkpoint in {folder.path.parent} began with; {REMEDY}")
