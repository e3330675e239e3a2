"""Sweeps for collocation: every step reads points on both of its sides."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.samplers import CollocationEquations
from parampi.solvers.spectral.model import SpectralModel
from parampi.solvers.spectral.quadrature import Fitted
from parampi.solvers.spectral.secants import Seen
from parampi.solvers.spectral.sweeps import SpectralSweeps
from parampi.solvers.stop_rules import RoundMeasures, RuleState, Verdict
from parampi.solvers.sweep import GuessContext, Sweep

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
CORRECTIONS = 2
"""Further scans that apply the local secants."""
STEEPEST = 0.9
"""Largest implicit part of a step: its denominator stays above 1 less this."""


class CollocationSweeps(SpectralSweeps):
    """Sweeps of collocation. One sweep, in modes, z being the state less the mean and rho = D - mean - L z:

        r[i] = passed[i] z[i] + sum_j weights[i,j] rho[j] - z[i+1]
        y[i+1] = (passed[i] + early[i] dL[i]) / (1 - late[i] dL[i+1]) y[i] + r[i] / (1 - late[i] dL[i+1])

    with dL the difference of the learned response to the model's; `early` is the sum of the weights of the points up to the
    step's own, `late` that of later ones. The fixed point, r = 0, does not depend on the learned responses.
    Stop statistics: norms of the change of the point made, and of its state, (2, n, m).
    """

    def __init__(self, model: SpectralModel, equations: CollocationEquations, secants: bool, local: bool):
        super().__init__(model, secants, local)
        self.bequeaths = self.disturbs = range(0)  # its stop statistics have no ratios
        self.fitted = Fitted.of(equations.sigmas, model.variance.cpu(), equations.order)
        self.offsets = self.fitted.begin - torch.arange(equations.steps)

    def placed(self, like: Tensor) -> None:
        super().placed(like)
        tables = self.fitted
        if tables.passed.device != like.device or tables.passed.dtype != like.dtype:
            passed, weights = (table.to(like, non_blocking=True) for table in (tables.passed, tables.weights))
            self.fitted = Fitted(passed, weights, tables.begin)

    def guess(self, entry: GuessContext) -> Tensor:
        """Return the solution for the model's Gaussian data."""
        self.placed(entry.x)
        steps, basis = entry.steps.to(entry.x.device, non_blocking=True), self.model.basis
        enters = self.flat(entry.enters)
        z = basis.forward(entry.x) - self.model.mean
        slopes = torch.where(enters, self.fitted.passed[steps], 0.0)[None]
        z = entry.scan(slopes, torch.where(enters, 0.0, z[1:]), z[:1])
        return torch.cat([entry.x[:1], torch.where(entry.enters, basis.inverse(z[1:] + self.model.mean), entry.x[1:])])

    def sweep(self, sweep: Sweep) -> Tensor:
        self.placed(sweep.x)
        basis, mean, active = self.model.basis, self.model.mean, self.flat(sweep.scale) > 0
        z = basis.forward(sweep.x) - mean
        response = self.model.response(self.flat(sweep.levels[0]))
        rho = (basis.forward(sweep.denoised) - mean - response * z[:-1]) * active
        steps = sweep.steps
        passed = self.fitted.passed[steps.to(z.device, non_blocking=True)]
        integral, early, late = self.integrate(sweep, rho, steps)
        residual = (passed * z[:-1] + integral - z[1:]) * active
        seen, ratio, kept = self.observe(sweep, residual), None, None
        if self.secants:
            kept = self.kept
            ratio = self.learn(sweep, seen, kept)
        learned = self.response_at(sweep, 0, ratio)
        if kept is not None and ratio is not None:
            self.learn_places(sweep, seen, kept, ratio, learned)
        if self.secants:
            self.remember(sweep)
        beyond = learned - response
        implicit = 1 - (late * sweep.lagged(beyond, -1)).clamp(max=STEEPEST)
        slopes = (passed + early * beyond)[None] * active / implicit
        y = sweep.scan(slopes, residual / implicit)
        for _ in range(CORRECTIONS if self.local.known else 0):
            response = beyond * y[:-1] + self.local.extra(learned * y[:-1])
            propagated = passed * y[:-1] + self.integrate(sweep, response * active, steps)[0]
            y = y + sweep.scan(slopes, (residual + propagated - y[1:]) * active / implicit)
        self.keep(sweep, seen, learned, y[:-1], made=None, squares=basis.shell_sums(y[:-1] ** 2), ratio=ratio)
        change = basis.inverse(y[1:])
        new = sweep.old + change
        norms = [self.each(torch.sqrt, sweep.products(rows, rows)) for rows in (change, new)]
        self.stop_statistics = torch.stack(norms)
        return new

    def observe(self, sweep: Sweep, residual: Tensor) -> Seen:
        """Return what the sweep sees: its residual, and what denoised fields have changed."""
        if not self.secants:
            return self.saw(residual)
        if not self.memory:
            self.remember_nothing(sweep.denoised)
        db = sweep.denoised - self.memory["denoised"]
        return self.saw(residual, self.model.basis.forward(db) * self.kept.swept.to(db), db)

    def integrate(self, sweep: Sweep, rho: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `sum_j weights[i,j] rho[j]`, and the sums of the weights up to the step's own point and of later ones; (n, m,
        M). steps (n, m) on the CPU."""
        points, n = self.fitted.weights.shape[1], len(rho)
        near = sweep.around(rho, points - 1, points - 1)
        total, early, late = (torch.zeros_like(rho) for _ in range(3))
        for offset in range(1 - points, points):
            place = offset - self.offsets[steps]
            inside = (place >= 0) & (place < points)
            if not bool(inside.any()):
                continue
            where, at, inside = (t.to(rho.device, non_blocking=True) for t in (steps, place.clamp(0, points - 1), inside))
            weight = self.fitted.weights[where, at] * inside[..., None].to(rho)
            total += weight * near[points - 1 + offset : points - 1 + offset + n]
            (early if offset <= 0 else late).add_(weight)
        return total, early, late


@dataclass
class LastChange:
    """Rule that accepts all points at once, by their distance to the fixed point as the last changes predict it.

    With d the largest relative change of a point, and q the ratio of two such changes, further sweeps change it by about
    `q / (1 - q) d`. The estimate is safety times that. q is the larger of the last two ratios, at most a half; at first it is a
    half.
    """

    tolerance: float
    safety: float
    before: Floats = field(default_factory=lambda: np.zeros(0))
    ratio: Floats = field(default_factory=lambda: np.zeros(0))

    def begin(self, members: int, longest: int) -> None:
        self.before, self.ratio = np.full(members, np.nan), np.full(members, 0.5)

    def state(self) -> RuleState:
        return {"before": self.before, "ratio": self.ratio} if len(self.before) else {}

    def load(self, state: RuleState) -> None:
        self.before, self.ratio = state["before"], state["ratio"]

    def judge(self, measured: RoundMeasures) -> Verdict:
        if measured.stop_statistics is None:
            raise TypeError("collocation is judged by the changes of its last point too")
        first, lengths = measured.first, measured.lengths
        if not len(self.before):
            self.begin(len(first), int(lengths.max()))
        change, size = measured.stop_statistics[:, np.maximum(lengths - 1, 0), np.arange(len(first))]
        inside = np.arange(len(measured.changes))[:, None] < lengths
        change = np.maximum(np.where(inside, measured.changes, 0.0).max(0), change / np.maximum(size, 1e-300))
        ratio = np.where(np.isnan(self.before), 0.5, np.minimum(change / np.maximum(self.before, 1e-300), 0.5))
        worse = np.maximum(ratio, self.ratio)
        estimate = self.safety * worse / (1 - worse) * change
        self.before, self.ratio = change, ratio
        done = (lengths > 0) & (estimate <= self.tolerance)
        return Verdict(np.where(done, lengths, 0).astype(np.int64), np.where(done, estimate, measured.error_estimate))
