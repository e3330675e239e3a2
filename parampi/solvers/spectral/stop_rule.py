"""The stop rule of spectral sweeps: points are frozen by an error estimate from the residuals that earlier sweeps left.

A sweep changes the state of point p by `delta`. The error of its linear model leaves a residual `v = F(x_new) - x_new` at the
points that steps make of it, which the next sweep measures. For denoisers whose slope and model are between 0 and 1 it is at
most `reach = sum_l |denoised_weight[i,l]| |delta[i-l]|`; the share of this worst case that comes true,

    q[i] = |v[i]| / reach[i] of the sweep before,

changes slowly from sweep to sweep and from point to point. If point p is frozen, all steps that read it are wrong by the same
share of the worst case, with the largest q of the point and its neighbours. A share that was measured once or twice proves
little: it counts as `UNTRIED` of the worst case at least, and less with every further sweep. The linear model's own
sensitivities `P[j] = |dx_N / dx_j|`, the largest of all shells of modes, carry this to the last point:

    |x_N - serial x_N|  ~  | sum_p q[p] sum_l P[p+l+1] |denoised_weight[p+l,l]| |delta_s[p]| |,     norm over the shells s.

How the sum is taken is said in `ErrorAccumulator`. It is relative to the norm of the member's own field, as the denoised field
of the window's last point has it, whose uncertainty is the posterior variance of the model.

A point is accepted where `safety` times the estimate is within the share of the tolerance up to it. The tolerance is spent
along the chain in proportion to the error that typical changes of the points would make. The rule estimates; it is no bound.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parampi.samplers import StepMap
from parampi.solvers.share_rule.acceptance import Acceptance, field_sizes
from parampi.solvers.share_rule.error_accumulator import over_shells
from parampi.solvers.share_rule.shares import LEAST, MOST, TRIED, UNTRIED, nearest, with_neighbours
from parampi.solvers.spectral.sensitivity import TINY, Sensitivity, lagged
from parampi.solvers.stop_rules import RoundMeasures, RuleState, Verdict

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
KEPT = 0.7
"""Share of an inherited variance that a round keeps."""
FARTHEST = 1e4
"""Largest factor between a variance that is inherited and the model's."""
SMALLEST = 1e-3
"""Least size of a field that is assumed, relative to a typical one."""
LARGEST = 4.0
"""Largest one: fields of sweeps that do not converge yet may be far too large."""
ROUNDING = 1e-14


@dataclass
class SpectralStopRule:
    """Rule that accepts points while the estimated error is within the share of the tolerance up to them.

    Stop statistics of a round: per band of shells, squares of changes and of residuals, and the ratios of the learned responses
    to the model's, negative where they are inherited; then squares of the denoised fields, (3 S + 1, n, m) for S bands,
    which are called shells below: where there are few, each is a band (`Bands`).

    sensitivity   of the chain
    variance      (S,) of the model
    uncertain     (N,) posterior variance of a whole field at each point
    spent         (N + 1,) share of the tolerance that typical changes up to each point would take, if they were summed
    typical       norm of a typical field
    acceptance    of points, with what was lost already; None before the first round
    reached       (N, m, S) reach of the last sweep
    sweeps        (N, m) sweeps that each point has been in
    inherited     (m, S) variances that points which enter inherit, relative to the model's; 0 where none is known
    """

    sensitivity: Sensitivity
    variance: Floats
    uncertain: Floats
    spent: Floats
    typical: float
    tolerance: float
    safety: float
    independent: bool
    acceptance: Acceptance | None = None
    reached: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    sweeps: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    inherited: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def of(
        cls, step_map: StepMap, variance: Tensor, freedom: Tensor, *, size: float, tolerance: float, safety: float
    ) -> "SpectralStopRule":
        """Return the rule for shells of these variances and degrees of freedom, both (S,) float64; `size` is the norm of a
        typical field."""
        squares, variance, freedom = step_map.sigmas[:-1] ** 2, variance.cpu(), freedom.cpu()
        positive = variance.clamp(min=1e-300)[:, None]
        responses = positive / (positive + squares)
        sensitivity = Sensitivity.of(step_map, responses)
        # the denoised field is uncertain by the posterior variance, c s^2 / (c + s^2)
        posterior = responses * squares
        spread = lagged(posterior, step_map.taps).transpose(0, 1) * (step_map.denoised_weight.abs()[:, None] ** 2)
        typical = np.sqrt((sensitivity.passed[1:] ** 2 * spread.sum(2).numpy() * freedom.numpy()).sum(1))
        length = np.concatenate([[0.0], typical.cumsum()])
        return cls(
            sensitivity=sensitivity,
            variance=variance.numpy(),
            uncertain=(posterior * freedom[:, None]).sum(0).numpy(),
            spent=length / max(length[-1], 1e-300),
            typical=size,
            tolerance=tolerance,
            safety=safety,
            independent=step_map.stochastic,
        )

    @property
    def shells(self) -> int:
        return int(self.sensitivity.passed.shape[1])

    def state(self) -> RuleState:
        if self.acceptance is None:
            return {}
        reached = np.moveaxis(self.reached, 1, 0)
        return {**self.acceptance.state(), "inherited": self.inherited, "reached": reached, "sweeps": self.sweeps.T}

    def load(self, state: RuleState) -> None:
        if self.acceptance is None:
            raise TypeError("begin before loading")
        self.acceptance.load(state)
        self.reached, self.sweeps = np.moveaxis(state["reached"], 0, 1).copy(), state["sweeps"].T.copy()
        self.inherited = state["inherited"].copy()

    def begin(self, members: int, longest: int) -> None:
        """Begin the accumulators of members whose windows are at most `longest` points."""
        steps = self.sensitivity.steps
        self.acceptance = Acceptance.of(
            self.spent,
            self.sensitivity.denoised_weight,
            members=members,
            shells=self.shells,
            stretch=longest if self.independent else steps,
            tolerance=self.tolerance,
            safety=self.safety,
        )
        self.reached = np.full((steps, members, self.shells), np.nan)
        self.sweeps = np.zeros((steps, members))
        self.inherited = np.zeros((members, self.shells))

    def judge(self, measured: RoundMeasures) -> Verdict:
        """Return the verdict on a round. The first point swept is always accepted, so that no run takes more rounds than
        steps: with samplers of one tap it is exact, as it comes from a frozen one."""
        if measured.stop_statistics is None:
            raise TypeError("the spectral stop rule judges by each shell's changes and residuals")
        first, lengths = measured.first, measured.lengths
        if self.acceptance is None:
            self.begin(len(first), int(lengths.max()))
        assert self.acceptance is not None
        points = len(measured.changes)
        inside = np.arange(points)[:, None] < lengths
        steps = np.minimum(first + np.arange(points)[:, None], self.sensitivity.steps - 1)
        size = self.sizes(measured.stop_statistics[-1], first, lengths)
        statistics, disturbed = measured.stop_statistics[:-1], measured.disturbed
        lost = self.losses(statistics, size, first, inside=inside, steps=steps, disturbed=disturbed, lag=measured.lag)
        slides = self.acceptance.accept(
            lost, size, first, steps=steps, inside=inside, waits=measured.waits, behind=measured.behind, early=measured.early
        )
        self.inherit(measured.stop_statistics[2 * self.shells : 3 * self.shells], steps, inside)
        after = self.acceptance.estimate(size, slides, measured.error_estimate)
        return Verdict(slides, after, self.inherited, self.acceptance.bistability.points())

    def losses(
        self,
        statistics: Floats,
        size: Floats,
        first: Integers,
        *,
        inside: NDArray[np.bool_],
        steps: Integers,
        disturbed: NDArray[np.bool_] | None,
        lag: Floats | None,
    ) -> Floats:
        """Return the errors (n, m, S) at the last point that the points of windows leave if they are frozen, relative to the
        sizes (m,). What the network reads has changed in this sweep too, `lag` (m,) times as much as in the one before. Of what
        the residuals show, one part shrinks as the sweeps' changes do, the other as these: the larger one counts for both."""
        points, members = inside.shape
        delta, residual, ratio = np.moveaxis(statistics.reshape(3, self.shells, points, members), 1, 3)
        delta, residual = np.sqrt(delta), np.sqrt(residual)
        columns, chain = np.arange(members), self.sensitivity
        before, growth = self.reached[steps, columns], np.abs(chain.passed[steps + 1]).max(2, keepdims=True)
        bent = np.where(np.isnan(before).any(2), 0.0, self.share(residual, before, growth, inside))
        straight, learned = chain.learned_twice(first, inside, ratio, bent)
        share = np.maximum(self.share(residual, before, learned[1 : points + 1], inside), self.untried(steps, inside))
        self.reached[steps[inside], np.broadcast_to(columns, inside.shape)[inside]] = chain.reach(steps, delta)[inside]
        assert self.acceptance is not None
        effects = np.sqrt(over_shells((chain.carried(steps, delta, straight) / size[:, None]) ** 2))
        shown = self.measured(residual, before, 1.0, inside)
        self.acceptance.bistability.observe(*shown, effects, steps=steps, inside=inside, disturbed=disturbed)
        worst = chain.carried(steps, delta, learned) / size[:, None]
        lost: Floats = (np.clip(share, LEAST, MOST) * inside)[..., None] * worst
        if lag is not None:
            lost = np.maximum(lost, lag[:, None] * chain.shown(steps, residual * inside[..., None], learned) / size[:, None])
        return lost

    def inherit(self, ratios: Floats, steps: Integers, inside: NDArray[np.bool_]) -> None:
        """Let points that enter inherit the variance which the last point that has measured one shows; ratios (S, n, m)."""
        shown, measured = self.sensitivity.variances(steps, inside, np.moveaxis(ratios, 0, 2))
        places = np.where(measured, np.arange(len(inside))[:, None, None], -1).max(0)
        last = np.take_along_axis(shown, np.maximum(places, 0)[None], axis=0)[0]
        factor = np.clip(last / np.maximum(self.variance, TINY), 1 / FARTHEST, FARTHEST)
        kept = np.where(self.inherited == 0, 0.0, KEPT)
        self.inherited = np.where(places >= 0, kept * self.inherited + (1 - kept) * factor, self.inherited)

    def untried(self, steps: Integers, inside: NDArray[np.bool_]) -> Floats:
        """Return the least shares (n, m) to assume of points, and count their sweep."""
        columns = np.arange(inside.shape[1])
        least: Floats = UNTRIED * TRIED ** np.maximum(self.sweeps[steps, columns] - 1, 0)
        self.sweeps[steps[inside], np.broadcast_to(columns, inside.shape)[inside]] += 1
        return least

    def sizes(self, denoised: Floats, first: Integers, lengths: Integers) -> Floats:
        """Return the norms (m,) of the members' fields, from squares (n, m) of the denoised fields."""
        size = field_sizes(denoised, self.uncertain, first, lengths)
        return np.clip(size, SMALLEST * self.typical, LARGEST * self.typical)

    def share(self, residual: Floats, before: Floats, passed: Floats, inside: NDArray[np.bool_]) -> Floats:
        """Return the largest share (n, m) of the worst case that came true, of each point and its neighbours."""
        return with_neighbours(nearest(*self.measured(residual, before, passed, inside), 1.0))

    def measured(
        self, residual: Floats, before: Floats, passed: Floats | float, inside: NDArray[np.bool_]
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the shares (n, m) of the worst case that came true, weighted over shells, and where they are known."""
        came, could = (np.sqrt(over_shells((passed * numbers) ** 2)) for numbers in (residual, before))
        known = inside & (could > ROUNDING * self.typical)
        known[:1] = False
        return np.where(known, came / np.where(known, could, 1.0), 1.0), known
