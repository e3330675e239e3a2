"""When a point may be frozen: the per-point test, and the account of what frozen points still lack.

A sweep gives `x_new[i+1] = F_i(x_old[i]) + A_i delta_i` with `delta_i = x_new[i] - x_old[i]`. A point i+1 that is frozen at
this value lacks

    F_i(x_new[i]) - x_new[i+1] = (J_i - A_i) delta_i,        J_i = state_i + drift_i D',

`J_i` being the step's true slope and `D' = dD/dx` the denoiser's, which is the posterior covariance of the data over sigma^2.
For log-concave data D' and its model lie between 0 and 1, so the point lacks at most |drift_i| |delta_i|; and as
state_i + drift_i = 1, no later step enlarges it. Summed over the points that were frozen, this bounds the error of the final
field:

    |x_N - serial x_N| / sigma_data  <=  sum_i |drift_i| |delta_i| / sigma_data.

In terms of the relative change |delta_i| / sqrt(sigma_i^2 + sigma_data^2) each point has its own threshold. The tolerance is
spent along the chain in proportion to |drift|, the length of the chain in log sigma: a point is accepted when the account up to
there is within the share up to there. The account at the end is the estimated error of the member. It is no bound where the
data are not log-concave, nor for a network whose Jacobian is not a covariance; the tests measure how far it holds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parampi.samplers import StepMap

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Verdict:
    """Points by which each member's window slides, and its account of the error so far; both (member,)."""

    slides: Integers
    lacking: Floats


@dataclass(frozen=True)
class StopRule:
    """Accepts prefixes of windows.

    weight  (N,) turns a relative change at point i into what step i lacks, relative to sigma_data
    budget  (N + 1,) what may be lacking up to each point
    """

    weight: Floats
    budget: Floats

    @classmethod
    def of(cls, step_map: StepMap, sigma_data: float, tolerance: float) -> "StopRule":
        scale = (step_map.sigmas[:-1] ** 2 + sigma_data**2).sqrt()
        length = np.concatenate([[0.0], step_map.drift.abs().cumsum(0).numpy()])
        return cls((step_map.drift.abs() * scale / sigma_data).numpy(), tolerance * length / length[-1])

    def judge(self, changes: Floats, first: Integers, lengths: Integers, lacking: Floats) -> Verdict:
        """The verdict on a round.

        `changes` (position, member) are the relative changes at the windows' points, position 0 being the frozen one before;
        `first` (member,) that point's index, `lengths` (member,) the number of points swept, `lacking` (member,) the account.
        The first point swept came from a frozen one, lacks nothing and is always accepted: no run takes more rounds than steps.
        """
        slides, after = np.zeros_like(first), lacking.copy()
        for m, (begin, n) in enumerate(zip(first, lengths, strict=True)):
            account = lacking[m] + np.cumsum(self.weight[begin : begin + n] * changes[:n, m])
            within = account <= np.maximum(self.budget[begin + 1 : begin + n + 1], lacking[m])
            slides[m] = accepted = int(np.cumprod(within).sum())
            if accepted:
                after[m] = account[accepted - 1]
        return Verdict(slides, after)
