"""One line of the measurement, and what all lines have in common."""

from dataclasses import dataclass
from typing import TypeVar

from parampi import ConfigError
from scaling_law.search import MOST_SWEEPS, Plan
from scaling_law.sweeps import Model

Found = TypeVar("Found")
WINDOWS: dict[str, Model] = {"Picard": "gaussian", "ParaDiGMS": "identity"}
"""Solvers that sweep all points at once, and their linear models."""


@dataclass(frozen=True)
class Row:
    """One method at its cheapest for a divergence of `tolerance^2`.

    kind       "sde" or "ode"
    rounds     network evaluations that wait for one another
    points     most points swept together
    stored     numbers kept at once, dim times `points`
    horizon, blocks, steps_per_block, sweeps, corrector_sweeps: T, N, M, K and K'
    divergence of the sampled fields from the data at the early stop, and which part of it is estimated from drawn numbers
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
class Case:
    """A problem in one dimension, sampled by the stochastic or by the ordinary differential equation."""

    problem: str
    kind: str
    dim: int
    tolerance: float

    @property
    def target(self) -> float:
        return self.tolerance**2

    @property
    def stochastic(self) -> bool:
        return self.kind == "sde"

    def row(
        self, method: str, plan: Plan, rounds: int, points: int, sweeps: int = 1, corrector_sweeps: int = 0,
        divergence: float | None = None, estimated: float | None = None,
    ) -> Row:  # fmt: skip
        return Row(
            self.problem, self.kind, method, self.dim, rounds, points, self.dim * points, plan.horizon, plan.blocks,
            plan.steps_per_block, sweeps, corrector_sweeps, divergence, estimated,
        )  # fmt: skip


def needed(found: Found | None) -> Found:
    """What a search has found; ConfigError if nothing."""
    if found is None:
        raise ConfigError(f"the divergence is not met within {MOST_SWEEPS} sweeps; choose a larger tolerance")
    return found
