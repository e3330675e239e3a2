"""Sensitivities of the last point to the points of windows, with what sweeps have learned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.samplers import StepMap
from parampi.solvers.stop_rules import sensitivities

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
STEEPEST = 2.0
"""Largest learned response that an estimate uses."""
PER_DECADE = 4
"""Variances per factor of ten for which the growth of changes is tabulated."""
BEYOND = 1e3
"""Factor by which tabulated variances reach beyond the squares of the noise levels."""
EPSILON = 2.0**-52
TINY = 1e-300
LOG10 = math.log(10)


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivities of a chain whose denoiser responds as a model says, or as sweeps have learned.

    state_weight, denoised_weight  (N, K) of the step map
    response  (N, S) the model's, of each point and shell
    passed    (N + 1, S) the model's dx_N / dx_j
    squares   (N,) of the noise levels
    table     (V, N + 1) dx_N / dx_j for Gaussian data of the variances exp(`logarithms`) (V,)
    """

    state_weight: Floats
    denoised_weight: Floats
    response: Floats
    passed: Floats
    squares: Floats
    table: Floats
    logarithms: Floats

    @classmethod
    def of(cls, step_map: StepMap, responses: Tensor) -> "Sensitivity":
        """Return the sensitivities of a step map, for a model with responses (S, N)."""
        taps = lagged(responses, step_map.taps)
        passed = sensitivities(step_map.state + step_map.denoised_weight * taps).T.numpy()
        squares = step_map.sigmas[:-1] ** 2
        logarithms = tabulated(squares)
        tabled = lagged(1 / (1 + squares / logarithms.exp()[:, None]), step_map.taps)
        table = sensitivities(step_map.state + step_map.denoised_weight * tabled).numpy()
        return cls(
            step_map.state.numpy(), step_map.denoised_weight.numpy(), responses.T.numpy(), passed,
            squares.numpy(), table, logarithms.numpy(),
        )  # fmt: skip

    @cached_property
    def worst_weights(self) -> Floats:
        """Worst-case errors (N, K) of steps per change of a point that they read; linearly propagated changes are exact to
        rounding."""
        weights: Floats = np.abs(self.denoised_weight) + EPSILON * np.abs(self.state_weight)
        return weights

    @property
    def steps(self) -> int:
        return len(self.denoised_weight)

    @property
    def taps(self) -> int:
        return int(self.state_weight.shape[1])

    def learned_twice(self, first: Integers, inside: NDArray[np.bool_], ratio: Floats, bent: Floats) -> tuple[Floats, Floats]:
        """Return what `learned` returns for slopes not above the learned ones, and for those that are (`bent`)."""
        twice = np.tile(first, 2), np.tile(inside, (1, 2)), np.tile(ratio, (1, 2, 1))
        both = self.learned(*twice, np.concatenate([np.zeros_like(bent), bent], axis=1))
        return both[:, : len(first)], both[:, len(first) :]

    def learned(self, first: Integers, inside: NDArray[np.bool_], ratio: Floats, bent: Floats) -> Floats:
        """Return |dx_N / dx| (n + K, m, 1) of the points of windows, the frozen one first: with the learned responses within
        windows, the model's after them, and the largest of all shells, as an error at one scale disturbs others later. The
        slope of the denoiser may be above the learned one by as much as residuals show (`bent`)."""
        steps, (points, taps) = self.steps, (len(inside), self.taps)
        indices = first + np.arange(points + taps)[:, None]
        within = np.minimum(indices[:points], steps - 1)
        shown, measured = self.variances(within, inside, ratio)
        widest = np.log(np.where(measured | ~measured.any(0), shown, TINY).max(0))
        rows = self.beyond(np.minimum(indices, steps), widest) * (indices <= steps)[..., None]
        response = np.minimum(self.responses(within, ratio) + bent[..., None], STEEPEST)
        slopes = [self.slopes(indices[tap : points + tap], tap, response) for tap in range(taps)]
        backwards(rows, slopes, inside)
        largest: Floats = np.abs(rows).max(2, keepdims=True)
        return largest

    def slopes(self, indices: Integers, tap: int, response: Floats) -> Floats:
        """Return the slopes (n, m, S) at a tap of the steps (n, m) that read points of these responses; 0 beyond the end."""
        step, beyond = np.minimum(indices, self.steps - 1), indices >= self.steps
        slopes: Floats = self.denoised_weight[step, tap][..., None] * response
        slopes += self.state_weight[step, tap][..., None]
        if beyond.any():
            slopes[beyond] = 0.0
        return slopes

    def responses(self, within: Integers, ratio: Floats) -> Floats:
        """Return the learned responses (n, m, S) of points, from their ratios to the model's, where 0 stands for 1 and negative
        ratios for those that were inherited."""
        responses: Floats = self.response[within] * np.where(ratio == 0, 1.0, np.abs(ratio))
        return responses

    def variances(self, within: Integers, inside: NDArray[np.bool_], ratio: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the variances (n, m, S) of Gaussian data that respond as points have learned, and which of them have been
        learned by the points themselves."""
        squares = self.squares[within][..., None]
        response = np.clip(self.responses(within, ratio), 0.0, 1 - EPSILON)
        return np.maximum(squares * response / (1 - response), TINY), inside[..., None] & (ratio > 0)

    def beyond(self, points: Integers, logarithm: Floats) -> Floats:
        """Return dx_N / dx of points (n, m), (n, m, S), for Gaussian data of variances whose logarithms are given (m, S)."""
        place = np.clip((logarithm - self.logarithms[0]) * (PER_DECADE / LOG10), 0.0, len(self.logarithms) - 1.000001)
        low = place.astype(np.int64)
        share = place - low
        passed: Floats = (1 - share) * self.table[low, points[..., None]] + share * self.table[low + 1, points[..., None]]
        return passed

    def reach(self, steps: Integers, delta: Floats) -> Floats:
        """Return the worst-case errors (n, m, S) of steps from changes (n, m, S) of their own points."""
        weights = self.worst_weights
        total: Floats = weights[steps, 0][..., None] * delta
        for tap in range(1, min(self.taps, len(delta))):
            total[tap:] += weights[steps[tap:], tap][..., None] * delta[:-tap]
        return total

    def carried(self, steps: Integers, delta: Floats, learned: Floats) -> Floats:
        """Return the worst-case errors (n, m, S) at the last point that changes (n, m, S) of points make in all steps that
        read them: a multistep sampler reads a point again after it is frozen."""
        weights, points = self.worst_weights, len(delta)
        total = np.zeros_like(delta)
        for tap in range(self.taps):
            step = np.minimum(steps + tap, self.steps - 1)
            weight = np.where(steps + tap < self.steps, weights[step, tap], 0.0)
            total += weight[..., None] * learned[1 + tap : 1 + tap + points] * delta
        return total

    def shown(self, steps: Integers, residual: Floats, learned: Floats) -> Floats:
        """Return the errors (n, m, S) at the last point that changes of denoised fields make in all steps that read them:
        those of the points' own, which residuals (n, m, S) of their steps have shown."""
        weights, total = np.abs(self.denoised_weight), np.zeros_like(residual)
        own = weights[steps, 0][..., None]
        changes = np.where(own > 0, residual / np.maximum(own, TINY), 0.0)
        for tap in range(self.taps):
            step = np.minimum(steps + tap, self.steps - 1)
            weight = np.where(steps + tap < self.steps, weights[step, tap], 0.0)
            total += weight[..., None] * learned[1 + tap : 1 + tap + len(residual)] * changes
        return total


def backwards(rows: Floats, slopes: Sequence[Floats], inside: NDArray[np.bool_]) -> None:
    """Set the rows (n + K, m, S) of points inside windows, of dx_N / dx, from the last to the first: the sum over taps l of
    slopes[l] (n, m, S) times row j + l + 1."""
    points = len(inside)
    if len(slopes) > 1:
        for j in range(points - 1, -1, -1):
            total = slopes[0][j] * rows[j + 1]
            for tap in range(1, len(slopes)):
                total += slopes[tap][j] * rows[j + tap + 1]
            rows[j] = np.where(inside[j][:, None], total, rows[j])
        return
    # the points of a window come first: products from the row after its last one backwards
    factors = np.where(inside[..., None], slopes[0], 1.0)
    lengths, members = inside.sum(0), np.arange(inside.shape[1])
    last = rows[lengths, members]
    ends = np.concatenate([factors, np.ones_like(factors[:1])])
    ends[lengths, members] = last
    products = np.multiply.accumulate(ends[::-1], axis=0)[::-1]
    np.copyto(rows[:points], products[:points], where=inside[..., None])


def tabulated(squares: Tensor) -> Tensor:
    """Return the logarithms (V,) of variances that range beyond the squares of positive noise levels (N,)."""
    positive = squares[squares > 0]
    low, high = float(positive.min()) / BEYOND, float(positive.max()) * BEYOND
    count = math.ceil(math.log10(high / low) * PER_DECADE) + 1
    return math.log(low) + torch.arange(count, dtype=squares.dtype) * (LOG10 / PER_DECADE)


def lagged(responses: Tensor, taps: int) -> Tensor:
    """Return responses (S, N) of the points as steps read them, (S, N, K)."""
    rows: Tensor = responses.new_zeros((*responses.shape, taps))
    for tap in range(min(taps, responses.shape[1])):
        rows[:, tap:, tap] = responses[:, : responses.shape[1] - tap]
    return rows
