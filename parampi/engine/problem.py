"""A sampler applied to something: network, noise and members together give the steps `F_i` of every member."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.noise import normal
from parampi.samplers import Equations, StepMap


@dataclass(frozen=True)
class SamplingProblem:
    """What one group of ranks draws. `members` (m,) are the numbers of the members; only their noise depends on them.
    `conditions` (m, ...) are what the network is given of each, None where it takes none."""

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
        """x at point 0 (m, *shape): N(0, start^2 + sigma_data^2), the marginal of data of variance sigma_data^2.

        For sigma_data = 1 this is the standard normal start of a variance-preserving model in EDM coordinates.
        """
        scale = math.sqrt(self.equations.start_level**2 + self.sigma_data**2)
        zero = torch.zeros(1, dtype=torch.int64)
        return scale * normal(self.seed, self.members, zero, self.shape, dtype=self.dtype, device=self.device)[0]

    def noise(self, steps: Tensor, columns: Tensor) -> Tensor:
        """xi (k, *shape) for k pairs of a step and a column, both (k,); the noise of step i belongs to point i + 1."""
        flat = normal(self.seed, self.members[columns], steps[None] + 1, self.shape, dtype=self.dtype, device=self.device)
        return flat[0]

    def denoise(self, x: Tensor, sigmas: Tensor, active: Tensor, columns: Tensor | None = None) -> Tensor:
        """D (n, m, *shape) where `active` (n, m), 0 elsewhere, in one batched evaluation; x (n, m, *shape), sigmas (n, m).
        `columns` (m,): which members these are, all of them by default."""
        if bool(active.all()):
            return self.network(x.flatten(0, 1), sigmas.flatten(), self.given(active, columns)).view(x.shape)
        result = torch.zeros_like(x)
        result[active] = self.network(x[active], sigmas[active], self.given(active, columns))
        return result

    def given(self, active: Tensor, columns: Tensor | None = None) -> BatchConditions | None:
        """The conditions of the fields where `active` (n, m)."""
        if self.conditions is None:
            return None
        number = active.nonzero()[:, 1]
        return BatchConditions(self.conditions, number if columns is None else columns.to(number.device)[number])

    def derivative(self, x: Tensor, sigmas: Tensor, directions: Tensor, active: Tensor) -> Tensor:
        """dD/dx times directions, (B, *shape) all, for the fields where `active` (n, m)."""
        return self.network.derivative(x, sigmas, directions, self.given(active))
