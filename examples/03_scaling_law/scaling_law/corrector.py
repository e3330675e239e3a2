"""PIADM-ODE's corrector on Gaussian data, exactly: underdamped Langevin dynamics, solved by Picard sweeps."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from scaling_law.problems import Modes
from scaling_law.sweeps import Affine, chain, collected


@dataclass(frozen=True)
class Langevin:
    """`dy = v dt, dv = (s(y) - friction v) dt + sqrt(2 friction) dB` in steps in which the score s(y) is frozen.

    y in variance-preserving coordinates, v from N(0, 1). With `a = e^(-friction step)`

        v' = a v + score_v s + noise,    y' = y + drift v + score_y s + noise
    """

    time: float
    steps: int
    friction: float

    @property
    def step(self) -> float:
        return self.time / self.steps

    @property
    def decay(self) -> float:
        return math.exp(-self.friction * self.step)

    @property
    def drift(self) -> float:
        """Of the position in one step, for a unit of velocity; also what a unit of score adds to the velocity."""
        return -math.expm1(-self.friction * self.step) / self.friction

    @property
    def pull(self) -> float:
        """What a unit of score adds to the position in one step."""
        return (self.step - self.drift) / self.friction

    def noise(self) -> tuple[float, float, float]:
        """Variance of the position's and of the velocity's noise in one step, and their covariance (Ornstein, Uhlenbeck)."""
        lost = -math.expm1(-2 * self.friction * self.step)
        position = 2 / self.friction * (self.step - 2 * self.drift + lost / (2 * self.friction))
        return position, lost, self.friction * self.drift**2


def corrector_maps(langevin: Langevin, problem: Modes, sigma: float) -> Iterator[Affine]:
    """What 1, 2, 3, ... sweeps of the corrector make of the position at noise level sigma, in EDM coordinates.

    A sweep solves the dynamics with the scores of the sweep before; the first guess is the position itself.
    """
    scale = 1 + sigma**2
    stiffness = scale / problem.spread(sigma)
    position, velocity, both = langevin.noise()
    decay = chain(torch.full((1, langevin.steps), langevin.decay, dtype=torch.float64))
    still = torch.ones_like(decay)
    weights = torch.zeros(len(stiffness), langevin.steps + 1, dtype=torch.float64)
    weights[:, -1] = 1.0
    gain = start = torch.zeros_like(stiffness)
    reach_y = reach_v = torch.zeros_like(weights[:, 1:])
    while True:
        of_y = collected(weights, still)
        of_v = collected(torch.nn.functional.pad(langevin.drift * of_y[:, 1:], (0, 1)), decay)
        gain, start = gain + of_y[:, 0], start + of_v[:, 0]
        reach_y, reach_v = reach_y + of_y[:, 1:], reach_v + of_v[:, 1:]
        weights = pushed(langevin, stiffness, of_y, of_v)
        fresh = (position * reach_y**2 + 2 * both * reach_y * reach_v + velocity * reach_v**2).sum(1) + start**2
        yield Affine(gain + weights.sum(1), torch.zeros_like(gain), scale * fresh)


def pushed(langevin: Langevin, stiffness: Tensor, of_y: Tensor, of_v: Tensor) -> Tensor:
    """Weights of the positions of the sweep before: theirs in the scores."""
    answer = langevin.pull * of_y[:, 1:] + langevin.drift * of_v[:, 1:]
    return torch.nn.functional.pad(-stiffness[:, None] * answer, (0, 1))
