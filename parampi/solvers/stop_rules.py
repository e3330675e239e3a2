"""Stop rules: the verdict that freezes points, and the estimate of the error that frozen points leave.

Where the state of a point p changes by `delta = x_new - x_old`, the linear model changes step i = p + l by A[i,l] delta. The
true change is J delta with `J = state[i,l] + denoised_weight[i,l] D'`; `D' = dD/dx` is the denoiser's slope, the posterior
covariance of the data over sigma^2. For log-concave data D' and its model lie between 0 and 1, so that the error of the step is
at most reach[i,l] |delta|,

    reach = max(|denoised_weight|, |state - A|, |state + denoised_weight - A|),

which is |denoised_weight| where A is the step's slope for some D' in [0, 1].

Later steps propagate this from point i + 1 to the last one. With g[j] the largest factor by which they, for Gaussian data of
any variance, enlarge a change of point j (for one-step samplers it is 1, as state + denoised_weight = 1),

    |x_N - serial x_N| / sigma_data  <=  sum_p weight[p] |delta_p| / sqrt(sigma_p^2 + sigma_data^2),
    weight[p] = sum_l reach[p+l,l] g[p+l+1] sqrt(sigma_p^2 + sigma_data^2) / sigma_data,

the sum being over the points that were frozen. Where new states are not those of the linear model, the distance to them is an
error too: `loss[j]` of point j counts with g[j]. The tolerance is spent along the chain in proportion to |denoised_weight| g,
for one-step samplers its length in log sigma: a point is accepted when the estimate up to it is within the share up to it. The
estimate at the last point is the estimated error of the member. It is no bound where the data are not log-concave, nor for a
network whose Jacobian is not a covariance; the tests measure how far it holds.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.samplers import StepMap

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
ROUNDING = 2.0**-52
"""Relative rounding error of linearly propagated changes, such as those of velocities."""
VARIANCES = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e2, 1e4)
"""Variances of Gaussian data, relative to sigma_data^2, for which the growth of changes is computed, beside an infinite one."""


@dataclass(frozen=True)
class RoundMeasures:
    """Numbers of a round from which a rule judges.

    changes          (position, member) relative changes at the windows' points, position 0 being the frozen one before
    losses           (position, member) further errors of the points made from them
    first            (member,) index of the frozen point
    lengths          (member,) number of points swept
    error_estimate   (member,) estimate of former rounds
    stop_statistics  (E, position, member) the iteration's own, None where it has none
    waits            (member,) whose points may not be accepted yet, for what the network reads of the lead time before is no
                     final state; None for no member
    disturbed        (member,) for whom that has changed since the round before, so that residuals do not only show what the
                     sweep's linear model lacks; None for no member
    early            share of the tolerance up to each point that is spent before the last point is accepted, where the window
                     has it; one for all, or (member,)
    behind           (member,) the one that this one waits for: its points may be accepted in a round in which that one's last
                     point is; -1 for nobody. None for no member. Rules without `lag` leave those alone that wait
    lag              (member,) how much less what the network reads has changed in this sweep than in the one before, whose
                     change the residuals show: these shrink as much. None where it is not known
    """

    changes: Floats
    losses: Floats
    first: Integers
    lengths: Integers
    error_estimate: Floats
    stop_statistics: Floats | None = None
    waits: NDArray[np.bool_] | None = None
    disturbed: NDArray[np.bool_] | None = None
    early: Floats | float = 1.0
    behind: Integers | None = None
    lag: Floats | None = None


@dataclass(frozen=True)
class Verdict:
    """Points by which each member's window slides, and its error estimate so far; both (member,).

    learned   (member, k) what an iteration that learns from the rule takes into the next sweep
    bistable  (member,) point at which the member stood between two outcomes, -1 where it did not
    """

    slides: Integers
    error_estimate: Floats
    learned: Floats | None = None
    bistable: Integers | None = None


RuleState = dict[str, Floats]
"""Numbers (m, ...) by name that a rule keeps of members from round to round, beside their error estimate."""


class Rule(Protocol):
    """Rule that accepts the first points of windows, on the rank that drives."""

    def begin(self, members: int, longest: int) -> None:
        """Get ready for members that have not begun, whose windows are at most `longest` points."""
        ...

    def state(self) -> RuleState:
        """Return all that has to be kept with a run that is to go on later; empty before `begin` and the first round."""
        ...

    def load(self, state: RuleState) -> None:
        """Go on, after `begin`, from what `state` returned of each member."""
        ...

    def judge(self, measured: RoundMeasures) -> Verdict:
        """Return the verdict on a round, whose measures are left as they are."""
        ...


@dataclass(frozen=True)
class StopRule:
    """Rule that accepts points while the estimated error is within the share of the tolerance up to them.

    weight  (N,) turns a relative change at a point into the error of the steps that read it, relative to sigma_data
    passed  (N,) turns a relative loss of the point that a step makes into the error at the last point
    budget  (N + 1,) largest error estimate allowed up to each point
    """

    weight: Floats
    passed: Floats
    budget: Floats

    @classmethod
    def of(cls, step_map: StepMap, slopes: Tensor, sigma_data: float, tolerance: float) -> "StopRule":
        """Return the rule for a linear model with these slopes A (N, K)."""
        scale = (step_map.sigmas**2 + sigma_data**2).sqrt() / sigma_data
        passed, denoised_weight = growth(step_map, sigma_data)[1:], step_map.denoised_weight.abs()
        reach = worst_slopes(step_map, slopes)
        length = np.concatenate([[0.0], (denoised_weight.sum(1) * passed).cumsum(0).numpy()])
        weight = readers(reach * passed[:, None]) * scale[:-1]
        return cls(weight.numpy(), (passed * scale[1:]).numpy(), tolerance * length / length[-1])

    def begin(self, members: int, longest: int) -> None:
        """Keep nothing: a round's changes are all that counts."""

    def state(self) -> RuleState:
        return {}

    def load(self, state: RuleState) -> None:
        """Keep nothing: a round's changes are all that counts."""

    def errors(self, changes: Floats, losses: Floats, begin: int, n: int) -> Floats:
        """Return the error (n,) that each of the n points after `begin` leaves if it is frozen."""
        points = slice(begin, begin + n)
        errors: Floats = self.weight[points] * changes[:n] + self.passed[points] * losses[:n]
        return errors

    def judge(self, measured: RoundMeasures) -> Verdict:
        """Return the verdict on a round. The first point swept comes from a frozen one: it is exact and always accepted, so
        that no run takes more rounds than steps."""
        slides, after = np.zeros_like(measured.first), measured.error_estimate.copy()
        ready = np.where(False if measured.waits is None else measured.waits, 0, measured.lengths)
        for m, (begin, n) in enumerate(zip(measured.first, ready, strict=True)):
            former = measured.error_estimate[m]
            estimate = former + np.cumsum(self.errors(measured.changes[:, m], measured.losses[:, m], begin, n))
            within = estimate <= np.maximum(self.budget[begin + 1 : begin + n + 1], former)
            slides[m] = accepted = int(np.cumprod(within).sum())
            if accepted:
                after[m] = estimate[accepted - 1]
        return Verdict(slides, after)


@dataclass
class FixedSweeps:
    """Rule that accepts a whole window after a fixed number of sweeps; `estimator` estimates the error."""

    estimator: StopRule
    sweeps: int
    done: Integers = field(default_factory=lambda: np.zeros(0, np.int64))

    def begin(self, members: int, longest: int) -> None:
        self.done = np.zeros(members, np.int64)

    def state(self) -> RuleState:
        return {"done": self.done.astype(np.float64)} if len(self.done) else {}

    def load(self, state: RuleState) -> None:
        self.done = state["done"].astype(np.int64)

    def judge(self, measured: RoundMeasures) -> Verdict:
        first, lengths = measured.first, measured.lengths
        if not len(self.done):
            self.begin(len(first), int(lengths.max()))
        self.done += 1
        enough = (self.done >= np.minimum(self.sweeps, lengths)) & (lengths > 0)
        after = measured.error_estimate.copy()
        for m in np.flatnonzero(enough):
            errors = self.estimator.errors(measured.changes[:, m], measured.losses[:, m], first[m], lengths[m])
            after[m] += float(errors.sum())
        self.done[enough] = 0
        return Verdict(np.where(enough, lengths, 0), after)


def worst_slopes(step_map: StepMap, slopes: Tensor) -> Tensor:
    """Return the most (N, K) by which the steps' slopes may differ from those of a linear model A (N, K)."""
    sure = (step_map.state - slopes).abs(), (step_map.state + step_map.denoised_weight - slopes).abs()
    return step_map.denoised_weight.abs().maximum(sure[0]).maximum(sure[1]).maximum(ROUNDING * slopes.abs())


def readers(uses: Tensor) -> Tensor:
    """Return sums (N,), over the steps that read a point, of numbers (N, K) per step and tap."""
    total = torch.zeros(len(uses), dtype=uses.dtype)
    for tap in range(min(uses.shape)):
        total[: len(uses) - tap] += uses[tap:, tap]
    return total


def growth(step_map: StepMap, sigma_data: float) -> Tensor:
    """Return `g` (N + 1,): the largest of |dx_N/dx_j| that Gaussian data of any variance give, at least 1."""
    largest = torch.ones(step_map.steps + 1, dtype=torch.float64)
    if step_map.taps == 1 and bool(((step_map.state >= 0) & (step_map.denoised_weight >= 0)).all()):
        return largest.maximum(reversed_products((step_map.state + step_map.denoised_weight)[:, 0]))
    squares = step_map.sigmas[:-1] ** 2
    responses = [variance * sigma_data**2 / (variance * sigma_data**2 + squares) for variance in VARIANCES]
    slopes = torch.stack([step_map.slopes(r) for r in [*responses, torch.ones_like(squares)]])
    return largest.maximum(sensitivities(slopes).abs().amax(0))


def reversed_products(slopes: Tensor) -> Tensor:
    """Return the products (N + 1,) of slopes (N,) from each on to the end."""
    return torch.cat([slopes.flip(0).cumprod(0).flip(0), slopes.new_ones(1)])


def sensitivities(slopes: Tensor) -> Tensor:
    """Return `dx_N/dx_j` (v, N + 1) of v linear chains with slopes (v, N, K), from the end backwards."""
    models, steps, taps = slopes.shape
    numbers, weight = slopes.numpy(), np.zeros((steps + taps, models))
    weight[steps] = 1.0
    for j in range(steps - 1, -1, -1):
        for tap in range(min(taps, steps - j)):
            weight[j] += numbers[:, j + tap, tap] * weight[j + tap + 1]
    return torch.from_numpy(weight[: steps + 1].T.copy())
