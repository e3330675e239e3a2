"""Rounds of an oracle: the same windows and sweeps, and points accepted by the true error, which it knows.

With all points in one window it stops at the first round from which on the final field is and stays within the tolerance.
In windows that slide it accepts, in every round, the longest prefix of the window from whose end the serial sampler, with the
true noises, would end within the share of the tolerance up to there, which grows from a half to the whole. An oracle that may
spend the whole at once leaves nothing to later windows, and needs more rounds.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.bench.rounds import relative
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.windows import WindowEngine
from parampi.parallel import SerialGroup
from parampi.solvers import RoundMeasures, Solver, Verdict
from parampi.solvers.stop_rules import RuleState

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
BEYOND = 1e-2
"""Tolerance, relative to the draw's, to which the run goes on in which an oracle of one window looks back."""
FIRST_SHARE = 0.5
"""Share of the tolerance that an oracle in windows may spend at the first points."""
MOST_POINTS = 60
"""Most points of runs in windows that have an oracle: it takes the serial sampler's steps from every point in every round."""


def oracle_rounds(
    problem: SamplingProblem, solver: Solver, serial: Tensor, window: int | None, tolerance: float
) -> Integers | None:
    """Return an oracle's rounds (m,), or None for windows of a run of more than MOST_POINTS points."""
    if window is None or window >= problem.steps:
        return settled(error_path(problem, solver, serial, BEYOND * tolerance), tolerance)
    if problem.steps > MOST_POINTS:
        return None
    engine = oracle_in_windows(problem, solver, serial, window, tolerance)
    engine.run()
    return engine.history.rounds


def oracle_in_windows(problem: SamplingProblem, solver: Solver, serial: Tensor, window: int, tolerance: float) -> WindowEngine:
    """Return an engine whose points an oracle accepts."""
    engine = engine_for(problem, solver, SerialGroup(), EngineOptions(window, tolerance))
    assert isinstance(engine, WindowEngine)
    engine.rule = TrueErrors(engine, serial, tolerance)
    return engine


def error_path(problem: SamplingProblem, solver: Solver, serial: Tensor, tolerance: float) -> Floats:
    """Return errors (rounds, m) of the last point after each round of a run to a tolerance, all points in one window."""
    engine, path = engine_for(problem, solver, SerialGroup(), EngineOptions(tolerance=tolerance)), []
    while not engine.finished:
        engine.advance()
        path.append(relative(engine.tail, serial).numpy())
    return np.array(path)


def settled(path: Floats, tolerance: float) -> Integers:
    """Return the first round (m,) from which on errors (rounds, m) stay within the tolerance."""
    outside = path > tolerance
    last = len(path) - np.argmax(outside[::-1], axis=0)
    return np.where(outside.any(0), last + 1, 1)


@dataclass
class TrueErrors:
    """Rule that accepts the longest prefix from whose end the serial sampler ends within the share of the tolerance."""

    engine: WindowEngine
    serial: Tensor
    tolerance: float

    def begin(self, members: int, longest: int) -> None:
        """Keep nothing: a round's fields are all that counts."""

    def state(self) -> RuleState:
        return {}

    def load(self, state: RuleState) -> None:
        """Keep nothing: a round's fields are all that counts."""

    def judge(self, measured: RoundMeasures) -> Verdict:
        """Return the verdict on a round, by bisection over the prefixes of each member's window. The first point swept is
        always accepted, as by the solvers' own rules."""
        first = measured.first
        longest, slides = measured.lengths.copy(), np.minimum(measured.lengths, 1)
        while (undecided := np.flatnonzero(slides < longest)).size:
            middle = (slides[undecided] + longest[undecided] + 1) // 2
            share = FIRST_SHARE + (1 - FIRST_SHARE) * (first[undecided] + middle) / self.engine.problem.steps
            within = self.errors(middle, undecided, first[undecided]) <= share * self.tolerance
            slides[undecided[within]] = middle[within]
            longest[undecided[~within]] = middle[~within] - 1
        return Verdict(slides, measured.error_estimate)

    def errors(self, accepted: Integers, member: Integers, first: Integers) -> Floats:
        """Return errors (B,) of the serial sampler's ends from so many points (B,) after `first` (B,) of members (B,) on."""
        x, denoised, taps = self.engine.slice.window.x, self.engine.denoised.rows, self.engine.slice.window.taps
        states = torch.stack([x[accepted + tap, member] for tap in range(taps)], dim=1)
        before = [denoised[accepted + tap, member] for tap in range(taps - 1)]
        fields = torch.stack(before, dim=1) if before else states[:, :0]
        ends = serial_ends(self.engine.problem, states, fields, first + accepted, torch.from_numpy(member))
        return relative(ends, self.serial[member]).numpy()


def serial_ends(problem: SamplingProblem, states: Tensor, denoised: Tensor, points: Integers, columns: Tensor) -> Tensor:
    """Return where the serial sampler ends (B, *shape) from the points (B,) of the members `columns` (B,) on.

    states    (B, K, *shape) at the K points up to these, denoised (B, K - 1, *shape) fields of those before
    """
    steps, states, denoised = problem.step_map, states.clone(), denoised.clone()
    for i in range(int(points.min()), problem.steps):
        rows = torch.from_numpy(np.flatnonzero(points <= i))
        x, members = states[rows], columns[rows]
        last = torch.zeros_like(x[:, -1])
        if steps.evaluated[i]:
            last = problem.network(x[:, -1], steps.sigmas[i].expand(len(rows)), problem.conditions_of(members))
        fields = torch.cat([denoised[rows], last[:, None]], dim=1)
        new = sum_of_taps(steps.state[i], x) + sum_of_taps(steps.denoised_weight[i], fields)
        for tap, weight in enumerate(steps.noise[i].tolist()):
            if weight:
                new += weight * problem.noise(torch.full_like(members, i - tap), members)
        states[rows] = torch.cat([x[:, 1:], new[:, None]], dim=1)
        denoised[rows] = fields[:, 1:]
    return states[:, -1]


def sum_of_taps(weights: Tensor, fields: Tensor) -> Tensor:
    """Return sums (B, *shape) of fields (B, K, *shape), the latest last, by weights (K,), the latest first."""
    return torch.einsum("k,bk...->b...", weights.flip(0), fields)
