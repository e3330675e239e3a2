"""Sensitivities of the last point to the points of windows, with what sweeps have learned."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parampi.samplers import StepMap
from parampi.solvers.stop_rules import sensitivities

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
STEEPEST = 2.0
"""Largest learned response that an estimate uses."""
EPSILON = 2.0**-52


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivities of a chain whose denoiser responds as a model says, or as sweeps have learned.

    state_weight, denoised_weight  (N, K) of the step map
    response  (N, S) the model's, of each point and shell
    passed    (N + 1, S) the model's dx_N / dx_j
    """

    state_weight: Floats
    denoised_weight: Floats
    response: Floats
    passed: Floats

    @classmethod
    def of(cls, step_map: StepMap, responses: Tensor) -> "Sensitivity":
        """Return the sensitivities of a step map, for a model with responses (S, N)."""
        taps = lagged(responses, step_map.taps)
        passed = sensitivities(step_map.state + step_map.denoised_weight * taps).T.numpy()
        return cls(step_map.state.numpy(), step_map.denoised_weight.numpy(), responses.T.numpy(), passed)

    @property
    def steps(self) -> int:
        return len(self.denoised_weight)

    @property
    def taps(self) -> int:
        return int(self.state_weight.shape[1])

    def learned(self, first: Integers, inside: NDArray[np.bool_], ratio: Floats, bent: Floats) -> Floats:
        """Return |dx_N / dx| (n + K, m, 1) of the points of windows, the frozen one first: with the learned responses within
        windows, the model's after them, and the largest of all shells, as an error at one scale disturbs others later. The
        slope of the denoiser may be above the learned one by as much as residuals show (`bent`)."""
        steps, (points, taps) = self.steps, (len(inside), self.taps)
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
        largest: Floats = np.abs(rows).max(2, keepdims=True)
        return largest

    def reach(self, steps: Integers, delta: Floats) -> Floats:
        """Return the worst-case errors (n, m, S) of steps from changes (n, m, S) of their own points; linearly propagated
        changes are exact to rounding."""
        weights = np.abs(self.denoised_weight) + EPSILON * np.abs(self.state_weight)
        total: Floats = weights[steps, 0][..., None] * delta
        for tap in range(1, min(self.taps, len(delta))):
            total[tap:] += weights[steps[tap:], tap][..., None] * delta[:-tap]
        return total

    def carried(self, steps: Integers, delta: Floats, learned: Floats) -> Floats:
        """Return the worst-case errors (n, m, S) at the last point that changes (n, m, S) of points make in all steps that
        read them: a multistep sampler reads a point again after it is frozen."""
        weights, points = np.abs(self.denoised_weight) + EPSILON * np.abs(self.state_weight), len(delta)
        total = np.zeros_like(delta)
        for tap in range(self.taps):
            step = np.minimum(steps + tap, self.steps - 1)
            weight = np.where(steps + tap < self.steps, weights[step, tap], 0.0)
            total += weight[..., None] * learned[1 + tap : 1 + tap + points] * delta
        return total


def lagged(responses: Tensor, taps: int) -> Tensor:
    """Return responses (S, N) of the points as steps read them, (S, N, K)."""
    rows: Tensor = responses.new_zeros((*responses.shape, taps))
    for tap in range(min(taps, responses.shape[1])):
        rows[:, tap:, tap] = responses[:, : responses.shape[1] - tap]
    return rows
