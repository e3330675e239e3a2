"""What lets a run be cut and go on: checkpoints between rounds, and an orderly end when time is up or a signal comes."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from parampi.engine import snapshot
from parampi.engine.blocks import Wavefront
from parampi.engine.windows import Engine
from parampi.run.checkpoint.writer import CheckpointWriter, read_snapshot
from parampi.run.stop_request import StopRequest

GO_ON, KEEP, STOP = 0, 1, 2
AHEAD = 1.5
"""Rounds that must still fit into the time."""


@dataclass
class CheckpointHook:
    """One rank's part. `places` says where unfinished members were kept, see `checkpoint.Folder.places`."""

    alarm: StopRequest
    keeper: CheckpointWriter | None = None
    places: dict[str, list[object]] = field(default_factory=dict)
    rounds: float = 0.0
    """Seconds of the longest round."""
    last: float = field(default_factory=time.monotonic)
    stopped: bool = False

    def restore(self, engine: Engine | Wavefront, members: Sequence[int]) -> None:
        """MemberSink members up where they were left; Parareal's blocks begin anew."""
        if isinstance(engine, Engine) and self.places:
            snapshot.restore(engine, [read_snapshot(self.places[str(m)]) if str(m) in self.places else None for m in members])

    def after(self, engine: Engine | Wavefront) -> bool:
        """Between two rounds, on all ranks of the group: keep what is due; whether to stop."""
        now, group = time.monotonic(), engine.group
        self.rounds, self.last = max(self.rounds, now - self.last), now
        called = group.sum_to_root(np.array([int(bool(self.alarm.received))], np.int64))
        verdict = np.zeros(1, np.int64)
        if group.rank == 0:
            cost = self.keeper.cost if self.keeper else 0.0
            if called[0] or self.alarm.over(AHEAD * self.rounds + 2 * cost):
                verdict[0] = STOP
            elif self.keeper and self.keeper.due():
                verdict[0] = KEEP
        group.broadcast(verdict)
        if verdict[0] and self.keeper and isinstance(engine, Engine) and not engine.finished:
            kept = self.keeper.keep(engine, *snapshot.take(engine))
            if group.rank == 0 and not kept:
                reason = self.keeper.trouble or "another rank could not write"
                print(f"parampi: this round was not kept ({reason}); the run goes on", file=sys.stderr, flush=True)
        self.last = time.monotonic()
        self.stopped = bool(verdict[0] == STOP) and not engine.finished
        return self.stopped
