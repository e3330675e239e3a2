"""The stop rule of spectral sweeps: points are frozen by an error estimate from the residuals that earlier sweeps left.

A sweep changes the state of point p by `delta`. The error of its linear model leaves a residual `v = F(x_new) - x_new` at the
points that steps make of it, which the next sweep measures. For denoisers whose slope and model are between 0 and 1 it is at
most `reach = sum_l |denoised_weight[i,l]| |delta[i-l]|`; the share of this worst case that comes true,

    q[i] = |v[i]| / reach[i] of the sweep before,

changes slowly from sweep to sweep and from point to point. The error of step i, if its points are frozen, is therefore
estimated as `safety * q[i] * reach[i]`, with the largest q of the point and its neighbours. The linear model's own
sensitivities `P[j] = |dx_N / dx_j|`, the largest of all shells of modes, carry this to the last point:

    |x_N - serial x_N|  ~  | sum_i P[i+1] safety q[i] reach_s[i] |,       norm over the shells s, sum over the points.

Errors made within the length of a window are summed as they are. With a stochastic sampler errors made at least one window
apart are independent; their squares add. The tolerance is spent along the chain in proportion to the error that typical changes
of the points would make, in the same sense. The rule estimates; it is no bound.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parampi.samplers import StepMap
from parampi.solvers.stop_rules import RoundMeasures, RuleState, Verdict, sensitivities

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST = 3.0
"""Largest share of the worst case that an estimate assumes."""
STEEPEST = 2.0
"""Largest learned response that an estimate uses."""
LEAST = 1e-2
"""Floor on the assumed worst-case share."""
EPSILON = 2.0**-52
ROUNDING = 1e-14


@dataclass
class SpectralStopRule:
    """Rule that accepts points while the estimated error is within the share of the tolerance up to them.

    Stop statistics of a round: per shell of modes, squares of changes and of residuals, and the ratios of the learned responses
    to the model's, (3 S, n, m).

    state_weight, denoised_weight  (N, K) of the step map
    response      (N, S) the model's, of each point
    passed        (N + 1, S) the model's dx_N / dx_j
    spent         (N + 1,) share of the tolerance that typical changes up to each point would take, if they were summed
    size          norm of a field, which tolerance and estimates are relative to
    accumulator   error at the last point that frozen points leave; None before the first round
    reached       (N, m, S) reach of the last sweep
    """

    state_weight: Floats
    denoised_weight: Floats
    response: Floats
    passed: Floats
    spent: Floats
    size: float
    tolerance: float
    safety: float
    independent: bool
    accumulator: "ErrorAccumulator | None" = None
    budget: Floats = field(default_factory=lambda: np.zeros(0))
    reached: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))

    @classmethod
    def of(
        cls, step_map: StepMap, variance: Tensor, freedom: Tensor, *, size: float, tolerance: float, safety: float
    ) -> "SpectralStopRule":
        """Return the rule for shells of these variances and degrees of freedom, both (S,) float64; `size` is the norm of a
        typical field."""
        squares, variance = step_map.sigmas[:-1] ** 2, variance.cpu()
        positive = variance.clamp(min=1e-300)[:, None]
        responses = positive / (positive + squares)
        passed = sensitivities(step_map.state + step_map.denoised_weight * lagged(responses, step_map.taps)).T.numpy()
        denoised_weight = step_map.denoised_weight.abs()
        # the denoised field is uncertain by the posterior variance, c s^2 / (c + s^2)
        spread = lagged(responses * squares, step_map.taps).transpose(0, 1) * (denoised_weight[:, None] ** 2)
        typical = np.sqrt((passed[1:] ** 2 * spread.sum(2).numpy() * freedom.cpu().numpy()).sum(1))
        length = np.concatenate([[0.0], typical.cumsum()])
        spent = length / max(length[-1], 1e-300)
        return cls(
            state_weight=step_map.state.numpy(),
            denoised_weight=step_map.denoised_weight.numpy(),
            response=responses.T.numpy(),
            passed=passed,
            spent=spent,
            size=size,
            tolerance=tolerance,
            safety=safety,
            independent=step_map.stochastic,
        )

    def state(self) -> RuleState:
        if self.accumulator is None:
            return {}
        return {**self.accumulator.state(), "reached": np.moveaxis(self.reached, 1, 0)}

    def load(self, state: RuleState) -> None:
        if self.accumulator is None:
            raise TypeError("begin before loading")
        self.accumulator.load(state)
        self.reached = np.moveaxis(state["reached"], 0, 1).copy()

    def begin(self, members: int, longest: int) -> None:
        """Begin the accumulators of members whose windows are at most `longest` points."""
        self.accumulator = ErrorAccumulator.empty(
            members, self.passed.shape[1], longest if self.independent else len(self.denoised_weight)
        )
        self.budget = self.tolerance * in_stretches(self.spent, self.accumulator.stretch)
        self.reached = np.full((len(self.denoised_weight), members, self.passed.shape[1]), np.nan)

    def judge(self, measured: RoundMeasures) -> Verdict:
        """Return the verdict on a round. The first point swept comes from a frozen one: it is exact and always accepted."""
        if measured.stop_statistics is None:
            raise TypeError("the spectral stop rule judges by each shell's changes and residuals")
        first, lengths, error_estimate = measured.first, measured.lengths, measured.error_estimate
        points, members, shells, columns = len(measured.changes), len(first), self.passed.shape[1], np.arange(len(first))
        if self.accumulator is None:
            self.begin(members, int(lengths.max()))
        assert self.accumulator is not None
        delta, residual, ratio = np.moveaxis(measured.stop_statistics.reshape(3, shells, points, members), 1, 3)
        delta, residual = np.sqrt(delta), np.sqrt(residual)
        inside = np.arange(points)[:, None] < lengths
        steps = np.minimum(first + np.arange(points)[:, None], len(self.denoised_weight) - 1)
        before, growth = self.reached[steps, columns], np.abs(self.passed[steps + 1]).max(2, keepdims=True)
        bent = np.where(np.isnan(before).any(2), 0.0, self.share(residual, before, growth, inside))
        passed = self.passing(first, inside, ratio, bent)
        reach = self.reach(steps, delta)
        share = np.clip(self.safety * self.share(residual, before, passed[1:], inside), LEAST, MOST)
        lost = passed[1:] * (share * inside)[..., None] * reach
        errors = self.accumulator.after(lost, first) / self.size
        self.reached[steps[inside], np.broadcast_to(columns, inside.shape)[inside]] = reach[inside]
        within = inside & (errors <= np.maximum(self.budget[steps + 1], error_estimate))
        within[:1] |= inside[:1]
        slides = np.cumprod(within, axis=0).sum(0)
        self.accumulator.enter(lost, first, slides)
        after = np.where(slides > 0, errors[np.maximum(slides - 1, 0), columns], error_estimate)
        return Verdict(slides.astype(np.int64), after)

    def passing(self, first: Integers, inside: NDArray[np.bool_], ratio: Floats, bent: Floats) -> Floats:
        """Return |dx_N / dx| (n + 1, m, 1) of the points of windows, the frozen one first: with the learned responses within
        windows, the model's after them, and the largest of all shells, as an error at one scale disturbs others later. The
        slope of the denoiser may be above the learned one by as much as residuals show (`bent`)."""
        steps, (points, taps) = len(self.denoised_weight), (len(inside), self.state_weight.shape[1])
        indices = first + np.arange(points + taps)[:, None]
        rows = self.passed[np.minimum(indices, steps)] * (indices <= steps)[..., None]
        within = np.minimum(indices[:points], steps - 1)
        response = np.minimum(self.response[within] * np.where(ratio > 0, ratio, 1.0) + bent[..., None], STEEPEST)
        for j in range(points - 1, -1, -1):
            total = np.zeros_like(rows[j])
            for tap in range(taps):
                step = np.minimum(indices[j + tap], steps - 1)
                slope = self.state_weight[step, tap][:, None] + self.denoised_weight[step, tap][:, None] * response[j]
                total += np.where((indices[j + tap] < steps)[:, None], slope, 0.0) * rows[j + tap + 1]
            rows[j] = np.where(inside[j][:, None], total, rows[j])
        passed: Floats = np.abs(rows[: points + 1]).max(2, keepdims=True)
        return passed

    def reach(self, steps: Integers, delta: Floats) -> Floats:
        """Return the worst-case errors (n, m, S) of steps from changes (n, m, S) of their own points; linearly propagated
        changes are exact to rounding."""
        weights = np.abs(self.denoised_weight) + EPSILON * np.abs(self.state_weight)
        total: Floats = weights[steps, 0][..., None] * delta
        for tap in range(1, min(weights.shape[1], len(delta))):
            total[tap:] += weights[steps[tap:], tap][..., None] * delta[:-tap]
        return total

    def share(self, residual: Floats, before: Floats, passed: Floats, inside: NDArray[np.bool_]) -> Floats:
        """Return the largest share (n, m) of the worst case that came true, of each point and its neighbours."""
        came, could = (np.sqrt(over_shells((passed * numbers) ** 2)) for numbers in (residual, before))
        known = inside & (could > ROUNDING * self.size)
        known[:1] = False
        shares = np.where(known, came / np.where(known, could, 1.0), 1.0)
        filled = nearest(shares, known)
        padded = np.pad(filled, ((1, 1), (0, 0)), mode="edge")
        widest: Floats = np.maximum(np.maximum(padded[:-2], padded[2:]), filled)
        return widest


@dataclass
class ErrorAccumulator:
    """Accumulated error of frozen points, per shell: summed within stretches of `stretch` points, in squares over stretches.

    closed   (m, S) squares of former stretches
    current  (m, S) sum of the current stretch
    number   (m,) of the current stretch
    """

    stretch: int
    closed: Floats
    current: Floats
    number: Integers

    @classmethod
    def empty(cls, members: int, shells: int, stretch: int) -> "ErrorAccumulator":
        return cls(stretch, np.zeros((members, shells)), np.zeros((members, shells)), np.zeros(members, np.int64))

    def state(self) -> dict[str, Floats]:
        return {"closed": self.closed, "current": self.current, "stretch_number": self.number.astype(np.float64)}

    def load(self, state: dict[str, Floats]) -> None:
        self.closed, self.current = state["closed"], state["current"]
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
        total: Floats = np.sqrt(over_shells(self.closed + current**2 + following**2))
        return total

    def enter(self, lost: Floats, first: Integers, slides: Integers) -> None:
        """Add the errors of the points (m,) that are frozen, of windows that began at `first`."""
        current, following = self.parts(lost, first)
        for m in np.flatnonzero(slides):
            last, number = slides[m] - 1, (first[m] + slides[m]) // self.stretch
            self.current[m] = current[last, m]
            if number != self.number[m]:
                self.closed[m] += self.current[m] ** 2
                self.current[m], self.number[m] = following[last, m], number


def over_shells(numbers: Floats) -> Floats:
    """Return sums (n, m) of (n, m, S), one shell after another: `sum` chooses its order by the shape and layout of memory."""
    total: Floats = np.cumsum(numbers, axis=2)[..., -1]
    return total


def in_stretches(spent: Floats, stretch: int) -> Floats:
    """Return shares (N + 1,) of the whole that are spent up to each point, if the squares of stretches add."""
    squares, begin, total = np.zeros_like(spent), 0, 0.0
    while begin < len(spent) - 1:
        end = min(begin + stretch, len(spent) - 1)
        parts = (spent[begin : end + 1] - spent[begin]) ** 2
        squares[begin : end + 1] = total + parts
        begin, total = end, total + parts[-1]
    shares: Floats = np.sqrt(squares / max(total, 1e-300))
    return shares


def nearest(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Return values (n, m), where not known those of the last known point before, else those of the first one after, else 1."""
    places = np.where(known, np.arange(len(values))[:, None], -1)
    last = np.maximum.accumulate(places, axis=0)
    last = np.where(last >= 0, last, np.argmax(known, axis=0))
    filled: Floats = np.where(known.any(0), np.take_along_axis(values, last, axis=0), 1.0)
    return filled


def lagged(responses: Tensor, taps: int) -> Tensor:
    """Return responses (S, N) of the points as steps read them, (S, N, K)."""
    rows: Tensor = responses.new_zeros((*responses.shape, taps))
    for tap in range(min(taps, responses.shape[1])):
        rows[:, tap:, tap] = responses[:, : responses.shape[1] - tap]
    return rows
