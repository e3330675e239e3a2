"""Members that stand between two outcomes: how much their errors may grow, as sweeps have shown it.

For log-concave data the denoiser's slope D' is at most 1, and that is the worst case which rules assume. Between two modes of
the data, D' is up to (distance)^2 / (4 sigma^2). An error then grows from step to step, and a small one decides in which mode
the member ends. Sweeps show it: more than the worst case comes true. A share q > 1 of the worst case means that a step whose
denoised field has the weight w enlarged a change by w (q - 1) more than that,

    growth of the member = product over the steps of the largest 1 + w (q - 1)  that sweeps have shown.

Only small changes count, of which the worst case at the end is at most `SMALL` of the tolerance: larger ones come across places
that the member has nothing to do with in the end. What a member whose errors grow loses from then on counts growth^POWER times,
at most `MOST_CAUTIOUS` times. Where the growth is more than `FLAGGED`, and the tolerance larger than `RESOLVED`, the member is
called bistable: to a smaller tolerance it may have another outcome.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parampi.solvers.stop_rules import RuleState

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SMALL = 0.1
"""Largest worst case of a change, relative to the tolerance, from which growth is learned."""
NOTHING = 1e-3
"""Least one, relative to the largest: what is smaller may be rounding."""
POWER = 5.0
MOST_CAUTIOUS = 30.0
"""Largest factor by which a loss may count more."""
FLAGGED = 0.5
"""Logarithm of a growth above which members are bistable."""
RESOLVED = 1e-3
"""Tolerance at which outcomes are told apart."""


@dataclass
class Bistability:
    """Growth of members' errors, as sweeps have shown it.

    weights    (N,) of the denoised fields in each step
    tolerance  of the members
    growth     (N, m) logarithms of the largest growth that each step has shown
    effects    (N, m) worst cases at the end of the last sweep's changes, relative to the member's norm
    """

    weights: Floats
    tolerance: float
    growth: Floats
    effects: Floats

    @classmethod
    def of(cls, weights: Floats, tolerance: float, members: int) -> "Bistability":
        """Return what is known of members that have not begun, for weights (N, K) of the steps."""
        nothing = np.zeros((len(weights), members))
        return cls(np.abs(weights).sum(1), tolerance, nothing, nothing.copy())

    def state(self) -> RuleState:
        return {"growth": self.growth.T, "effects": self.effects.T}

    def load(self, state: RuleState) -> None:
        self.growth, self.effects = state["growth"].T.copy(), state["effects"].T.copy()

    def observe(
        self,
        shares: Floats,
        known: NDArray[np.bool_],
        effects: Floats,
        *,
        steps: Integers,
        inside: NDArray[np.bool_],
        disturbed: NDArray[np.bool_] | None = None,
    ) -> None:
        """Learn from the shares (n, m) that came true of the worst case, where they are known and members are not `disturbed`
        (m,), and keep the worst cases (n, m) of this sweep's changes for the next one."""
        known = known if disturbed is None else known & ~disturbed
        rows, columns = steps[inside], np.broadcast_to(np.arange(inside.shape[1]), inside.shape)[inside]
        before = self.effects[rows, columns]
        small = (before <= SMALL * self.tolerance) & (before > NOTHING * SMALL * self.tolerance)
        excess = self.weights[rows] * np.maximum(shares[inside] - 1, 0.0)
        shown = np.where(small & known[inside], np.log1p(excess), 0.0)
        self.growth[rows, columns] = np.maximum(self.growth[rows, columns], shown)
        self.effects[rows, columns] = effects[inside]

    def caution(self) -> Floats:
        """Return the factors (m,) by which losses count more."""
        factors: Floats = np.exp(np.minimum(POWER * self.total(), np.log(MOST_CAUTIOUS)))
        return factors

    def total(self) -> Floats:
        """Return the logarithms of the growth (m,) along members' chains, added one step after another."""
        total: Floats = np.cumsum(self.growth, axis=0)[-1]
        return total

    def points(self) -> Integers:
        """Return for each member (m,) the point at which it stood between two outcomes, -1 where it did not."""
        bistable = (self.total() > FLAGGED) & (self.tolerance > RESOLVED)
        return np.where(bistable, self.growth.argmax(axis=0), -1)
