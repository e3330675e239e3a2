"""Draws of the mixture's coordinate along its means, by steps and sweeps written out for all points."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Generator, Tensor

from parampi.samplers import StepMap
from scaling_law.corrector import Langevin
from scaling_law.mixture import TwoGaussians, histogram_divergence
from scaling_law.problems import F64
from scaling_law.sweeps import SlopeModel, model_slopes, running_products


@dataclass(frozen=True)
class MixtureDraws:
    """Many draws of u, in chunks whose trajectories fit into memory. Divergences are those along mu at the last point."""

    mixture: TwoGaussians
    count: int = 4096
    seed: int = 0
    chunk: int = 128

    def serial_divergence(self, steps: StepMap) -> float:
        """Return the divergence of steps one after another."""
        generator = Generator().manual_seed(self.seed)
        u = self.start(steps, self.count, generator)
        columns = (column[:, 0].tolist() for column in (steps.state, steps.denoised_weight, steps.noise))
        for sigma, state, weight, noise in zip(steps.sigmas[:-1], *columns, strict=True):
            u = state * u + weight * self.mixture.denoise(u, sigma)
            if noise:
                u = u + noise * normal_draws(u.shape, generator)
        return self.divergence(u, float(steps.sigmas[-1]))

    def block_divergence(
        self, blocks: list[StepMap], sweeps: int, langevin: Langevin | None = None, corrector_sweeps: int = 0
    ) -> float:
        """Return the divergence of PIADM: a number of sweeps in each block, and after it the corrector, if there is one."""
        chunks = []
        for generator in self.generators():
            u = self.start(blocks[0], self.chunk, generator)
            for block in blocks:
                u = list(islice(last_points(self.mixture, block, u, generator, "noise"), sweeps))[-1]
                if langevin is not None:
                    u = correct(self.mixture, langevin, u, float(block.sigmas[-1]), corrector_sweeps, generator)
            chunks.append(u)
        return self.divergence(torch.cat(chunks), float(blocks[-1].sigmas[-1]))

    def window_divergences(self, steps: StepMap, model: SlopeModel, sweeps: int) -> list[float]:
        """Return the divergences after 1, 2, ... Picard sweeps over all points."""
        chunks = []
        for generator in self.generators():
            u = self.start(steps, self.chunk, generator)
            chunks.append(torch.cat(list(islice(last_points(self.mixture, steps, u, generator, model), sweeps)), 1))
        return [self.divergence(u, float(steps.sigmas[-1])) for u in torch.cat(chunks).unbind(1)]

    def start(self, steps: StepMap, count: int, generator: Generator) -> Tensor:
        """Draw the first point (count, 1)."""
        return math.sqrt(1 + float(steps.sigmas[0]) ** 2) * normal_draws((count, 1), generator)

    def divergence(self, u: Tensor, sigma: float) -> float:
        """Return the estimated divergence of draws at noise level sigma."""
        return histogram_divergence(u.flatten(), self.mixture, sigma)

    def generators(self) -> Iterator[Generator]:
        """Yield a generator per chunk."""
        for k in range(self.count // self.chunk):
            yield Generator().manual_seed(self.seed + k)


def normal_draws(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Return independent draws from N(0, 1)."""
    return torch.randn(shape, generator=generator, dtype=F64)


def last_points(mixture: TwoGaussians, block: StepMap, u: Tensor, generator: Generator, model: SlopeModel) -> Iterator[Tensor]:
    """Yield the last point (chunk, 1) after 1, 2, ... sweeps over a block that begins with u (chunk, 1)."""
    shape = (len(u), block.steps)
    noise = block.noise[:, 0] * normal_draws(shape, generator) if block.stochastic else torch.zeros(shape, dtype=F64)
    unit, with_noise = torch.ones(1, dtype=F64), model == "gaussian"
    slopes = model_slopes(model, block, unit)
    guess_slopes = model_slopes("gaussian" if with_noise else "identity", block, unit)
    products = running_products(slopes)
    x = forward_scan(running_products(guess_slopes), u, noise if with_noise else torch.zeros_like(noise))
    while True:
        old = x[:, :-1]
        stepped = block.state[:, 0] * old + block.denoised_weight[:, 0] * mixture.denoise(old, block.sigmas[:-1]) + noise
        x = forward_scan(products, u, stepped - slopes * old)
        yield x[:, -1:]


def forward_scan(products: Tensor, first: Tensor, values: Tensor) -> Tensor:
    """Return `x[i+1] = A_i x[i] + values_i` from x[0] at all points (chunk, n + 1); A comes as running products (1, n + 1)."""
    return products * torch.cat([first, first + (values / products[:, 1:]).cumsum(1)], 1)


def correct(mixture: TwoGaussians, langevin: Langevin, u: Tensor, sigma: float, sweeps: int, generator: Generator) -> Tensor:
    """Return the position after a number of sweeps of the corrector at noise level sigma."""
    scale, shape = math.sqrt(1 + sigma**2), (len(u), langevin.steps)
    first, v = u / scale, normal_draws((len(u), 1), generator)
    y_noise, v_noise = langevin_noise(langevin, shape, generator)
    decay = running_products(torch.full((1, langevin.steps), langevin.decay, dtype=F64))
    ones = torch.ones_like(decay)
    y = first.expand(-1, langevin.steps + 1)
    levels = torch.full((langevin.steps,), sigma, dtype=F64)
    for _ in range(sweeps):
        score = (mixture.denoise(scale * y[:, :-1], levels) / scale - y[:, :-1]) * (1 + sigma**2) / sigma**2
        velocity = forward_scan(decay, v, langevin.velocity_weight * score + v_noise)[:, :-1]
        y = forward_scan(ones, first, langevin.velocity_weight * velocity + langevin.score_weight * score + y_noise)
    return scale * y[:, -1:]


def langevin_noise(langevin: Langevin, shape: tuple[int, int], generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw the noises of position and velocity with their covariance."""
    position, velocity, covariance = langevin.noise()
    one, two = (normal_draws(shape, generator) for _ in range(2))
    v_noise = math.sqrt(velocity) * one
    return covariance / velocity * v_noise + math.sqrt(max(position - covariance**2 / velocity, 0.0)) * two, v_noise
