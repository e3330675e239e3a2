"""A sampler applied to something: network, noise and members together give the steps `F_i` of every member."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.noise import normal
from parampi.samplers import Equations, StepMap


@dataclass(frozen=True)
class FieldBatch:
    """Fields that the network evaluates in one batch: states x (B, *shape) at noise levels `sigmas` (B,), of the members
    `columns` (B,) of a problem."""

    x: Tensor
    sigmas: Tensor
    columns: Tensor


@dataclass(frozen=True)
class SamplingProblem:
    """Members that one group of ranks draws. `members` (m,) are their numbers, on which only their noise depends;
    `conditions` (m, ...) is what the network reads of each beside the state, None where it reads nothing."""

    network: BatchedDenoiser
    equations: Equations
    members: Tensor
    shape: tuple[int, ...]
    seed: int = 0
    sigma_data: float = 1.0
    dtype: torch.dtype = torch.float64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    conditions: Tensor | None = None

    @property
    def step_map(self) -> StepMap:
        """The equations as steps from point to point. Raises TypeError where they are not causal."""
        return self.equations.step_map

    @property
    def steps(self) -> int:
        return self.equations.steps

    def start(self) -> Tensor:
        """Return x at point 0 (m, *shape): N(0, start^2 + sigma_data^2), the marginal of data of variance sigma_data^2.

        For sigma_data = 1 this is the standard normal start of a variance-preserving model in EDM coordinates.
        """
        scale = math.sqrt(self.equations.start_level**2 + self.sigma_data**2)
        zero = torch.zeros(1, dtype=torch.int64)
        return scale * normal(self.seed, self.members, zero, self.shape, dtype=self.dtype, device=self.device)[0]

    def noise(self, steps: Tensor, columns: Tensor) -> Tensor:
        """Return xi (k, *shape) for k pairs of a step and a column, both (k,); the noise of step i belongs to point i + 1."""
        flat = normal(self.seed, self.members[columns], steps[None] + 1, self.shape, dtype=self.dtype, device=self.device)
        return flat[0]

    def conditions_of(self, columns: Tensor) -> BatchConditions | None:
        """Return the conditions of fields of the members `columns` (B,)."""
        return None if self.conditions is None else BatchConditions(self.conditions, columns.to(self.conditions.device))

    def derivative(self, x: Tensor, sigmas: Tensor, directions: Tensor, where: Tensor) -> Tensor:
        """Return dD/dx times directions, (B, *shape) all, for the fields marked in `where` (n, m)."""
        return self.network.derivative(x, sigmas, directions, self.conditions_of(where.nonzero()[:, 1]))
