"""One row of the study, and the case to which rows belong."""

from dataclasses import dataclass
from typing import TypeVar

from parampi import ConfigError
from scaling_law.plan import MOST_SWEEPS, BlockPlan
from scaling_law.sweeps import SlopeModel

KINDS = ("sde", "ode")
WINDOW_MODELS: dict[str, SlopeModel] = {"Picard": "gaussian", "ParaDiGMS": "identity"}
"""Solvers that sweep all points at once, and their linear models."""
SweepCounts = TypeVar("SweepCounts")


@dataclass(frozen=True)
class ScalingRow:
    """One method at its cheapest for a divergence of `tolerance^2`.

    kind        "sde" or "ode"
    rounds      network evaluations that wait for one another
    points      most points swept at once
    stored      numbers kept at once, dim times `points`
    horizon, blocks, steps_per_block, sweeps, corrector_sweeps   T, N, M, K and K'
    divergence  of the data at the early stop from the samples
    estimated   the part of the divergence that is estimated from drawn numbers
    """

    problem: str
    kind: str
    method: str
    dim: int
    rounds: int
    points: int
    stored: int
    horizon: float
    blocks: int
    steps_per_block: int
    sweeps: int
    corrector_sweeps: int
    divergence: float | None
    estimated: float | None


@dataclass(frozen=True)
class ScalingCase:
    """A problem in one dimension, sampled by the stochastic or by the ordinary differential equation."""

    problem: str
    kind: str
    dim: int
    tolerance: float

    @property
    def target(self) -> float:
        """Return the divergence to meet."""
        return self.tolerance**2

    @property
    def stochastic(self) -> bool:
        """Return whether the stochastic equation is sampled."""
        return self.kind == "sde"

    def row(
        self, method: str, plan: BlockPlan, *, rounds: int, points: int, sweeps: int = 1, corrector_sweeps: int = 0,
        divergence: float | None = None, estimated: float | None = None,
    ) -> ScalingRow:  # fmt: skip
        """Return the row of a method with its plan and its counts."""
        return ScalingRow(
            self.problem, self.kind, method, self.dim, rounds, points, self.dim * points, plan.horizon, plan.blocks,
            plan.steps_per_block, sweeps, corrector_sweeps, divergence, estimated,
        )  # fmt: skip


def require(counts: SweepCounts | None) -> SweepCounts:
    """Return the counts of a search. Raises ConfigError if it has none."""
    if counts is None:
        raise ConfigError(f"the divergence is not met within {MOST_SWEEPS} sweeps; choose a larger tolerance")
    return counts
