"""The state of a run between two rounds: what each rank holds of it, and how any other ranks take it up again.

Members do not know of one another, so that a snapshot is one of single members: a group of ranks may take up members that
different groups left, beside others that have not begun.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.windows import Engine
from parampi.parallel import Slices, Window
from parampi.solvers.stop_rules import RuleState

Integers = NDArray[np.int64]
Rows = Callable[[str, int, int], Tensor]
COUNTS = ("rounds", "evaluations", "residual", "error_estimate")


@dataclass(frozen=True)
class MemberSnapshot:
    """A member as a run left it: `first` is the index of its frozen point, `facts` and `rule` are its numbers, `latest()` its
    latest denoised field; `rows(name, start, stop)` reads fields of points start ... stop - 1, `names` are those there are."""

    first: int
    facts: dict[str, float]
    rule: dict[str, NDArray[np.float64]]
    names: frozenset[str]
    rows: Rows
    latest: Callable[[], Tensor]


def take(engine: Engine) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What this rank holds, on the CPU: fields (r, m, ...) by name with `begin.NAME` (m,), the points of their first rows; and
    on the rank that drives, numbers (m, ...) of its members."""
    own, window = engine.slice, engine.slice.window
    start, taps = own.positions.start, window.taps
    fields = {"x": window.x, "denoised": own.denoised}
    begins = {"x": start + 1 - taps, "denoised": start + 1 - taps}
    for name, rows in engine.iteration.state().items():
        fields[f"iteration.{name}"], begins[f"iteration.{name}"] = rows, start + 1
    held = {name: rows.detach().cpu().contiguous() for name, rows in fields.items() if rows.numel()}
    held |= {f"begin.{name}": torch.from_numpy(window.first + begins[name]) for name in list(held)}
    if engine.group.rank > 0:
        return held, {}
    numbers = {"first": window.first.astype(np.float64)}
    numbers |= {name: np.asarray(getattr(engine.account, name), np.float64) for name in COUNTS}
    numbers |= {f"rule.{name}": values for name, values in engine.rule.state().items()}
    held["latest"] = own.latest.detach().cpu().contiguous()
    return held, {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in numbers.items()}


def restore(engine: Engine, left: Sequence[MemberSnapshot | None]) -> None:
    """Bring an engine that has not begun to where each of its members was left; None for members that have not begun."""
    if all(one is None for one in left):
        return
    own, group = engine.slice, engine.group
    engine.rule.load(rule_state(engine, left))
    start = own.window
    first = np.array([one.first if one else 0 for one in left], np.int64)
    slices = Slices(int(own.lengths_at(first).max(initial=0)), group.size)
    taps, mine = start.taps, slices.of(group.rank)
    template = own.chain.start()
    rows = template.new_zeros((taps + len(mine), *template.shape))
    window = Window(first, slices, rows, taps)
    lengths = own.lengths_at(first)
    known = np.where([one is not None for one in left], lengths, 0)
    for column, one in enumerate(left):
        begin = int(first[column]) + mine.start + 1 - taps
        if one is not None:
            last = int(first[column] + lengths[column])
            fill(rows[:, column], one, "x", begin, last + 1)
        elif mine.start == 0:
            rows[taps - 1, column] = template[column]
    own.window, own.latest = window, own.latest.clone()
    for column, one in enumerate(left):
        if one is not None:
            own.latest[column] = one.latest().to(own.latest)
    own.denoised = behind(own.denoised, window, left, mine.start)
    own.gather_coefficients()
    own.xi, own.noise_span = None, np.zeros((2, len(first)), np.int64)
    own.xi = own.noise()
    own.guess(known)
    engine.iteration.load(memories(rows, left, first, lengths, mine))
    for column, one in enumerate(left):
        if one is not None:
            engine.account.before = max(engine.account.before, int(one.facts["rounds"]))
            for name in COUNTS:
                getattr(engine.account, name)[column] = one.facts[name]


def rule_state(engine: Engine, left: Sequence[MemberSnapshot | None]) -> RuleState:
    """Return what the stop rule kept of the members; for those that have not begun, what it begins with."""
    engine.rule.begin(len(left), int(engine.slice.lengths.max()))
    state = {name: values.copy() for name, values in engine.rule.state().items()}
    for column, one in enumerate(left):
        for name, value in one.rule.items() if one else ():
            state[name][column] = value
    return state


def behind(like: Tensor, window: Window, left: Sequence[MemberSnapshot | None], start: int) -> Tensor:
    """Denoised fields (K - 1 ..., m, *shape) of the frozen points behind the windows, on rank 0; 0 elsewhere."""
    rows = like.new_zeros((window.taps - 1, *window.x.shape[1:]))
    for column, one in enumerate(left):
        if one is not None and start == 0 and len(rows):
            fill(rows[:, column], one, "denoised", int(window.first[column]) + 1 - window.taps, int(window.first[column]))
    return rows


def memories(
    like: Tensor, left: Sequence[MemberSnapshot | None], first: Integers, lengths: Integers, mine: range
) -> dict[str, Tensor]:  # fmt: skip
    """Return what the iteration kept of the points a rank makes; 0 for members that have not begun."""
    state: dict[str, Tensor] = {}
    for name in sorted({n for one in left if one for n in one.names if n.startswith("iteration.")}):
        sample = next(one for one in left if one and name in one.names)
        shape = sample.rows(name, sample.first + 1, sample.first + 2)
        rows = torch.zeros((len(mine), len(left), *shape.shape[1:]), dtype=shape.dtype, device=like.device)
        for column, one in enumerate(left):
            if one is not None and name in one.names:
                fill(rows[:, column], one, name, int(first[column]) + mine.start + 1, int(first[column] + lengths[column]) + 1)
        state[name.removeprefix("iteration.")] = rows
    return state


def fill(rows: Tensor, one: MemberSnapshot, name: str, begin: int, end: int) -> None:
    """Rows of points begin, begin + 1, ... before `end`, as far as they were held."""
    stop = min(begin + len(rows), end)
    low = max(begin, 0)
    if stop > low:
        rows[low - begin : stop - begin] = one.rows(name, low, stop).to(rows)
