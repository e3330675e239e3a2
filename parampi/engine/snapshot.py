"""Members as a run left them between two rounds, and how any other ranks go on with them.

Members do not know of one another, so that a snapshot is one of single members: a group of ranks may go on with members that
different groups left after different rounds, beside others that have not begun.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parampi.engine.base import Engine
from parampi.engine.state import EngineState, PointRows
from parampi.parallel import PointRanges


@dataclass(frozen=True)
class MemberSnapshot:
    """A member as a run left it: `numbers` (...) and names of the `fields` there are; `rows(name, start, stop)` reads those of
    points start ... stop - 1, 0 where nothing was kept. See `EngineState`."""

    numbers: dict[str, Tensor]
    fields: frozenset[str]
    rows: Callable[[str, int, int], Tensor]


Members = Sequence[MemberSnapshot | None]
"""One for each member of a problem, None for those that have not begun."""


def restore(engine: Engine, members: Members) -> None:
    """Bring an engine that has not begun to where each of its members was left."""
    if any(members):
        engine.load(join(engine, members))


def join(engine: Engine, members: Members) -> EngineState:
    """Return the state of an engine that has not begun, with what is known of members that have."""
    numbers = {name: values.clone() for name, values in engine.state().numbers.items()}
    for column, member in enumerate(members):
        for name in numbers if member else ():
            numbers[name][column] = member.numbers[name].to(numbers[name])  # type: ignore[union-attr]
    fields = {}
    for name in sorted({name for member in members if member for name in member.fields}):
        span = engine.span(name, numbers)
        if span is not None:
            fields[name] = PointRows(rows_of(name, span, members).to(engine.problem.device), span[0])
    return EngineState(np.array([member is not None for member in members]), fields, numbers)


def rows_of(name: str, span: PointRanges, members: Members) -> Tensor:
    """Return rows (r, m, ...) of a field at the points of a span; 0 where a member has none, and before point 0."""
    begin, end = span
    like = next(member.rows(name, 0, 0) for member in members if member and name in member.fields)
    rows = torch.zeros((int((end - begin).max(initial=0)), len(members), *like.shape[1:]), dtype=like.dtype)
    for column, member in enumerate(members):
        low, high = max(int(begin[column]), 0), int(end[column])
        if member is not None and name in member.fields and low < high:
            rows[low - begin[column] : high - begin[column], column] = member.rows(name, low, high)
    return rows
