"""The error that frozen points leave, summed over a chain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
DEPENDENT = 0.03
"""Usual share of errors of a stochastic sampler that adds up as if all had one sign."""


@dataclass
class ErrorAccumulator:
    """Accumulated error of frozen points, per shell: summed within stretches of `stretch` points, in squares over stretches.

    New noise makes errors of different stretches nearly independent. What they have in common, because the same part of the
    data makes them, adds up as it is: `total = dependent sum + (1 - dependent) root of the sum of squares`.

    Errors are relative to what the size of the field seemed to be when they were made.

    closed    (m, S) squares of former stretches
    current   (m, S) sum of the current stretch
    number    (m,) of the current stretch
    plain     (m,) sum over all points
    absolute  (m,) the same of errors that are not relative
    dependent  share of the errors that adds up as it is
    """

    stretch: int
    closed: Floats
    current: Floats
    number: Integers
    plain: Floats
    absolute: Floats
    dependent: float = DEPENDENT

    @classmethod
    def empty(cls, members: int, shells: int, stretch: int, dependent: float = DEPENDENT) -> "ErrorAccumulator":
        nothing = np.zeros((members, shells))
        number, zeros = np.zeros(members, np.int64), np.zeros(members)
        return cls(stretch, nothing, nothing.copy(), number, zeros, zeros.copy(), dependent)

    def state(self) -> dict[str, Floats]:
        numbers = {"closed": self.closed, "current": self.current, "plain": self.plain, "absolute": self.absolute}
        return {**numbers, "stretch_number": self.number.astype(np.float64)}

    def load(self, state: dict[str, Floats]) -> None:
        self.closed, self.current = state["closed"], state["current"]
        self.plain, self.absolute = state["plain"], state["absolute"]
        self.number = state["stretch_number"].astype(np.int64)

    def parts(self, lost: Floats, first: Integers) -> tuple[Floats, Floats]:
        """Return the sums (n, m, S) of errors (n, m, S) up to each point, those in the current stretch and those in the next.
        Windows are no longer than a stretch, and so reach into one more at most."""
        own = ((first + np.arange(len(lost))[:, None]) // self.stretch == self.number)[..., None]
        current, following = np.where(own, lost, 0.0), np.where(own, 0.0, lost)
        return self.current + np.cumsum(current, axis=0), np.cumsum(following, axis=0)

    def after(self, lost: Floats, first: Integers) -> Floats:
        """Return the norms (n, m) of the whole error if points up to each are frozen."""
        current, following = self.parts(lost, first)
        squares = np.sqrt(over_shells(self.closed + current**2 + following**2))
        plain = self.plain + np.cumsum(np.sqrt(over_shells(lost**2)), axis=0)
        total: Floats = self.dependent * plain + (1 - self.dependent) * squares
        return total

    def total(self) -> Floats:
        """Return the norms (m,) of the whole error so far."""
        squares = np.sqrt(over_shells((self.closed + self.current**2)[None])[0])
        total: Floats = self.dependent * self.plain + (1 - self.dependent) * squares
        return total

    def relative_to(self, size: Floats) -> Floats:
        """Return the norms (m,) of the whole error so far, relative to the size (m,) that fields have in the end."""
        later = np.where(self.plain > 0, self.absolute / np.where(self.plain > 0, self.plain * size, 1.0), 1.0)
        relative: Floats = self.total() * later
        return relative

    def enter(self, lost: Floats, size: Floats, first: Integers, slides: Integers) -> None:
        """Add the errors of the points (m,) that are frozen, of windows that began at `first`, relative to sizes (m,)."""
        current, following = self.parts(lost, first)
        plain = np.cumsum(np.sqrt(over_shells(lost**2)), axis=0)
        for m in np.flatnonzero(slides):
            last, number = slides[m] - 1, (first[m] + slides[m]) // self.stretch
            self.current[m] = current[last, m]
            self.plain[m] += plain[last, m]
            self.absolute[m] += plain[last, m] * size[m]
            if number != self.number[m]:
                self.closed[m] += self.current[m] ** 2
                self.current[m], self.number[m] = following[last, m], number


def over_shells(numbers: Floats) -> Floats:
    """Return sums (n, m) of (n, m, S), one shell after another: `sum` chooses its order by the shape and layout of memory."""
    total: Floats = np.cumsum(numbers, axis=2)[..., -1]
    return total


def spent_in_stretches(spent: Floats, stretch: int, dependent: float = DEPENDENT) -> Floats:
    """Return shares (N + 1,) of the whole that are spent up to each point, added as an `ErrorAccumulator` adds."""
    squares, begin, total = np.zeros_like(spent), 0, 0.0
    while begin < len(spent) - 1:
        end = min(begin + stretch, len(spent) - 1)
        parts = (spent[begin : end + 1] - spent[begin]) ** 2
        squares[begin : end + 1] = total + parts
        begin, total = end, total + parts[-1]
    both = dependent * spent + (1 - dependent) * np.sqrt(squares)
    shares: Floats = both / max(float(both[-1]), 1e-300)
    return shares
