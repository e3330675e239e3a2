"""Standard output and error to which nobody may listen any longer."""

import os
from contextlib import suppress
from typing import Any


class PatientStream:
    """A stream of text that goes on where its reader has gone, as after `| head -1`: what is written then is dropped."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Any:
        return iter(self.stream)

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        try:
            self.stream.write(text)
        except BrokenPipeError:
            self.drop()
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Bring what was written to the reader, if there is one."""
        try:
            self.stream.flush()
        except BrokenPipeError:
            self.drop()

    def drop(self) -> None:
        """Lead the stream, with what it still holds, nowhere."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
            self.stream.flush()
