"""Lead times in a row: what the network reads at each, and how a drawn field makes the next state."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from parampi.engine.case_hooks import CaseHooks
from parampi.errors import ConfigError

ConditionOfStates = Callable[[Tensor, int, list[int]], Tensor]
"""`condition(states, lead, numbers)` returns the conditions (m, ...) at a lead time, of the states (m, *state) before it, or
(m, h, *state) of h > 1 lead times, the newest last, of members by their numbers."""
UpdateOfState = Callable[[Tensor, Tensor, int, list[int]], Tensor]
"""`update(state, kept, lead, numbers)` returns the states (m, *state) after a lead time, of those before it and of the fields
(m, *shape) that are kept of it: the drawn ones, as they are finished."""


@dataclass(frozen=True)
class LeadTimes:
    """The lead times of a roll-out, whose points make one chain per member. At lead time l the network reads

        p[l] = prepare(condition([s[l-h], ..., s[l-1]], l, numbers)),        s[l] = update(s[l-1], y[l], l, numbers),

    with y[l] = finish(drawn[l], p[l]), the field that is kept.

    count      how many
    start      (m, h, *state) the states before the first, the newest last
    condition  None for the state before
    update     None where the field is the state
    hooks      `prepare` and `finish`
    made       by number and lead time, the last states for which a condition was prepared, and what was made of it
    kinds      shape and dtype of the first condition, where there has been one

    Functions are given copies, and what they return is copied: they may write into both. No gradients are kept.
    """

    count: int
    start: Tensor
    condition: ConditionOfStates | None = None
    update: UpdateOfState | None = None
    hooks: CaseHooks = field(default_factory=CaseHooks)
    made: dict[tuple[int, int], tuple[Tensor, tuple[Tensor, ...]]] = field(default_factory=dict)
    kinds: list[tuple[tuple[int, ...], torch.dtype]] = field(default_factory=list)

    @property
    def history(self) -> int:
        return int(self.start.shape[1])

    @torch.no_grad()
    def conditions(self, states: Tensor, lead: int, numbers: list[int]) -> Tensor:
        """Return what the network reads (m, ...) after states (m, h, *state) before a lead time. Raises ConfigError unless
        there is a condition for each member, of one shape and dtype at all lead times."""
        if self.hooks.prepare is None:
            name, made = "condition", self.read(states, lead, numbers)
        else:
            name, rows = "prepare", range(len(numbers))
            made = torch.cat([self.prepared(states[k : k + 1], lead, numbers[k])[0] for k in rows])
        kind = tuple(made.shape[1:]), made.dtype
        self.kinds.extend([] if self.kinds else [kind])
        shape, dtype = self.kinds[0]
        expected = f"{(len(numbers), *shape)} of {dtype}, as at the first lead time that it was called for"
        self.require(kind == self.kinds[0], name, made, lead, expected)
        return made

    def read(self, states: Tensor, lead: int, numbers: list[int]) -> Tensor:
        """Return the conditions (m, ...) as they are before they are prepared."""
        latest = (states[:, 0] if self.history == 1 else states).clone()
        if self.condition is None:
            return latest
        conditions = tensor_of(self.condition(latest, lead, numbers), "condition", lead).to(states.device, copy=True)
        fits = conditions.shape[:1] == (len(numbers),)
        self.require(fits, "condition", conditions, lead, f"one for each of {len(numbers)} members")
        return conditions

    def prepared(self, states: Tensor, lead: int, number: int) -> tuple[Tensor, ...]:
        """Return what is made of one member's condition at a lead time: anew where the states (1, h, *state) are others than
        the last time."""
        last = self.made.get((number, lead))
        if last is None or not torch.equal(last[0], states):
            parts = self.hooks.prepared(self.read(states, lead, [number]))
            last = self.made[number, lead] = states.clone(), tuple(part.to(states.device) for part in parts)
        return last[1]

    def finished(self, states: Tensor, drawn: Tensor, lead: int, numbers: list[int]) -> Tensor:
        """Return the fields (m, *shape) that are kept of a lead time, of the drawn ones and of the states before it."""
        if self.hooks.finish is None:
            return drawn
        rows = [states[k : k + 1] for k in range(len(states))]
        fields = zip(rows, drawn, numbers, strict=True)
        return torch.stack([self.hooks.finished(x, self.prepared(row, lead, number)) for row, x, number in fields])

    def forget(self, lead: int, number: int) -> None:
        """Forget what was made of a member's condition at a lead time that is over."""
        self.made.pop((number, lead), None)

    @torch.no_grad()
    def after(self, states: Tensor, kept: Tensor, lead: int, numbers: list[int]) -> Tensor:
        """Return the states (m, h, *state) after a lead time, of those before it and of the fields (m, *shape) kept of it."""
        new = kept
        if self.update is not None:
            new = tensor_of(self.update(states[:, -1].clone(), kept.clone(), lead, numbers), "update", lead)
        shape = tuple(states[:, -1].shape)
        self.require(tuple(new.shape) == shape, "update", new, lead, f"{shape}, the shape of the states before")
        return torch.cat([states[:, 1:], new.to(states)[:, None]], dim=1)

    def require(self, fits: bool, name: str, result: Tensor, lead: int, expected: str) -> None:
        """Raise ConfigError for a function's result that does not fit."""
        if not fits:
            kind = f"shape {tuple(result.shape)} of {result.dtype}"
            raise ConfigError(f"{name} returned {kind} at lead time {lead + 1}; it must return {expected}")


def tensor_of(result: object, name: str, lead: int) -> Tensor:
    """Return what a function of a user's returned as a tensor. Raises ConfigError for what is none."""
    try:
        return torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(result).__name__
        raise ConfigError(f"{name} returned {kind} at lead time {lead + 1}; it must return a tensor (m, ...)") from error
