"""Progress of a run: one bar for all of it on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable
from typing import NoReturn

from tqdm import tqdm

from parampi.engine.history import Round
from parampi.run.run_log import RunLog

STEP = 0.05
"""Share of a run after which there is a line."""
PATIENCE = 60.0
"""Seconds after which there is one at the latest, or this run's own seconds times `STEP` if these are more."""


class Progress:
    """One display for a whole run, of what rank 0's group does; other groups have as many members, give or take one. A line
    says how much is done, how many fields are finished, the mean seconds of a round, what is left of time at this pace, and the
    largest relative change of the last sweep.

    total   points of all members and lead times of the group
    steps   points of a field, at one lead time
    unit    what one is called
    groups  of ranks
    style   "bar", "lines", or "auto": a bar where the output is a terminal. Behind mpiexec and srun rank 0 writes into a pipe,
            and cannot see whether a terminal is at its end. The log has lines in any case
    """

    def __init__(
        self,
        total: int,
        steps: int,
        unit: str,
        log: RunLog,
        *,
        groups: int = 1,
        style: str = "auto",
        clock: Callable[[], float] = time.monotonic,
    ):
        self.total, self.steps, self.log, self.clock = total, steps, log, clock
        self.unit = f"{unit}s" + (f" of group 1 of {groups}" if groups > 1 else "")
        self.with_bar = log.stream.isatty() if style == "auto" else style == "bar"
        self.bar: tqdm[NoReturn] | None = None
        self.place = ""
        self.begun = self.shown_at = clock()
        self.before = self.fields_before = self.points = self.fields = self.number = self.rounds = self.earlier = 0
        self.shown = -1.0

    def show(self, done: Round, steps: int) -> None:
        """Show a round; `steps` are those of its chain, which may be of several lead times."""
        if done.number <= self.number or not self.rounds:  # the first one of an engine
            self.before, self.fields_before = self.points, self.fields
            self.earlier += int(done.first.sum())  # by the run that this one goes on from
        frozen = done.first + done.slides
        self.points, self.fields = self.before + int(frozen.sum()), self.fields_before + int((frozen // self.steps).sum())
        self.number, self.rounds = done.number, self.rounds + 1
        worst = float(done.changes.max(initial=0.0))
        if self.with_bar:
            self.move_bar(worst)
        if self.due:
            line = self.line(worst)
            self.log.note(line) if self.with_bar else self.log.say(line)
            self.shown, self.shown_at = self.share, self.clock()

    @property
    def share(self) -> float:
        return self.points / self.total

    @property
    def due(self) -> bool:
        """Whether there is to be a line."""
        now = self.clock()
        late = now - self.shown_at >= max(PATIENCE, STEP * (now - self.begun))
        return self.shown < 0 or late or self.points == self.total or self.share // STEP > self.shown // STEP

    def line(self, worst: float) -> str:
        seconds, made, more = self.clock() - self.begun, self.points - self.earlier, self.total - self.points
        pace = f"{seconds / self.rounds:.2g} s a round"
        left = f", {duration(seconds * more / made)} left" if made > 0 and more and self.rounds > 1 else ""
        return f"{self.place}{100 * self.share:.0f} %: {self.counts()}, {pace}{left}, change {worst:.1e}"

    def counts(self) -> str:
        return f"{self.fields} of {self.total // self.steps} {self.unit}, round {self.rounds}"

    def move_bar(self, worst: float) -> None:
        if self.bar is None:
            form = "{percentage:3.0f} % |{bar}| {elapsed}, {remaining} left{postfix}"
            self.bar = tqdm(total=self.total, initial=self.earlier, file=self.log.stream, dynamic_ncols=True, bar_format=form)
        self.bar.set_postfix_str(f"{self.place}{self.counts()}, change {worst:.1e}", refresh=False)
        self.bar.update(self.points - self.bar.n)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *trouble: object) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds, such as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
