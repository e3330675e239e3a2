"""Lead times in a row: what the network reads at each, and how a drawn field makes the next state."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from parampi.errors import ConfigError

ConditionOfStates = Callable[[Tensor, int, list[int]], Tensor]
"""`condition(states, lead, numbers)` returns the conditions (m, ...) at a lead time, of the states (m, *state) before it, or
(m, h, *state) of h > 1 lead times, the newest last, of members by their numbers."""
UpdateOfState = Callable[[Tensor, Tensor, int, list[int]], Tensor]
"""`update(state, drawn, lead, numbers)` returns the states (m, *state) after a lead time, of those before it and of the drawn
fields (m, *shape)."""


@dataclass(frozen=True)
class LeadTimes:
    """The lead times of a roll-out, whose points make one chain per member. At lead time l the network reads

        condition([s[l-h], ..., s[l-1]], l, numbers),        s[l] = update(s[l-1], drawn[l], l, numbers).

    count      how many
    start      (m, h, *state) the states before the first, the newest last
    condition  None for the state before
    update     None where the drawn field is the state
    """

    count: int
    start: Tensor
    condition: ConditionOfStates | None = None
    update: UpdateOfState | None = None

    @property
    def history(self) -> int:
        return int(self.start.shape[1])

    def conditions(self, states: Tensor, lead: int, numbers: list[int]) -> Tensor:
        """Return the conditions (m, ...) of states (m, h, *state) before a lead time. Raises ConfigError unless there is one
        for each member."""
        given = states[:, 0] if self.history == 1 else states
        if self.condition is None:
            return given
        conditions = torch.as_tensor(self.condition(given, lead, numbers), device=states.device)
        self.require(len(conditions) == len(numbers), "condition", conditions, lead, f"one for each of {len(numbers)} members")
        return conditions

    def after(self, states: Tensor, drawn: Tensor, lead: int, numbers: list[int]) -> Tensor:
        """Return the states (m, h, *state) after a lead time, of those before it and of the drawn fields (m, *shape)."""
        new = drawn if self.update is None else torch.as_tensor(self.update(states[:, -1], drawn, lead, numbers))
        shape = tuple(states[:, -1].shape)
        self.require(tuple(new.shape) == shape, "update", new, lead, f"{shape}, the shape of the states before")
        return torch.cat([states[:, 1:], new.to(states)[:, None]], dim=1)

    def require(self, fits: bool, name: str, result: Tensor, lead: int, expected: str) -> None:
        """Raise ConfigError for a function's result that does not fit."""
        if not fits:
            raise ConfigError(f"{name} returned shape {tuple(result.shape)} at lead time {lead + 1}; it must return {expected}")
