"""What the network reads at the lead times that windows have points of, as one rank knows it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.diffusion.batched import BatchConditions
from parampi.engine.lead_times import LeadTimes
from parampi.engine.slice import Slice
from parampi.parallel import Group, PlacedPoint, fetch_points

Integers = NDArray[np.int64]


class LeadConditions:
    """The conditions of lead times in flight. That of a member's current lead time, where its frozen point is, is exact; those
    of later ones are made of the latest estimates of the ends before them, as states are: they lag by one sweep.

    states  (m, h, *state) before each member's current lead time
    drawn   (m, *shape) the field drawn at the lead time before the current one, 0 at the first
    ends    estimates (*shape) of ends in the windows, by member's column and point: those before lead times of this rank
    """

    def __init__(self, leads: LeadTimes, slice_: Slice, group: Group):
        self.leads, self.slice, self.group = leads, slice_, group
        start = slice_.window.x
        self.states = leads.start.to(start, copy=True)
        self.drawn = torch.zeros_like(start[0])
        self.ends: dict[PlacedPoint, Tensor] = {}
        self.current: dict[int, tuple[int, Tensor]] = {}
        self.sent_up_to: Integers | None = None

    @property
    def steps(self) -> int:
        return self.slice.problem.equations.steps

    @property
    def lead(self) -> Integers:
        """The lead time (m,) that each member's frozen point belongs to; their number where it is at the end."""
        return self.slice.window.first // self.steps

    # ------------------------------------------------------------------ ends of lead times

    def ends_before(self, first: Integers) -> dict[PlacedPoint, Tensor]:
        """Return the ends (*shape), by member's column and point, of lead times that windows leave which begin at `first` from
        now on, in their order; on every rank, collective."""
        window, lead = self.slice.window, first // self.steps
        points = [
            (column, passed * self.steps)
            for column in np.flatnonzero(lead > self.lead).tolist()
            for passed in range(int(self.lead[column]) + 1, int(lead[column]) + 1)
        ]
        if not points:
            return {}
        mine = fetch_points(self.group, window, [points, *([] for _ in range(1, self.group.size))])
        if self.group.size == 1:
            return {point: mine[point] for point in points}
        fields = window.x.new_empty((len(points), *window.x.shape[2:]), device="cpu")
        if self.group.rank == 0:
            fields.copy_(torch.stack([mine[point] for point in points]))
        fields = torch.from_numpy(self.group.broadcast(fields.numpy())).to(window.x)
        return dict(zip(points, fields, strict=True))

    def close(self, ends: dict[PlacedPoint, Tensor]) -> dict[tuple[int, int], Tensor]:
        """Take the ends of members' lead times that are frozen now, by column and point; return the fields that are kept of
        them, by column and lead time."""
        finished = {}
        for (column, point), drawn in ends.items():
            before, lead, number = self.states[column : column + 1], point // self.steps - 1, self.numbers([column])
            kept = self.leads.finished(before, drawn[None], lead, number)
            self.drawn[column], finished[column, lead] = drawn, kept[0]
            self.states[column] = self.leads.after(before, kept, lead, number)[0]
            self.leads.forget(lead, *number)
        return finished

    def exchange(self, known: Integers | None = None) -> None:
        """Fetch the estimates of ends that this rank's points depend on, from the ranks that make them; collective, once before
        each round. Ends up to the points `known` (m,) may be fetched before the others, which are still to be guessed."""
        before = self.sent_up_to if known is None else None
        needed = [
            [
                (column, point)
                for column, point in places
                if (known is None or point <= known[column]) and (before is None or point > before[column])
            ]
            for places in self.needs()
        ]
        kept = self.ends if before is not None else {}
        self.ends = {**kept, **fetch_points(self.group, self.slice.window, needed)}
        self.sent_up_to = known

    def needs(self) -> list[list[PlacedPoint]]:
        """Return, of each rank, the ends of lead times in the windows before the points that it evaluates, by column and
        point."""
        window, lead, steps = self.slice.window, self.lead, self.steps
        start, stop = window.slices.bounds(np.arange(self.group.size)[:, None])
        stop = np.minimum(stop, self.slice.lengths)
        latest = np.where(stop > start, (window.first + stop - 1) // steps, 0)
        places: list[list[PlacedPoint]] = [[] for _ in range(self.group.size)]
        for rank, column in np.argwhere(latest > lead).tolist():
            places[rank] += [(column, end * steps) for end in range(int(lead[column]) + 1, int(latest[rank, column]) + 1)]
        return places

    # ------------------------------------------------------------------ conditions

    def numbers(self, columns: list[int]) -> list[int]:
        return [int(self.slice.problem.members[column]) for column in columns]

    def of_fields(self) -> BatchConditions:
        """Return the conditions of the fields that this rank evaluates in a round."""
        self.exchange()
        rows, columns = self.slice.evaluated.numpy().nonzero()
        leads = self.slice.steps.numpy()[rows, columns] // self.steps
        places: dict[PlacedPoint, int] = {}
        index = [places.setdefault(pair, len(places)) for pair in zip(columns.tolist(), leads.tolist(), strict=True)]
        made = self.made(list(places))
        table = torch.stack(made) if made else self.states[:0, 0]
        return BatchConditions(table, torch.tensor(index, dtype=torch.int64).to(table.device, non_blocking=True))

    def made(self, pairs: list[PlacedPoint]) -> list[Tensor]:
        """Return the conditions of members, by column, at lead times; each but the current one from the states that the latest
        ends make."""
        conditions: dict[PlacedPoint, Tensor] = {}
        for column in sorted({column for column, _ in pairs}):
            lead, latest = int(self.lead[column]), max(lead for other, lead in pairs if other == column)
            states, number = self.states[column : column + 1], self.numbers([column])
            conditions[column, lead] = self.current_condition(column, lead)
            for later in range(lead + 1, latest + 1):
                kept = self.leads.finished(states, self.ends[column, later * self.steps][None], later - 1, number)
                states = self.leads.after(states, kept, later - 1, number)
                conditions[column, later] = self.leads.conditions(states, later, number)[0]
        return [conditions[pair] for pair in pairs]

    def current_condition(self, column: int, lead: int) -> Tensor:
        """Return the condition of a member's current lead time, made once."""
        kept = self.current.get(column)
        if kept is None or kept[0] != lead:
            made = self.leads.conditions(self.states[column : column + 1], lead, self.numbers([column]))[0]
            self.current[column] = kept = lead, made.clone()
        return kept[1]

    def expected(self, steps: Tensor, enters: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the fields (n, m, *shape) drawn at the lead time before that of steps (n, m), or at the last one known, and
        where there is one (n, m, 1 ... 1); None where there is none for any of the points that enter."""
        fields, places = [torch.zeros_like(self.drawn[0])], dict[PlacedPoint, int]()
        index = torch.zeros_like(steps)
        for row, column in enters.nonzero().tolist():
            place = column, int(steps[row, column]) // self.steps
            if place not in places:
                drawn = self.latest(*place)
                places[place] = 0 if drawn is None else len(fields)
                fields += [] if drawn is None else [drawn]
            index[row, column] = places[place]
        if len(fields) == 1:
            return None
        known = (index > 0).view(*index.shape, *(1 for _ in self.drawn.shape[1:]))
        device = self.drawn.device
        return torch.stack(fields)[index.to(device, non_blocking=True)], known.to(device, non_blocking=True)

    def latest(self, column: int, lead: int) -> Tensor | None:
        """Return the field that is known of the last lead time before one; None where none is."""
        current = int(self.lead[column])
        for earlier in range(lead, current, -1):
            if (column, earlier * self.steps) in self.ends:
                return self.ends[column, earlier * self.steps]
        return self.drawn[column] if current else None

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Tensor]:
        return {"states": self.states, "drawn": self.drawn}

    def load(self, numbers: dict[str, Tensor], begun: NDArray[np.bool_]) -> None:
        """Go on from what `state` returned of members that have begun."""
        for column in np.flatnonzero(begun).tolist():
            self.states[column] = numbers["states"][column].to(self.states)
            self.drawn[column] = numbers["drawn"][column].to(self.drawn)
        self.ends, self.current, self.sent_up_to = {}, {}, None
