"""A mixture of two Gaussians in any dimension, taken apart into what is exact and one axis that is simulated.

Half of the data are N(mu, v), half N(-mu, v). With u the coordinate along mu the denoiser is

    along mu    D = v/(v + sigma^2) u + sigma^2/(v + sigma^2) |mu| tanh(|mu| u/(v + sigma^2))
    across      D = v/(v + sigma^2) x

so the axes across are Gaussian data and know nothing of u, nor u of them: samplers and sweeps keep them independent, and
divergences add up. Those across are exact; u is drawn many times, and its divergence estimated from a histogram.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from parampi.samplers import StepMap
from scaling_law.corrector import Langevin
from scaling_law.problems import F64, Modes, Started
from scaling_law.sweeps import Model, chain, model_slopes

UNIT = torch.ones(1, dtype=F64)


@dataclass(frozen=True)
class Pair:
    """Two components at a distance that grows with the dimension, so that entries have unit second moment on average."""

    dim: int
    variance: float = 0.25

    @property
    def distance(self) -> float:
        """|mu|."""
        return math.sqrt(self.dim * (1 - self.variance))

    @property
    def across(self) -> Modes:
        """The axes across, exactly."""
        return modes(0.0, self.variance, self.dim - 1)

    @property
    def component(self) -> Modes:
        """One of the components, with the axis along mu as the second kind, from its own start."""
        mean, count = (torch.tensor(pair, dtype=F64) for pair in ((0.0, self.distance), (self.dim - 1.0, 1.0)))
        return Started(mean, torch.full_like(mean, self.variance), count)

    def denoise(self, u: Tensor, sigmas: Tensor) -> Tensor:
        """D along mu, (..., n) at noise levels (n,)."""
        total = self.variance + sigmas**2
        return (self.variance * u + sigmas**2 * self.distance * torch.tanh(self.distance * u / total)) / total

    def start_divergence(self, horizon: float) -> float:
        """KL divergence of the data at time `horizon` from N(0, 1): across in closed form, along mu by the trapezoidal rule."""
        alpha = math.exp(-horizon / 2)
        spread, centre = alpha**2 * self.variance - math.expm1(-horizon), alpha * self.distance
        y = torch.linspace(-centre - 12, centre + 12, 20001, dtype=F64)
        log_density = torch.logaddexp(-((y - centre) ** 2) / (2 * spread), -((y + centre) ** 2) / (2 * spread))
        log_density = log_density - math.log(2) - math.log(2 * math.pi * spread) / 2
        ratio = log_density + y**2 / 2 + math.log(2 * math.pi) / 2
        return float(torch.trapezoid(log_density.exp() * ratio, y)) + (self.dim - 1) / 2 * (spread - 1 - math.log(spread))


def modes(mean: float, variance: float, count: float) -> Modes:
    """One kind of axis."""
    return Modes(mean * UNIT, variance * UNIT, count * UNIT)


def quantiles(pair: Pair, sigma: float, bins: int) -> Tensor:
    """Borders (bins - 1,) of equally likely bins along mu at noise level sigma, by bisection."""
    scale = math.sqrt(2 * (pair.variance + sigma**2))
    wanted = torch.arange(1, bins, dtype=F64) / bins
    low, high = (torch.full_like(wanted, side * (pair.distance + 10 * scale)) for side in (-1, 1))
    for _ in range(100):
        middle = (low + high) / 2
        reached = 0.5 + (torch.erf((middle - pair.distance) / scale) + torch.erf((middle + pair.distance) / scale)) / 4
        low, high = torch.where(reached < wanted, middle, low), torch.where(reached < wanted, high, middle)
    return (low + high) / 2


def histogram_divergence(u: Tensor, pair: Pair, sigma: float, bins: int = 32) -> float:
    """KL divergence of the true law along mu from that of draws u (n,), both in equally likely bins, less its bias.

    Of the bias, (bins - 1)/2n, a scatter of about sqrt(bins/2)/n is left. Bins cannot tell more than the law itself.
    """
    counts = torch.histogram(u.clamp(-1e12, 1e12), torch.cat([-1e13 * UNIT, quantiles(pair, sigma, bins), 1e13 * UNIT])).hist
    share = (counts + 0.5) / (len(u) + 0.5 * bins)
    return float(-(share * bins).log().mean()) - (bins - 1) / (2 * len(u))


@dataclass(frozen=True)
class Draws:
    """Many draws of u, in chunks whose trajectories fit into memory. Divergences are those along mu at the last point."""

    pair: Pair
    count: int = 4096
    seed: int = 0
    chunk: int = 128

    def serial(self, steps: StepMap) -> float:
        """One step after another."""
        generator = torch.Generator().manual_seed(self.seed)
        u = self.start(steps, self.count, generator)
        numbers = (column[:, 0].tolist() for column in (steps.state, steps.denoised_weight, steps.noise))
        for sigma, state, drift, noise in zip(steps.sigmas[:-1], *numbers, strict=True):
            u = state * u + drift * self.pair.denoise(u, sigma)
            if noise:
                u = u + noise * normals(u.shape, generator)
        return self.divergence(u, float(steps.sigmas[-1]))

    def blocks(self, blocks: list[StepMap], sweeps: int, langevin: Langevin | None = None, corrector_sweeps: int = 0) -> float:
        """PIADM: a number of sweeps in each block, and after it the corrector, if there is one."""
        drawn = []
        for generator in self.generators():
            u = self.start(blocks[0], self.chunk, generator)
            for block in blocks:
                u = list(islice(sweep(self.pair, block, u, generator, "noise"), sweeps))[-1]
                if langevin is not None:
                    u = corrected(self.pair, langevin, u, float(block.sigmas[-1]), corrector_sweeps, generator)
            drawn.append(u)
        return self.divergence(torch.cat(drawn), float(blocks[-1].sigmas[-1]))

    def window(self, steps: StepMap, model: Model, sweeps: int) -> list[float]:
        """Picard sweeps over all points: after 1, 2, ... sweeps."""
        drawn = []
        for generator in self.generators():
            u = self.start(steps, self.chunk, generator)
            drawn.append(torch.cat(list(islice(sweep(self.pair, steps, u, generator, model), sweeps)), 1))
        return [self.divergence(u, float(steps.sigmas[-1])) for u in torch.cat(drawn).unbind(1)]

    def start(self, steps: StepMap, count: int, generator: torch.Generator) -> Tensor:
        return math.sqrt(1 + float(steps.sigmas[0]) ** 2) * normals((count, 1), generator)

    def divergence(self, u: Tensor, sigma: float) -> float:
        return histogram_divergence(u.flatten(), self.pair, sigma)

    def generators(self) -> Iterator[torch.Generator]:
        for k in range(self.count // self.chunk):
            yield torch.Generator().manual_seed(self.seed + k)


def normals(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=F64)


def sweep(pair: Pair, block: StepMap, u: Tensor, generator: torch.Generator, model: Model) -> Iterator[Tensor]:
    """The last point (chunk, 1) after 1, 2, ... sweeps over a block that begins with u (chunk, 1)."""
    shape = (len(u), block.steps)
    noise = block.noise[:, 0] * normals(shape, generator) if block.stochastic else torch.zeros(shape, dtype=F64)
    slopes = model_slopes(model, block, UNIT)
    products, informed = chain(slopes), model == "gaussian"
    guess = model_slopes("gaussian" if informed else "identity", block, UNIT)
    x = scanned(chain(guess), u, noise if informed else torch.zeros_like(noise))
    while True:
        old = x[:, :-1]
        made = block.state[:, 0] * old + block.denoised_weight[:, 0] * pair.denoise(old, block.sigmas[:-1]) + noise
        x = scanned(products, u, made - slopes * old)
        yield x[:, -1:]


def scanned(products: Tensor, first: Tensor, values: Tensor) -> Tensor:
    """`x[i+1] = A_i x[i] + values_i` from x[0], for all points (chunk, n + 1), with A given by its products (1, n + 1)."""
    return products * torch.cat([first, first + (values / products[:, 1:]).cumsum(1)], 1)


def corrected(pair: Pair, langevin: Langevin, u: Tensor, sigma: float, sweeps: int, generator: torch.Generator) -> Tensor:
    """The position after a number of sweeps of the corrector at noise level sigma."""
    scale, shape = math.sqrt(1 + sigma**2), (len(u), langevin.steps)
    first, v = u / scale, normals((len(u), 1), generator)
    noise_y, noise_v = langevin_noise(langevin, shape, generator)
    decay = chain(torch.full((1, langevin.steps), langevin.decay, dtype=F64))
    still = torch.ones_like(decay)
    y = first.expand(-1, langevin.steps + 1)
    level = torch.full((langevin.steps,), sigma, dtype=F64)
    for _ in range(sweeps):
        score = (pair.denoise(scale * y[:, :-1], level) / scale - y[:, :-1]) * (1 + sigma**2) / sigma**2
        velocity = scanned(decay, v, langevin.drift * score + noise_v)[:, :-1]
        y = scanned(still, first, langevin.drift * velocity + langevin.pull * score + noise_y)
    return scale * y[:, -1:]


def langevin_noise(langevin: Langevin, shape: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noises of position and velocity with their covariance."""
    position, velocity, both = langevin.noise()
    one, two = (normals(shape, generator) for _ in range(2))
    noise_v = math.sqrt(velocity) * one
    return both / velocity * noise_v + math.sqrt(max(position - both**2 / velocity, 0.0)) * two, noise_v
