"""A sampler applied to something: network, noise and members together give the steps `F_i` of every member."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.channel_scales import ChannelScales, along
from parampi.diffusion.noise import lead_seed, normal
from parampi.engine.lead_times import LeadTimes
from parampi.engine.outside_noise import OutsideNoise
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
    `conditions` (m, ...) is what the network reads of each beside the state, None where it reads nothing.

    In a roll-out the chain of a member is that of all `leads`, one after another: point `l N + i` is point i of lead time l,
    and where i is 0 also the end of lead time l - 1.
    """

    network: BatchedDenoiser
    equations: Equations
    members: Tensor
    shape: tuple[int, ...]
    seed: int = 0
    sigma_data: float = 1.0
    dtype: torch.dtype = torch.float64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    conditions: Tensor | None = None
    leads: LeadTimes | None = None
    outside: OutsideNoise = field(default_factory=OutsideNoise)

    @property
    def step_map(self) -> StepMap:
        """The equations as steps from point to point. Raises TypeError where they are not causal."""
        return self.equations.step_map

    @property
    def steps(self) -> int:
        """Steps of a member's chain."""
        return self.equations.steps * (self.leads.count if self.leads else 1)

    def start(self) -> Tensor:
        """Return x at point 0 (m, *shape): N(0, start^2 + sigma_data^2), the marginal of data of variance sigma_data^2.

        For sigma_data = 1 this is the standard normal start of a variance-preserving model in EDM coordinates.
        """
        return self.starts(torch.zeros_like(self.members), torch.arange(len(self.members)))

    def starts(self, leads: Tensor, columns: Tensor) -> Tensor:
        """Return x (k, *shape) at the first points of lead times, for k pairs of a lead time and a column, both (k,)."""
        if self.outside.start is not None:
            return self.outside.starts(self.members[columns], self.shape).to(self.device, self.dtype)
        normals = self.normals(leads, torch.zeros_like(leads), columns)
        if isinstance(self.sigma_data, ChannelScales):
            return (self.equations.start_level**2 + along(self.sigma_data, normals) ** 2) ** 0.5 * normals
        return math.sqrt(self.equations.start_level**2 + self.sigma_data**2) * normals

    def noise(self, steps: Tensor, columns: Tensor) -> Tensor:
        """Return xi (k, *shape) for k pairs of a step and a column, both (k,); the noise of step i belongs to point i + 1."""
        count = self.equations.steps
        return self.normals(steps // count, steps % count + 1, columns)

    def normals(self, leads: Tensor, points: Tensor, columns: Tensor) -> Tensor:
        """Return the standard normals (k, *shape) of k lead times, points of theirs, and columns, all (k,)."""
        if self.outside.noise is not None:
            lead_times = (leads,) if self.leads else ()
            made = self.outside.normals(self.members[columns], *lead_times, points, shape=self.shape)
            return made.to(self.device, self.dtype)
        fields = torch.empty((len(leads), *self.shape), dtype=self.dtype, device=self.device)
        for lead in sorted(set(leads.tolist())):
            at = (leads == lead).nonzero()[:, 0]
            seed, members = lead_seed(self.seed, lead), self.members[columns[at]]
            rows = normal(seed, members, points[at][None], self.shape, dtype=self.dtype, device=self.device)[0]
            if len(at) == len(leads):
                return rows
            fields[at.to(self.device, non_blocking=True)] = rows
        return fields

    def conditions_of(self, columns: Tensor) -> BatchConditions | None:
        """Return the conditions of fields of the members `columns` (B,)."""
        if self.conditions is None:
            return None
        return BatchConditions(self.conditions, columns.to(self.conditions.device, non_blocking=True))
