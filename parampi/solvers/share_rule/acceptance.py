"""The acceptance of windows' first points: what was lost already, and what freezing more would lose."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parampi.solvers.share_rule.bistability import Bistability
from parampi.solvers.share_rule.error_accumulator import DEPENDENT, ErrorAccumulator, spent_in_stretches
from parampi.solvers.stop_rules import RuleState

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass
class Acceptance:
    """Acceptance of points while `safety` times the estimated error is within the share of the tolerance up to them. What
    members lose that may stand between two outcomes counts more.

    budget       (N + 1,) largest error allowed up to each point
    accumulator  error at the last point that frozen points leave
    bistability  what sweeps have shown of it
    """

    budget: Floats
    safety: float
    accumulator: ErrorAccumulator
    bistability: Bistability

    @classmethod
    def of(
        cls,
        spent: Floats,
        weights: Floats,
        *,
        members: int,
        shells: int,
        stretch: int,
        tolerance: float,
        safety: float,
        dependent: float = DEPENDENT,
    ) -> "Acceptance":
        """Return the acceptance of members that have not begun, for shares (N + 1,) of the tolerance spent up to each point if
        errors were summed, and weights (N, K) of the denoised fields in the steps."""
        return cls(
            budget=tolerance * spent_in_stretches(spent, stretch, dependent),
            safety=safety,
            accumulator=ErrorAccumulator.empty(members, shells, stretch, dependent),
            bistability=Bistability.of(weights, tolerance, members),
        )

    def state(self) -> RuleState:
        return {**self.accumulator.state(), **self.bistability.state()}

    def load(self, state: RuleState) -> None:
        self.accumulator.load(state)
        self.bistability.load(state)

    def accept(
        self,
        lost: Floats,
        size: Floats,
        first: Integers,
        *,
        steps: Integers,
        inside: NDArray[np.bool_],
        waits: NDArray[np.bool_] | None = None,
        behind: Integers | None = None,
        early: Floats | float = 1.0,
    ) -> Integers:
        """Return by how many points (m,) windows slide, and count what these leave: errors (n, m, S) relative to sizes (m,).
        The first point swept is always accepted, but for members that wait (m,). Of these, only those slide that are `behind`
        (m,) one whose last point is accepted. Where a window has the last point and it is not accepted, points before it spend
        no more than `early` of their shares: they save evaluations, not rounds."""
        waits = np.zeros(len(first), np.bool_) if waits is None else waits
        spent = self.accumulator.total()
        more = self.bistability.caution() * (self.accumulator.after(lost, first) - spent)
        within = inside & (self.safety * (spent + more) <= np.maximum(self.budget[steps + 1], self.safety * spent))
        last = inside & (steps == len(self.budget) - 2)
        if np.less(early, 1).any():
            reserved = last.any(0) & ~(within & last).any(0)
            within &= ~reserved | (
                self.safety * (spent + more) <= np.maximum(early * self.budget[steps + 1], self.safety * spent)
            )
        within[:1] |= inside[:1] & ~waits
        slides: Integers = np.cumprod(within, axis=0).sum(0).astype(np.int64)
        if waits.any():
            slides[~goes_on(waits, behind, (first + slides == len(self.budget) - 1) & (slides > 0))] = 0
        self.accumulator.enter(lost, size, first, slides)
        return slides

    def estimate(self, size: Floats, slides: Integers, before: Floats) -> Floats:
        """Return the members' estimated errors (m,), relative to sizes (m,); those `before` where nothing was accepted."""
        estimate: Floats = np.where(slides > 0, self.accumulator.relative_to(size), before)
        return estimate


def goes_on(waits: NDArray[np.bool_], behind: Integers | None, ends: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which members (m,) wait for nobody any more, where those that have come to their `ends` let the one go on that is
    `behind` them, one after another."""
    going = ~waits
    if behind is None:
        return going
    while True:
        more = going | ((behind >= 0) & (ends & going)[behind])
        if (more == going).all():
            return going
        going = more


def field_sizes(denoised: Floats, uncertain: Floats, first: Integers, lengths: Integers) -> Floats:
    """Return the norms (m,) of the members' fields, from squares (n, m) of the denoised fields at windows' points and what is
    uncertain of them (N,) at each point: as the windows' last points have them."""
    last = np.maximum(lengths - 1, 0)
    steps = np.minimum(first + last, len(uncertain) - 1)
    sizes: Floats = np.sqrt(np.maximum(denoised[last, np.arange(len(first))], 0.0) + uncertain[steps])
    return sizes
