"""What a piece of this process executes, loads and starts, by Python's audit events."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from parampi.run.lookout import PROCESS

STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen")
LOOKOUT = [sys.executable, "-I", "-S", PROCESS]
"""How the package starts a process of its own, beside a run."""
LOADS = ("pickle.find_class", "ctypes.dlopen", "marshal.load")

_events: list[list[tuple[str, str]]] = []
_hooked: list[bool] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook cannot be taken away again: it is silent while nobody listens."""
    if not _events or not (event == "exec" or event in STARTS or event in LOADS):
        return
    if event == "subprocess.Popen" and list(arguments[1])[:4] == LOOKOUT:
        return
    what = arguments[0] if arguments else None
    name = what.co_filename if isinstance(what, CodeType) else str(what)
    for events in _events:
        events.append((event, name))


@contextmanager
def watched() -> Iterator[list[tuple[str, str]]]:
    """Yield a list of (event, name): files of code that is executed, libraries, classes of pickles, programs."""
    if not _hooked:
        sys.addaudithook(_listen)
        _hooked.append(True)
    events: list[tuple[str, str]] = []
    _events.append(events)
    try:
        yield events
    finally:
        _events.remove(events)


def code_below(events: list[tuple[str, str]], folder: Path) -> set[str]:
    """Return the files below a folder of which code was executed, relative to it."""
    paths = (Path(name) for event, name in events if event == "exec" and os.path.isabs(name))
    return {str(path.relative_to(folder)) for path in paths if path.is_relative_to(folder)}


def started(events: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return programs that were started and classes that pickles named; `uname` is how Python's `platform` asks the system."""
    return [event for event in events if event[0] in (*STARTS, "pickle.find_class") and event[1] != "uname"]
