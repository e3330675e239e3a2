"""Progress of a run: a bar on a terminal, one line per block elsewhere."""

import sys
from typing import NoReturn, TextIO

from tqdm import tqdm

from parampi.engine.history import Round


class Progress:
    """A display of the rounds of rank 0's group: how far its slowest member is, in blocks of `window` points, its change.

    style  "bar", "lines", or "auto": a bar where the output is a terminal. Behind mpiexec and srun rank 0 writes into a pipe,
           and cannot see whether a terminal is at its end.
    """

    def __init__(self, steps: int, window: int, kind: str, style: str = "auto", stream: TextIO | None = None):
        self.steps, self.window, self.kind = steps, window, kind
        self.blocks = -(-steps // window)
        self.stream = stream or sys.stdout
        self.with_bar = self.stream.isatty() if style == "auto" else style == "bar"
        self.bar: tqdm[NoReturn] | None = None
        self.shown = -1

    def show(self, done: Round, steps: int) -> None:
        frozen = done.first + done.slides
        reached, worst = int(frozen.min()), float(done.changes.max(initial=0.0))
        block = min(reached // self.window, self.blocks - 1)
        if self.with_bar:
            self.move_bar(reached, block, done.number, worst)
        elif block > self.shown or reached == self.steps or done.number == 1:
            text = f"{self.kind} {block + 1}/{self.blocks}, round {done.number}: {reached} of {self.steps} points"
            print(f"{text}, largest change {worst:.1e}", file=self.stream, flush=True)
        self.shown = block

    def move_bar(self, reached: int, block: int, round_number: int, worst: float) -> None:
        if self.bar is None or reached < self.bar.n:
            self.close()
            self.bar = tqdm(total=self.steps, unit="point", file=self.stream, dynamic_ncols=True)
        self.bar.set_postfix_str(f"{self.kind} {block + 1}/{self.blocks}, round {round_number}, change {worst:.1e}")
        self.bar.update(reached - self.bar.n)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *trouble: object) -> None:
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
