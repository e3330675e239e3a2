"""PIADM-ODE's corrector on Gaussian data, exactly: underdamped Langevin dynamics, solved by Picard sweeps."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from scaling_law.problems import F64, GaussianAxes
from scaling_law.sweeps import AffineMap, backward_scan, running_products


@dataclass(frozen=True)
class Langevin:
    """Underdamped Langevin dynamics in steps in which the score s(y) is frozen.

        dy = v dt,    dv = (s(y) - friction v) dt + sqrt(2 friction) dB

    y is in variance-preserving coordinates, v starts from N(0, 1). One step is

        v' = decay v + velocity_weight s + noise,    y' = y + velocity_weight v + score_weight s + noise
    """

    time: float
    steps: int
    friction: float

    @property
    def step(self) -> float:
        """Return the length of a step."""
        return self.time / self.steps

    @property
    def decay(self) -> float:
        """Return the share of the velocity that a step leaves."""
        return math.exp(-self.friction * self.step)

    @property
    def velocity_weight(self) -> float:
        """Return the position's change in a step per unit of velocity, which is also the velocity's per unit of score."""
        return -math.expm1(-self.friction * self.step) / self.friction

    @property
    def score_weight(self) -> float:
        """Return the position's change in a step per unit of score."""
        return (self.step - self.velocity_weight) / self.friction

    def noise(self) -> tuple[float, float, float]:
        """Return the variances of position's and velocity's noise in a step, and their covariance (Ornstein and Uhlenbeck)."""
        velocity = -math.expm1(-2 * self.friction * self.step)
        position = 2 / self.friction * (self.step - 2 * self.velocity_weight + velocity / (2 * self.friction))
        return position, velocity, self.friction * self.velocity_weight**2


def corrector_maps(langevin: Langevin, problem: GaussianAxes, sigma: float) -> Iterator[AffineMap]:
    """Yield the map of the position at noise level sigma, in EDM coordinates, after 1, 2, 3, ... sweeps of the corrector.

    A sweep solves the dynamics with the scores of the sweep before; the first guess is the position itself.
    """
    scale = 1 + sigma**2
    stiffness = scale / problem.noisy_variance(sigma)
    position, velocity, covariance = langevin.noise()
    decay = running_products(torch.full((1, langevin.steps), langevin.decay, dtype=F64))
    ones = torch.ones_like(decay)
    weights = torch.zeros(len(stiffness), langevin.steps + 1, dtype=F64)
    weights[:, -1] = 1.0
    gain = velocity_gain = torch.zeros_like(stiffness)
    y_noise = v_noise = torch.zeros_like(weights[:, 1:])
    while True:
        y_adjoint = backward_scan(weights, ones)
        v_adjoint = backward_scan(pad(langevin.velocity_weight * y_adjoint[:, 1:], (0, 1)), decay)
        gain, velocity_gain = gain + y_adjoint[:, 0], velocity_gain + v_adjoint[:, 0]
        y_noise, v_noise = y_noise + y_adjoint[:, 1:], v_noise + v_adjoint[:, 1:]
        weights = score_adjoint(langevin, stiffness, y_adjoint, v_adjoint)
        step_noise = (position * y_noise**2 + 2 * covariance * y_noise * v_noise + velocity * v_noise**2).sum(1)
        yield AffineMap(gain + weights.sum(1), torch.zeros_like(gain), scale * (step_noise + velocity_gain**2))


def score_adjoint(langevin: Langevin, stiffness: Tensor, y_adjoint: Tensor, v_adjoint: Tensor) -> Tensor:
    """Return the weights of the positions of the sweep before, which enter through the scores."""
    score = langevin.score_weight * y_adjoint[:, 1:] + langevin.velocity_weight * v_adjoint[:, 1:]
    return pad(-stiffness[:, None] * score, (0, 1))
