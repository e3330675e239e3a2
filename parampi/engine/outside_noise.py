"""Starts and noise that come from outside, for comparisons with samplers that draw their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parampi.errors import ConfigError

StartStates = Callable[[list[int]], Tensor]
"""Returns the states x (m, *shape) at the first point, of m members by their numbers: in EDM coordinates, x = x0 + sigma n."""
NoiseFunction = Callable[[int, int], Tensor]
"""`noise(member, point)` returns the standard normals (*shape) of a member at a point: 0 is the start, i + 1 the noise of
step i. The same for the same arguments, on every rank."""
LeadNoiseFunction = Callable[[int, int, int], Tensor]
"""`noise(member, lead, point)` returns the same at a lead time 0, 1, ... of a roll-out."""


@dataclass(frozen=True)
class OutsideNoise:
    """Starts and noise of a user's; None for parampi's own."""

    start: StartStates | None = None
    noise: Callable[..., Tensor] | None = None

    @classmethod
    def of(cls, start: Any, noise: Any, members: list[int]) -> "OutsideNoise":
        """Return those that `sample` was given. Raises ConfigError for what are none."""
        for name, value in (("start", start), ("noise", noise)):
            if value is not None and not callable(value) and not (name == "start" and isinstance(value, Tensor)):
                states = "states (m, *shape), or " if name == "start" else ""
                raise ConfigError(f"{name} = {value!r} cannot be called; give {states}a function, or leave it out")
        if isinstance(start, Tensor):
            if len(start) != len(members):
                raise ConfigError(f"start has {len(start)} states for {len(members)} members; give one for each")
            rows = dict(zip(members, start, strict=True))
            return cls(lambda numbers: torch.stack([rows[number] for number in numbers]), noise)
        return cls(start, noise)

    def at(self, lead: int) -> "OutsideNoise":
        """Return those of one lead time of a roll-out."""
        noise = self.noise
        return self if noise is None else OutsideNoise(self.start, lambda member, point: noise(member, lead, point))

    def starts(self, members: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return x (k, *shape) at the first point of members (k,). Raises ConfigError for another shape."""
        assert self.start is not None
        made = self.start(members.tolist())
        self.require("start", made, (len(members), *shape), "the states x0 + sigma n at the first noise level")
        return made

    def normals(self, *places: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return standard normals (k, *shape) at places: members, lead times in a roll-out, and points, all (k,). Raises
        ConfigError for another shape."""
        assert self.noise is not None
        rows = [self.noise(*place) for place in zip(*(one.tolist() for one in places), strict=True)]
        for row in rows:
            self.require("noise", row, shape, "standard normals of one member at one point")
        return torch.stack(rows)

    def require(self, name: str, made: Any, shape: tuple[int, ...], meaning: str) -> None:
        if not isinstance(made, Tensor) or tuple(made.shape) != shape or not made.is_floating_point():
            kind = f"{made.dtype} of shape {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise ConfigError(f"{name} gave {kind}; it must give {meaning}, real numbers {shape}")
