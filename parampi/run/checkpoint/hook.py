"""Cut runs and go on with them: checkpoints between rounds, and an orderly end when time is up or a signal comes."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from parampi.engine import Engine
from parampi.engine.snapshot import restore
from parampi.errors import DataError
from parampi.run.checkpoint.folder import REMEDY, SnapshotLocation
from parampi.run.checkpoint.records import DAMAGE
from parampi.run.checkpoint.writer import CheckpointWriter, read_snapshot
from parampi.run.watchdog import Watchdog

GO_ON, KEEP, STOP = 0, 1, 2
AHEAD = 1.5
"""Rounds that must still fit into the time."""


@dataclass
class CheckpointHook:
    """One rank's part in keeping rounds and stopping. `locations` tells by number where unfinished members were
    kept, see `Folder.locations`."""

    watchdog: Watchdog
    writer: CheckpointWriter | None = None
    locations: Mapping[str, SnapshotLocation] = field(default_factory=dict)
    longest_round: float = 0.0
    """Seconds."""
    last: float = field(default_factory=time.monotonic)
    stopped: bool = False

    def restore(self, engine: Engine, members: Sequence[int]) -> None:
        """Bring an engine that has not begun to where its members were left."""
        try:
            if self.locations:
                restore(engine, [read_snapshot(self.locations[str(m)]) if str(m) in self.locations else None for m in members])
        except (*DAMAGE, LookupError, RuntimeError) as error:
            folders = ", ".join(sorted({str(location[0]) for location in self.locations.values()}))
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise DataError(f"{folders}: what was kept of a round is not what this run keeps ({reason}); {REMEDY}") from error
        self.watchdog.next_members()

    def after(self, engine: Engine) -> bool:
        """Keep what is due between two rounds, on all ranks of the group; returns whether to stop."""
        now, group = time.monotonic(), engine.group
        self.longest_round, self.last = max(self.longest_round, now - self.last), now
        verdict = group.broadcast(np.array([self.decide(engine)], np.int64))[0]
        if verdict != GO_ON and self.writer and not engine.finished:
            kept = self.writer.keep(engine)
            if group.rank == 0 and not kept:
                reason = self.writer.trouble or "another rank could not write"
                print(f"parampi: this round was not kept ({reason}); the run goes on", file=sys.stderr, flush=True)
        self.last = time.monotonic()
        self.watchdog.next_round()
        self.stopped = bool(verdict == STOP) and not engine.finished
        return self.stopped

    def decide(self, engine: Engine) -> int:
        """Return what to do, on the rank that drives; a signal to any rank counts."""
        signals = engine.group.sum_to_root(np.array([int(bool(self.watchdog.stop.received))], np.int64))
        if engine.group.rank > 0:
            return GO_ON
        cost = self.writer.cost if self.writer else 0.0
        if signals[0] or self.watchdog.stop.over(AHEAD * self.longest_round + 2 * cost):
            return STOP
        return KEEP if self.writer and self.writer.due() else GO_ON
