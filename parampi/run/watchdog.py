"""A watchdog on every rank: it ends a job in which a round hangs, a rank is stopped, or a signal comes again.

The thread looks at the clock, at the main thread's calls, and at memory that the ranks of a node share. It calls MPI once only:
to end the job. A process beside the first rank of a node notices where no thread can run.
"""

import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import parampi
from parampi.engine import Engine
from parampi.errors import InterruptionError, NonFiniteError, UserError
from parampi.parallel.heartbeats import Heartbeats, heartbeats_of
from parampi.parallel.launch import end_job, place_of
from parampi.run.lookout import Lookout, lookout_beside
from parampi.run.lookout_process import tick_of
from parampi.run.model_loading import load_denoiser, probe_denoiser
from parampi.run.signal_pipe import woken_by_signals
from parampi.run.stop_request import AT_ONCE, SIGNALS, StopRequest
from parampi.run.stopwatch import timed_calls

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

HUNG = 124
"""Exit code, as `timeout` has it."""
FIRST, LEAST, ROUNDS = 6 * 3600.0, 1800.0, 20
"""The time that a round has by default: the first so many seconds, the others so many, or so many times the longest so far."""
GO_ON = "parampi resume goes on from what was kept, with a longer parallel.hang_timeout if this was no hang"
GRACE = 60.0
"""Seconds after `checkpoint.max_walltime` in which a round may end."""
WAITING = 2.0
"""How many times as long a rank may wait for others in a round: the one that hangs shall be named."""
MEANWHILE = 2.0
"""Seconds in which the main thread may end by itself what a signal ends."""
PACKAGE = Path(parampi.__file__).parent

Timeout = float | Literal["auto"] | None


@dataclass
class Watchdog:
    """A thread that ends the job, with the stack of its rank's main thread.

    timeout     seconds that a round may take; None for no limit, "auto" by the longest round so far
    heartbeats  signs of life, where there are several ranks
    lookout     a process beside this one, on one rank of a node
    round       seconds since the round began, as the thread counts them; so are those of the neighbour's `silence`

    Time in which the whole process is suspended does not count.
    """

    stop: StopRequest
    timeout: Timeout = "auto"
    comm: "Comm | None" = None
    heartbeats: Heartbeats | None = None
    lookout: Lookout | None = None
    round: float = 0.0
    silence: float = 0.0
    longest: float | None = None
    begin: float = field(default_factory=time.monotonic)
    main: int = field(default_factory=threading.get_ident)
    ending: threading.Event = field(default_factory=threading.Event)

    def next_round(self) -> None:
        """Begin a round, and end the one before it. Called by the main thread."""
        now = time.monotonic()
        self.longest, self.begin, self.round = max(self.longest or 0.0, now - self.begin), now, 0.0

    def next_members(self) -> None:
        """Begin the first round of members."""
        self.begin, self.round = time.monotonic(), 0.0

    @property
    def limit(self) -> float:
        """Seconds that a round may take."""
        if self.timeout == "auto":
            return FIRST if self.longest is None else max(LEAST, ROUNDS * self.longest)
        return float("inf") if self.timeout is None else self.timeout

    @property
    def tick(self) -> float:
        """Seconds between two looks at the clock."""
        return tick_of(self.limit)

    def watch(self, signals: int) -> None:
        """Look at the clock, and read the signals that came from a file descriptor, until `ending`."""
        last, poll = time.monotonic(), select.poll()
        poll.register(signals, select.POLLIN)
        while not self.ending.is_set():
            tick = self.tick
            numbers = os.read(signals, 64) if poll.poll(1000 * tick) else b""
            passed, last = time.monotonic() - last, time.monotonic()
            for number in numbers:
                self.hear(number)
            if not self.ending.is_set():
                self.count(min(passed, 2 * tick))

    def count(self, seconds: float) -> None:
        """Let time pass, and end the job if a round or a rank takes too much of it."""
        self.round += seconds
        if self.lookout:
            self.lookout.tell(self.limit)
        if self.heartbeats:
            self.listen(self.heartbeats, seconds)
        if not (trouble := self.trouble()):
            return
        frames = self.frames()
        doing, waits = activity(frames), waits_for_others(frames)
        if doing and (not waits or self.round > WAITING * self.limit + 2 * self.tick):
            others = ", waiting for other ranks," * waits
            self.end(f"{place_of(self.comm)} {doing}{others} {trouble}", "it is at")

    def listen(self, heartbeats: Heartbeats, seconds: float) -> None:
        """End the job where the neighbour has not been heard for too long."""
        self.silence = 0.0 if heartbeats.beat() else self.silence + seconds
        if self.silence > self.limit + 2 * self.tick:
            silent = f"{heartbeats.neighbour} has given no sign of life for {self.silence:.1f} s (parallel.hang_timeout)"
            self.end(silent, f"{place_of(self.comm)}, which noticed that, is at")

    def trouble(self) -> str:
        """Return what is wrong with a round, if it is not over."""
        if self.round > self.limit:
            return f"for {self.round:.1f} s (parallel.hang_timeout)"
        late = None if self.stop.seconds is None else time.monotonic() - self.stop.begin - self.stop.seconds
        if late is not None and min(late, self.round) > GRACE:
            return f"{GRACE:g} s after the end of checkpoint.max_walltime"
        return ""

    def frames(self) -> list[FrameType]:
        """Return the calls of the main thread, the innermost first."""
        frame, frames = sys._current_frames().get(self.main), []
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        return frames

    def hear(self, number: int) -> None:
        """End the job at a signal that comes again, unless the main thread can."""
        if number in SIGNALS and self.stop.arrivals.again(number) and not self.ending.wait(MEANWHILE):
            self.at_once(number)

    def at_once(self, number: int) -> None:
        end_job(self.comm, 128 + number, f"{signal.Signals(number).name} {AT_ONCE}\n")

    def end(self, reason: str, place: str) -> None:
        frames = self.frames()
        stack = "".join(traceback.format_stack(frames[0])) if frames else "an unknown place\n"
        end_job(self.comm, HUNG, f"{reason}; the job ends, and {GO_ON}; {place}:\n{stack}")


def activity(frames: list[FrameType]) -> str:
    """Return what these calls do, where it has a time limit: networks are called in it. Progress may be shown to a pipe that
    nobody reads for hours."""
    codes = [frame.f_code for frame in frames]
    if any(kind.advance.__code__ in codes for kind in kinds_of(Engine)):
        return "" if Engine.enter.__code__ in codes else "has been in one round"
    tries = load_denoiser.__code__ in codes or probe_denoiser.__code__ in codes
    if timed_calls.__code__ in codes:
        return "has been timing calls of the network"
    return "has been loading the network and trying it" if tries else ""


def kinds_of(kind: Any) -> Iterator[Any]:
    """Return all classes that derive from a class."""
    for derived in kind.__subclasses__():
        yield derived
        yield from kinds_of(derived)


def waits_for_others(frames: list[FrameType]) -> bool:
    """Return whether the innermost call of parampi is one that waits for other ranks."""
    ours = (Path(frame.f_code.co_filename) for frame in frames)
    return next((path.parent == PACKAGE / "parallel" for path in ours if PACKAGE in path.parents), False)


@contextmanager
def watched(stop: StopRequest, timeout: Timeout, comm: "Comm | None") -> Iterator[Watchdog]:
    """Watch over loading and rounds that are done meanwhile. All ranks of `comm` enter and leave, unless one fails alone."""
    heartbeats = None if comm is None or timeout is None else heartbeats_of(comm)
    watchdog, before, alike = Watchdog(stop, timeout, comm, heartbeats), stop.at_once, False
    stop.at_once = watchdog.at_once
    try:
        with looked_after(watchdog), awake(watchdog):
            yield watchdog
        alike = True
    except (UserError, NonFiniteError, InterruptionError):
        alike = True
        raise
    finally:
        stop.at_once = before
        if heartbeats and alike:
            heartbeats.close()


@contextmanager
def looked_after(watchdog: Watchdog) -> Iterator[None]:
    """Have a process look after one rank of each node meanwhile: the others look after one another."""
    if watchdog.timeout is not None and (watchdog.heartbeats is None or watchdog.heartbeats.first):
        watchdog.lookout = lookout_beside(place_of(watchdog.comm), watchdog.limit)
    try:
        yield
    finally:
        if watchdog.lookout:
            watchdog.lookout.close()


@contextmanager
def awake(watchdog: Watchdog) -> Iterator[None]:
    """Run the watchdog's thread meanwhile."""
    with woken_by_signals() as (signals, alarm):
        thread = threading.Thread(target=watchdog.watch, args=[signals], name="parampi watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            watchdog.ending.set()
            os.write(alarm, b"\0")
            thread.join()
            if watchdog.heartbeats:
                watchdog.heartbeats.leave()
