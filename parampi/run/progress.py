"""Progress of a run: one bar for all of it on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable

from parampi.engine.history import Round
from parampi.progress import ProgressBar, RoundCounter
from parampi.run.run_log import RunLog

STEP = 0.05
"""Share of a run after which there is a line."""
PATIENCE = 60.0
"""Seconds after which there is one at the latest, or this run's own seconds times `STEP` if these are more."""


class RunDisplay:
    """One display for a whole run, of what rank 0's group does; other groups have as many members, give or take one. A line
    says how much is done, how many fields are finished, the mean seconds of a round, what is left of time at this pace, and the
    largest relative change of the last sweep.

    fields  of the group, of all members and lead times
    steps   points of a field
    unit    what a field is called
    groups  of ranks
    style   "bar", "lines", or "auto": a bar where the output is a terminal. Behind mpiexec and srun rank 0 writes into a pipe,
            and cannot see whether a terminal is at its end. The log has lines in any case
    """

    def __init__(
        self,
        fields: int,
        steps: int,
        unit: str,
        log: RunLog,
        *,
        groups: int = 1,
        style: str = "auto",
        clock: Callable[[], float] = time.monotonic,
    ):
        self.log, self.clock = log, clock
        self.counter = RoundCounter(fields, steps, unit, groups, clock)
        with_bar = log.stream.isatty() if style == "auto" else style == "bar"
        self.bar = ProgressBar(log.stream) if with_bar else None
        self.place = ""
        self.begun = self.shown_at = clock()
        self.shown = -1.0

    def show(self, done: Round, steps: int) -> None:
        """Show a round; `steps` are those of its chain, which may be of several lead times."""
        progress = self.counter.count(done)
        if self.bar:
            self.bar.show(progress, self.place)
        if self.is_due(progress.share):
            line = self.place + str(progress)
            self.log.note(line) if self.bar else self.log.say(line)
            self.shown, self.shown_at = progress.share, self.clock()

    def is_due(self, share: float) -> bool:
        """Return whether there is to be a line."""
        now = self.clock()
        late = now - self.shown_at >= max(PATIENCE, STEP * (now - self.begun))
        return self.shown < 0 or late or share == 1 or share // STEP > self.shown // STEP

    def __enter__(self) -> "RunDisplay":
        return self

    def __exit__(self, *trouble: object) -> None:
        if self.bar is not None:
            self.bar.close()
