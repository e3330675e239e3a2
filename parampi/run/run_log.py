"""What a run says, on rank 0: to standard output, and with the time to a file beside the ensemble."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from parampi.run.artifacts import attempt


class RunLog:
    """The lines of a run. The file is appended to, by runs that go on or begin anew in the same folder. A log that cannot be
    written ends no run: that is said once.

    path  of the file; None writes none. Nor is one written where standard output is that file already
    """

    def __init__(self, path: Path | None, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.path = None if path is None or is_open_as(path, self.stream) else path

    def say(self, text: str) -> None:
        """Print lines, and note them."""
        print(text, file=self.stream, flush=True)
        self.note(text)

    def warn(self, text: str) -> None:
        """Print a warning to standard error, and note it."""
        print(f"parampi: {text}", file=sys.stderr, flush=True)
        self.note(f"warning: {text}")

    def note(self, text: str) -> None:
        """Write lines to the file alone, each with the time, in UTC."""
        if self.path is None:
            return
        _, failure = attempt(lambda: self.append(text))
        if failure:
            print(f"parampi: no log from here on, as {self.path} could not be written: {failure}", file=sys.stderr, flush=True)
            self.path = None

    def append(self, text: str) -> None:
        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("".join(f"{now} {line}\n" for line in text.splitlines()))


def is_open_as(path: Path, stream: TextIO) -> bool:
    """Return whether a stream goes to the file of this name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except (OSError, ValueError):
        return False
