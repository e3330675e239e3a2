"""The stop rule of sweeps with one number per step: points are frozen by the share of the worst case that came true.

`StopRule` says what the error of the end is at most if points are frozen, for log-concave data: `sum_p weight[p] |delta_p|`.
Most data are far from the worst case, and some are beyond it. How far is seen in the next sweep. What the steps lacked is a
residual `v = F(x_new) - x_new` at the points that they make, and the worst case of it is

    reach[i] = sum_l reach[i,l] |delta[i-l]| + loss[i],        q[i] = |v[i]| / reach[i]

with `q` the share that came true. It changes slowly from sweep to sweep and from point to point. So if point p is frozen, its
part of the worst case counts with the largest q of the point and its neighbours. A share that was never measured, or once or
twice, proves little: it counts as `UNTRIED` at least, and less with every further sweep.

How the errors of points add up is said in `ErrorAccumulator`. The sum is relative to the norm of the member's own field, as the
denoised field of the window's last point has it, whose uncertainty is the posterior variance of Gaussian data.

A point is accepted where `SAFETY` times the estimate is within the share of the tolerance up to it, which grows as in
`StopRule`. Losses of members that may stand between two outcomes count more (`Bistability`). The rule estimates; it is no
bound.

Where new states are not those of the linear model, as after mixing, the residual is what is left of two vectors, `v = e - m`: e
is what the linear model has left, and m, of norm loss, by how much states were moved to cancel it. Where they cancel, q is
small. It shows nothing of a sweep in which they cannot cancel, as one is longer than the other by

    | q_e sum_l reach[i,l] |delta[i-l]| - loss[i] |,       q_e = sqrt(|v|^2 + |m|^2) / (the same sum of the sweep before),

as if v and m were orthogonal. The step lacks this at least.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.samplers import Equations, StepMap
from parampi.solvers.share_rule.acceptance import Acceptance, field_sizes
from parampi.solvers.share_rule.shares import LEAST, MOST, TRIED, UNTRIED, nearest, with_neighbours
from parampi.solvers.stop_rules import RoundMeasures, Rule, RuleState, StopRule, Verdict, readers, worst_slopes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SAFETY = 4.0
"""Factor of the estimated error. With `UNTRIED` it makes the worst case of what was never measured."""
DEPENDENT = 0.2
"""Share of errors of a stochastic sampler that adds up as if all had one sign."""
SMALLEST = 1e-3
"""Least size of a field that is assumed, relative to a typical one."""
LARGEST = 2.0
"""Largest size that is assumed: fields of sweeps that do not converge yet may be far too large."""
ROUNDING = 1e-14


@dataclass
class ShareRule:
    """Rule that accepts points while the estimated error is within the share of the tolerance up to them.

    Stop statistics of a round: mean squares of residuals and of denoised fields, (2, n, m). All numbers below are relative to
    sigma_data.

    worst        the rule of the worst case
    reach        (N, K) turns relative changes of the points that a step reads into the worst case of its residual
    made         (N,) typical size of the point that a step makes
    uncertain    (N,) posterior variance of a field at each point
    sigma_data   root mean square of a typical field
    weights      (N, K) of the denoised fields in the steps
    shown        (N,) turns a residual into the error at the last point, if a change of the step's own denoised field has made
                 it, which later steps read too
    independent  whether new noise makes errors that are a window apart nearly independent
    acceptance   of points, with what was lost already; None before the first round
    reached      (N, m) worst case of the last sweep, 0 where there was none
    moved        (N, m) what of it is due to states that are not the linear model's
    sweeps       (N, m) sweeps that each point has been in
    """

    worst: StopRule
    reach: Floats
    made: Floats
    uncertain: Floats
    sigma_data: float
    weights: Floats
    shown: Floats
    independent: bool
    acceptance: Acceptance | None = None
    reached: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    moved: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    sweeps: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def of(cls, step_map: StepMap, slopes: Tensor, sigma_data: float, tolerance: float) -> "ShareRule":
        """Return the rule for a linear model with these slopes A (N, K)."""
        squares = (step_map.sigmas / sigma_data) ** 2
        scale, reach = (1 + squares).sqrt(), worst_slopes(step_map, slopes)
        for tap in range(min(step_map.taps, step_map.steps)):
            reach[tap:, tap] *= scale[: step_map.steps - tap]
        worst = StopRule.of(step_map, slopes, sigma_data, tolerance)
        return cls(
            worst=worst,
            reach=reach.numpy(),
            made=scale[1:].numpy(),
            shown=shown_by_residuals(step_map, worst.passed / scale[1:].numpy()),
            uncertain=(squares / (1 + squares))[:-1].numpy(),
            sigma_data=sigma_data,
            weights=step_map.denoised_weight.numpy(),
            independent=step_map.stochastic,
        )

    @property
    def steps(self) -> int:
        return len(self.reach)

    def state(self) -> RuleState:
        if self.acceptance is None:
            return {}
        return {**self.acceptance.state(), "reached": self.reached.T, "moved": self.moved.T, "sweeps": self.sweeps.T}

    def load(self, state: RuleState) -> None:
        if self.acceptance is None:
            raise TypeError("begin before loading")
        self.acceptance.load(state)
        self.reached, self.moved, self.sweeps = (state[name].T.copy() for name in ("reached", "moved", "sweeps"))

    def begin(self, members: int, longest: int) -> None:
        """Begin the accumulators of members whose windows are at most `longest` points."""
        tolerance = self.worst.budget[-1]
        self.acceptance = Acceptance.of(
            self.worst.budget / tolerance,
            self.weights,
            members=members,
            shells=1,
            stretch=longest if self.independent else self.steps,
            tolerance=tolerance,
            safety=SAFETY,
            dependent=DEPENDENT,
        )
        self.reached, self.moved, self.sweeps = (np.zeros((self.steps, members)) for _ in range(3))

    def judge(self, measured: RoundMeasures) -> Verdict:
        """Return the verdict on a round. The first point swept is always accepted, so that no run takes more rounds than
        steps: it comes from a frozen one."""
        if measured.stop_statistics is None:
            raise TypeError("the rule judges by residuals and denoised fields, which the iteration measures")
        first, lengths = measured.first, measured.lengths
        if self.acceptance is None:
            self.begin(len(first), int(lengths.max()))
        assert self.acceptance is not None
        position = np.arange(len(measured.changes))[:, None]
        inside, steps = position < lengths, np.minimum(first + position, self.steps - 1)
        residual, denoised = measured.stop_statistics / self.sigma_data**2
        size = self.sizes(denoised, first, lengths)
        lost = self.losses(measured, np.sqrt(residual), size, inside=inside, steps=steps)[..., None]
        slides = self.acceptance.accept(
            lost, size, first, steps=steps, inside=inside, waits=measured.waits, behind=measured.behind, early=measured.early
        )
        after = self.acceptance.estimate(size, slides, measured.error_estimate)
        return Verdict(slides, after, bistable=self.acceptance.bistability.points())

    def losses(
        self, measured: RoundMeasures, residual: Floats, size: Floats, *, inside: NDArray[np.bool_], steps: Integers
    ) -> Floats:
        """Return the errors (n, m) at the last point that the points of windows leave if they are frozen, relative to the sizes
        (m,)."""
        changes, losses = np.where(inside, measured.changes, 0.0), np.where(inside, measured.losses, 0.0)
        rows, columns = steps[inside], np.broadcast_to(np.arange(inside.shape[1]), inside.shape)[inside]
        reached, moved, sweeps = (np.zeros_like(changes) for _ in range(3))
        for before, kept in ((reached, self.reached), (moved, self.moved), (sweeps, self.sweeps)):
            before[inside] = kept[rows, columns]
        known = reached > ROUNDING
        grown = known & (np.arange(len(known))[:, None] > 0)
        # the step from the frozen point is no neighbour but of the last point that is left, which has no other one
        known[:1] &= measured.lengths <= 2
        shares = np.where(known, residual / np.where(known, reached, 1.0), UNTRIED)
        least = UNTRIED * TRIED ** np.maximum(sweeps - 1, 0)
        share = np.maximum(with_neighbours(nearest(shares, known, UNTRIED)), least)
        self.moved[rows, columns] = (self.made[steps] * losses)[inside]
        self.reached[rows, columns] = self.reaches(changes, losses, steps)[inside]
        self.sweeps[rows, columns] += 1
        linear, mixed = self.worst.weight[steps] * changes / size, self.worst.passed[steps] * losses / size
        assert self.acceptance is not None
        self.acceptance.bistability.observe(
            shares, grown, linear + mixed, steps=steps, inside=inside, disturbed=measured.disturbed
        )
        lost: Floats = np.clip(share, LEAST, MOST) * (linear + mixed)
        if losses.any() or moved.any():
            alone = nearest(linear_shares(residual, reached, moved), known, 0.0)
            lost = np.maximum(lost, np.where(losses + moved > 0, np.abs(alone * linear - mixed), 0.0))
        if measured.lag is not None:
            lost = np.maximum(lost, measured.lag * self.shown[steps] * residual * inside / size)
        return lost

    def reaches(self, changes: Floats, losses: Floats, steps: Integers) -> Floats:
        """Return the worst case (n, m) of the residuals that relative changes and losses (n, m) leave to the next sweep."""
        total: Floats = self.made[steps] * losses
        for tap in range(min(self.reach.shape[1], len(changes))):
            total[tap:] += self.reach[steps[tap:], tap] * changes[: len(changes) - tap]
        return total

    def sizes(self, denoised: Floats, first: Integers, lengths: Integers) -> Floats:
        """Return the norms (m,) of the members' fields, from mean squares (n, m) of the denoised fields."""
        return np.clip(field_sizes(denoised, self.uncertain, first, lengths), SMALLEST, LARGEST)


def linear_shares(residual: Floats, reached: Floats, moved: Floats) -> Floats:
    """Return the shares (n, m) that came true of the linear model's worst case alone, of residuals (n, m) and worst cases in
    all and what of them is due to states that were moved."""
    return np.minimum(np.hypot(residual, moved) / np.maximum(reached - moved, ROUNDING), MOST)


def shown_by_residuals(step_map: StepMap, passed: Floats) -> Floats:
    """Return the errors (N,) at the last point that denoised fields make in all steps that read them, for residuals of 1 of
    their own steps; errors of 1 at the point that a step makes are `passed` (N,) there."""
    weights = step_map.denoised_weight.abs()
    own, all_steps = weights[:, 0].numpy(), readers(weights * torch.from_numpy(passed)[:, None]).numpy()
    shown: Floats = np.where(own > 0, all_steps / np.where(own > 0, own, 1.0), 0.0)
    return shown


def rule_for(equations: Equations, slopes: Tensor, sigma_data: float, tolerance: float) -> Rule:
    """Return the rule for a linear model with these slopes A (N, K); that of the worst case where points have velocities, which
    are not denoised and so tell nothing of the error."""
    kind = ShareRule if bool(equations.evaluated.all()) else StopRule
    return kind.of(equations.step_map, slopes, sigma_data, tolerance)
