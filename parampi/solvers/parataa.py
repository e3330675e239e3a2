"""Fixed-point systems of k-th order with triangular Anderson acceleration."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.samplers import Equations, StepMap
from parampi.solvers.base import Solver, check_choices, register
from parampi.solvers.linear_models import Guess, LinearModel, Named, constant_guess, gaussian_guess, linear_model
from parampi.solvers.linear_sweeps import linear_correction, mean_squares, residuals
from parampi.solvers.picard import CHOICES
from parampi.solvers.share_rule.rule import rule_for
from parampi.solvers.stop_rules import Rule
from parampi.solvers.sweep import Iteration, Sweep

REGULAR = 1e-12
"""Regularisation of the diagonal of a Gram matrix, relative to its trace, for columns that depend on one another."""


@register("parataa")
@dataclass(frozen=True)
class ParaTAA(Solver):
    """Triangular Anderson acceleration (Tang, Tang, Luo, Wang, Chang 2024, arXiv:2402.09970).

    order         k: a point responds to changes of the k points before it, `x[i+1] = F_i + ...` written out from x[i+1-k] on;
                  None for all points of the window, which is a Picard sweep
    memory        differences of states and residuals kept. With R the residual of the k-th order system,

                      x_new[i] = x[i] + R[i] - (dX[i] + dR[i]) gamma[i],     gamma[i] = (sum dR^T dR)^-1 sum dR^T R,

                  both sums over the points of the window up to i: no point waits for those behind it. Over ranks the sums are
                  prefix sums of memory x memory numbers. A point with nothing but settled points before it is not mixed, so
                  that after k rounds the first k points are exact. 0 for plain fixed-point sweeps
    linear_model  as in `Picard`: "noise" is the published splitting of steps that are written for predicted noise
    guess         "constant" or "gaussian", as in `Picard`

    Residuals are weighed on the scale sqrt(sigma^2 + sigma_data^2), in variance-preserving coordinates as published. Raises
    ConfigError for options out of range.
    """

    order: int | None = None
    memory: int = 2
    linear_model: Named = "noise"
    guess: Literal["gaussian", "constant"] = "constant"

    def __post_init__(self) -> None:
        check_choices(self, {"linear_model": CHOICES["linear_model"], "guess": ("gaussian", "constant")})
        if self.order is not None and self.order < 1:
            raise ConfigError(f"ParaTAA's order = {self.order}; give a number of points, at least 1, or null for all")
        if self.memory < 0:
            raise ConfigError(f"ParaTAA's memory = {self.memory}; keep 0 differences (no mixing) or more")

    def model(self, step_map: StepMap, sigma_data: float) -> LinearModel:
        return linear_model(self.linear_model, step_map, sigma_data)

    def first_guess(self, step_map: StepMap, sigma_data: float) -> Guess:
        return (gaussian_guess if self.guess == "gaussian" else constant_guess)(step_map, sigma_data)

    def rule(self, equations: Equations, sigma_data: float, tolerance: float) -> Rule:
        return rule_for(equations, self.model(equations.step_map, sigma_data).slopes, sigma_data, tolerance)

    def iteration(self, equations: Equations, sigma_data: float) -> Iteration:
        step_map = equations.step_map
        short = self.order is not None and self.order < step_map.steps
        forgotten = responses(self.model(step_map, sigma_data).slopes, int(self.order)) if short else None  # type: ignore[arg-type]
        return Mixing(self.memory, self.order if short else None, forgotten)


def responses(slopes: Tensor, order: int) -> Tensor:
    """Return how x[i+1] depends on x[i+1-k], x[i-k], ... by the steps in between: (N, K), for a linear model (N, K) and order
    k."""
    taps, result = slopes.shape[1], slopes.clone()
    for back in range(1, order):
        earlier = torch.cat([torch.zeros(back, taps, dtype=slopes.dtype), slopes])[: len(slopes)]
        shifted = torch.cat([result[:, 1:], torch.zeros_like(result[:, :1])], dim=1)
        result = result[:, :1] * earlier + shifted
    return result


class Mixing(Iteration):
    """Sweeps mixed with earlier ones.

    Memory: which points were `swept` before, their last `state` and `residual`, and the differences of these from sweep to
    sweep, `state_change_0`, `residual_change_0`, ..., the newest first."""

    def __init__(self, columns: int, order: int | None, forgotten: Tensor | None):
        super().__init__()
        self.columns, self.order, self.forgotten = columns, order, forgotten
        self.loses = columns > 0 or order is not None

    def sweep(self, sweep: Sweep) -> Tensor:
        size = mean_squares(sweep, sweep.denoised)
        y = residuals(sweep)
        self.stop_statistics = torch.stack([mean_squares(sweep, y[sweep.taps :]), size])
        sweep.scan_in_place(sweep.slopes, y)
        new, residual = linear_correction(sweep, sweep.slopes, y), y[sweep.taps :]
        if self.order is not None:
            beyond = self.beyond(sweep, residual)
            new, residual = new - beyond, residual - beyond
        if self.columns:
            self.remember(sweep, residual)
            new = new - self.mixed(sweep, residual)
        return new

    def beyond(self, sweep: Sweep, y: Tensor) -> Tensor:
        """Return the part of a full scan y that stems from further back than the order."""
        assert self.order is not None and self.forgotten is not None
        weights = self.forgotten[sweep.steps].to(y)
        total = torch.zeros_like(y)
        for tap in range(sweep.taps):
            total += weights[..., tap].view(sweep.sigmas.shape) * sweep.lagged(y, self.order + tap)
        return total

    def remember(self, sweep: Sweep, residual: Tensor) -> None:
        """Enter the differences of this sweep from the last one; points that were not swept then have none."""
        last, new = self.memory, {"state": sweep.old.clone(), "residual": residual}
        self.memory = {"swept": torch.ones_like(sweep.sigmas), **new}
        for name in new if last else ():
            changes = [last["swept"] * (new[name] - last[name]), *differences(last, name)]
            self.memory |= {f"{name}_change_{k}": change for k, change in enumerate(changes[: self.columns])}

    def mixed(self, sweep: Sweep, residual: Tensor) -> Tensor:
        """Return `(dX + dR) gamma`."""
        states, residuals = differences(self.memory, "state"), differences(self.memory, "residual")
        gamma = self.weights(sweep, residual, residuals).to(residual)
        total = torch.zeros_like(residual)
        for column, (dx, dr) in enumerate(zip(states, residuals, strict=True)):
            total += gamma[..., column].view(sweep.sigmas.shape) * (dx + dr)
        return total

    def weights(self, sweep: Sweep, residual: Tensor, residuals: list[Tensor]) -> Tensor:
        """Return gamma (n, m, columns), 0 where all points before are settled and for differences that are not there yet.

        The systems have one size from the first sweep on: a member's bits must not depend on how long others were swept.
        """
        count, places = len(residuals), [*range(len(residuals)), self.columns]
        scale = torch.where(sweep.scale > 0, sweep.scale, 1.0)
        scaled = [r / scale for r in (*residuals, residual)]
        pairs = [(a, b) for a in range(count + 1) for b in range(a, count + 1)]
        totals = sweep.totals(torch.stack([sweep.products(scaled[a], scaled[b]) for a, b in pairs], dim=2))
        gram = totals.new_zeros((*totals.shape[:2], self.columns + 1, self.columns + 1))
        for k, (a, b) in enumerate(pairs):
            row, column = places[a], places[b]
            gram[..., row, column] = gram[..., column, row] = totals[..., k]
        settled = sweep.lagged(gram[..., -1, -1:].contiguous(), 1) == 0
        return torch.where(settled, 0.0, self.each(solved, gram[..., :-1, :-1], gram[..., :-1, -1]))


def differences(memory: dict[str, Tensor], name: str) -> list[Tensor]:
    """Return the differences kept of a field, the newest first."""
    count = sum(key.startswith(f"{name}_change_") for key in memory)
    return [memory[f"{name}_change_{k}"] for k in range(count)]


def solved(gram: Tensor, right: Tensor) -> Tensor:
    """Return the regularised solutions (n, m, c) of Gram systems (n, m, c, c); 0 where there is nothing to mix."""
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    unit = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    safe = torch.where(trace > 0, gram + REGULAR * trace * unit, unit)
    # unchecked: they are regular, and a check would wait for a GPU
    solution: Tensor = torch.linalg.solve_ex(safe, torch.where(trace[..., 0] > 0, right, 0.0)[..., None])[0]
    return solution[..., 0]
