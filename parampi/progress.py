"""Progress of drawing: how far it is after a round, and a bar that shows it, on terminals and in notebooks."""

import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from parampi.errors import ConfigError
from parampi.report import count

if TYPE_CHECKING:
    from tqdm.std import tqdm

    from parampi.engine import Watch
    from parampi.engine.batches import BatchPlan
    from parampi.engine.history import Round

BAR = "{percentage:3.0f} % |{bar}| {elapsed}{postfix}"


@dataclass(frozen=True)
class Progress:
    """How far drawing is after a round, as the group of rank 0 sees it. Other groups have as many fields, give or take one.

    finished           fields that are finished: members, in a roll-out each at every lead time
    fields             how many there are to draw
    share              part of the work that is done, between 0 and 1: points that are accepted, of all
    rounds             how many were made
    seconds_per_round  their mean
    seconds_left       until the end at this pace; None where there is no pace yet, and at the end 0
    change             largest relative change of the last sweep
    unit               what a field is called: "member" or "field"
    groups             groups of ranks that draw at the same time
    """

    finished: int
    fields: int
    share: float
    rounds: int
    seconds_per_round: float
    seconds_left: float | None
    change: float
    unit: str = "member"
    groups: int = 1

    @property
    def counts(self) -> str:
        """Finished fields and rounds in words."""
        where = f" of group 1 of {self.groups}" if self.groups > 1 else ""
        return f"{self.finished} of {count(self.fields, self.unit)}{where}, round {self.rounds}"

    @property
    def details(self) -> str:
        """Finished fields, the pace and the time left in words."""
        left = f", {duration(self.seconds_left)} left" if self.seconds_left else ""
        return f"{self.counts}, {self.seconds_per_round:.2g} s a round{left}, change {self.change:.1e}"

    def __str__(self) -> str:
        return f"{100 * self.share:.0f} %: {self.details}"


ProgressFunction = Callable[[Progress], object]
"""Called on rank 0 after each round of its group."""


class RoundCounter:
    """Rounds of a group of ranks, one engine after another, counted into progress.

    fields  that the group draws
    steps   points of a field
    """

    def __init__(
        self, fields: int, steps: int, unit: str = "member", groups: int = 1, clock: Callable[[], float] = time.monotonic
    ):
        self.fields, self.steps, self.unit, self.groups, self.clock = fields, steps, unit, groups, clock
        self.total, self.begun = fields * steps, clock()
        self.before = self.finished_before = self.points = self.finished = self.number = self.rounds = self.earlier = 0

    def count(self, done: "Round") -> Progress:
        """Count a round; return how far the group is after it."""
        if done.number <= self.number or not self.rounds:  # the first one of an engine
            self.before, self.finished_before = self.points, self.finished
            self.earlier += int(done.first.sum())  # by the run that this one goes on from
        reached = done.first + done.slides
        self.points = self.before + int(reached.sum())
        self.finished = self.finished_before + int((reached // self.steps).sum())
        self.number, self.rounds = done.number, self.rounds + 1
        seconds, made, more = self.clock() - self.begun, self.points - self.earlier, self.total - self.points
        paced = made > 0 and self.rounds > 1
        return Progress(
            finished=self.finished,
            fields=self.fields,
            share=self.points / self.total,
            rounds=self.rounds,
            seconds_per_round=seconds / self.rounds,
            seconds_left=(seconds * more / made if paced else None) if more else 0.0,
            change=float(done.changes.max(initial=0.0)),
            unit=self.unit,
            groups=self.groups,
        )


class ProgressBar:
    """A bar of tqdm for all that is drawn; it appears with the first round. Without a stream tqdm chooses: a widget in a
    notebook that has them, else standard error."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream
        self.bar: tqdm[Any] | None = None

    def show(self, progress: Progress, place: str = "") -> None:
        """Move the bar; `place` says which part of a run this is."""
        if self.bar is None:
            self.bar = self.opened()
        self.bar.set_postfix_str(place + progress.details, refresh=False)
        self.bar.update(progress.share - self.bar.n)

    def opened(self) -> "tqdm[Any]":
        options: dict[str, Any] = {"total": 1.0, "dynamic_ncols": True, "bar_format": BAR}
        if self.stream is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a notebook has no widgets: there is a bar of text then
                from tqdm.auto import tqdm as chosen
            return chosen(**options)
        from tqdm import tqdm

        return tqdm(file=self.stream, **options)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class Watching:
    """Observers of the rounds of rank 0's group: a watch, a display of progress, both or neither. Other ranks have none.

    progress  True for a bar, or a function
    """

    def __init__(self, progress: bool | ProgressFunction | None, watch: "Watch | None", rank: int):
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise ConfigError(f"progress = {progress!r}; give True for a bar, or a function of a parampi.Progress")
        self.progress, self.watch = (progress or None, watch) if rank == 0 else (None, None)
        self.counter: RoundCounter | None = None
        self.shown: ProgressFunction | None = None

    @property
    def after_round(self) -> "Watch | None":
        """The function that an engine calls after a round; None where nobody looks."""
        return self.see if self.progress else self.watch

    def see(self, done: "Round", steps: int) -> None:
        if self.watch:
            self.watch(done, steps)
        if self.counter and self.shown:
            progress = self.counter.count(done)
            try:
                self.shown(progress)
            except Exception as error:  # a display must not cost what is drawn
                self.shown = None
                warnings.warn(unshown(error), RuntimeWarning, stacklevel=2)

    @contextmanager
    def over(self, plan: "BatchPlan") -> Iterator[None]:
        """Show the rounds in which a plan is carried out."""
        with ExitStack() as stack:
            if self.progress:
                fields = plan.count * len(plan.layout.share(0))
                unit = "member" if plan.leads is None else "field"
                self.counter = RoundCounter(fields, plan.problem.equations.steps, unit, plan.layout.groups)
                self.shown = self.function(stack)
            yield

    def function(self, stack: ExitStack) -> ProgressFunction:
        if callable(self.progress):
            return self.progress
        bar = ProgressBar()
        stack.callback(bar.close)
        return bar.show


def unshown(error: Exception) -> str:
    """Return what to say of a display that failed."""
    last = traceback.format_exception_only(error)[-1].strip()
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"progress is no longer shown, and drawing goes on: {last} ({where.filename}, line {where.lineno}, in {where.name})"


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds, such as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
