"""How far windows reach along the chain of a member, from their frozen point on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parampi.engine.options import EngineOptions
from parampi.errors import ConfigError
from parampi.samplers import Equations
from parampi.solvers import Solver

Integers = NDArray[np.int64]
FLIGHT = 2
"""Lead times in flight where neither they nor a window are given: two take half the rounds for no more evaluations."""


@dataclass(frozen=True)
class WindowReach:
    """Reach of the windows over a chain of lead times.

    size    most points of a window, were the chain long enough
    steps   of one lead time, and of the whole `chain`
    flight  most lead times that a window has points of; None for no limit
    ends    of the blocks of a lead time, beyond which no window reaches; None where there are none
    """

    size: int
    steps: int
    chain: int
    flight: int | None = None
    ends: Integers | None = None

    @classmethod
    def over(cls, equations: Equations, solver: Solver, options: EngineOptions, count: int | None) -> "WindowReach":
        """Return the reach of a solver's windows over so many lead times, None where there is no roll-out. Raises ConfigError
        for a flight of no lead time."""
        requested, flight, steps = options.window, options.flight, equations.steps
        chain, ends = steps * (count or 1), solver.ends(requested, equations)
        if flight is not None and flight < 1:
            raise ConfigError(f"flight = {flight} has no lead times; give at least 1, or leave it out")
        size = solver.window(requested, equations)
        if count is None or solver.wavefront or not equations.causal or ends is not None:
            return cls(size, steps, chain, 1, None if ends is None else ends.numpy())
        if size == min(requested or steps, steps):  # else the solver has its own size, such as one point
            size = requested or steps * (flight or FLIGHT)
        return cls(size, steps, chain, flight)

    @property
    def points(self) -> int:
        """Most points of a window."""
        return min(self.size, self.chain)

    @property
    def leads(self) -> int:
        """Most lead times that a window has points of."""
        most = min(-(-(self.points - 1) // self.steps) + 1, self.chain // self.steps)
        return most if self.flight is None else min(most, self.flight)

    def stays(self, first: Integers) -> NDArray[np.bool_]:
        """Return which windows (m,) that begin at `first` reach no farther when they slide, until the lead time ends: where
        `flight` holds them. The chain's end does not count, so that a lead time is the same however many follow."""
        if self.flight is None:
            return np.zeros(len(first), np.bool_)
        stays: NDArray[np.bool_] = first + self.size >= (first // self.steps + self.flight) * self.steps
        return stays

    def lengths(self, first: Integers) -> Integers:
        """Return how many points (m,) windows sweep that begin at `first`; none at the chain's end."""
        room = np.minimum(self.size, self.chain - first)
        lead, place = np.divmod(first, self.steps)
        if self.flight is not None:
            room = np.minimum(room, (lead + self.flight) * self.steps - first)
        if self.ends is not None:
            following = np.minimum(np.searchsorted(self.ends, place, side="right"), len(self.ends) - 1)
            room = np.minimum(room, self.ends[following] - place)
        return room
