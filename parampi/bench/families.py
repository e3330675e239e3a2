"""Families of problems on which the tolerance is judged, split by a coin into a half to develop on and one to judge by.

No number of a stop rule is fitted to the judging half. The coin was tossed once: `HALVES` is what fell.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from parampi.basis import Fourier, Identity
from parampi.bench.spiral import spiral_network
from parampi.diffusion.exact import FieldMixture, GaussianMixture, Problem
from parampi.diffusion.mixtures import DiagonalMixture, PixelMixture
from parampi.solvers.spectral.prior import SpectralPrior

F64 = torch.float64
SAMPLES = 2048
"""Draws from which the spectral solver's statistics are made, as a user makes them of data."""


def spectrum(n: int, slope: float, stretch: float = 1.0, angle: float = 0.0, floor: float = 0.0) -> Tensor:
    """Return variances (1, n, n) of modes, `k^-slope + floor`, of unit mean; k is longer by `stretch` along a direction."""
    k = torch.fft.fftfreq(n, dtype=F64) * n
    along = k[:, None] * math.cos(angle) + k[None] * math.sin(angle)
    across = k[None] * math.cos(angle) - k[:, None] * math.sin(angle)
    length = ((along * stretch) ** 2 + across**2).sqrt()
    length[0, 0] = 1.0
    power = length.clamp(min=1.0) ** -slope + floor
    variances: Tensor = (power / power.mean())[None]
    return variances


def scales(ratio: float, count: int) -> tuple[Tensor, Tensor]:
    """Return variances (K,) that lie `ratio` apart, and binomial weights (K,), of unit mean variance."""
    weights = torch.tensor([math.comb(count - 1, k) for k in range(count)], dtype=F64)
    variances = ratio ** torch.arange(count, dtype=F64)
    return variances / (variances * weights / weights.sum()).sum(), weights


def scaled(shape: tuple[int, ...], variance: Tensor, ratio: float, count: int, fourier: bool) -> DiagonalMixture:
    """Return a scale mixture of Gaussian fields: heavy tails."""
    factors, weights = scales(ratio, count)
    variances = factors.view(-1, *[1] * len(shape)) * variance
    return DiagonalMixture(shape, torch.zeros(1, *shape), variances, weights, fourier)


def modes_apart(dim: int, means: Tensor, variance: float | Tensor, weights: Tensor | None = None) -> DiagonalMixture:
    """Return a mixture of Gaussians in `dim` dimensions."""
    variances = torch.as_tensor(variance, dtype=F64).view(-1, 1).expand(-1, dim)
    return DiagonalMixture((dim,), means, variances, weights)


def scattered(dim: int, count: int, variance: float | Tensor, seed: int) -> DiagonalMixture:
    """Return a mixture with random means, of unit second moment on average."""
    rest = 1 - float(torch.as_tensor(variance, dtype=F64).mean())
    means = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=F64) * rest**0.5
    return modes_apart(dim, means, variance)


def in_one_direction(dim: int, distance: float, variance: float, weights: Tensor | None = None) -> DiagonalMixture:
    means = torch.zeros(2, dim, dtype=F64)
    means[:, 0] = torch.tensor([-distance, distance])
    return modes_apart(dim, means, variance, weights)


def steps_along(dim: int) -> DiagonalMixture:
    """Return square waves of all phases, a little blurred by noise."""
    wave = torch.where(torch.arange(dim) < dim // 2, 1.0, -1.0).to(F64)
    return modes_apart(dim, torch.stack([wave.roll(shift) for shift in range(dim)]), 0.01)


def waves(dim: int) -> DiagonalMixture:
    """Return travelling waves: two wavenumbers, whose phases go together."""
    phase = torch.arange(dim, dtype=F64) * 2 * math.pi / dim
    wave = phase.sin() + 0.5 * (3 * phase + 1).cos()
    return modes_apart(dim, torch.stack([wave.roll(shift) for shift in range(dim)]), 0.01)


def edges(n: int) -> DiagonalMixture:
    """Return fields of two values, separated by straight edges of 32 directions and places."""
    place = torch.linspace(-1, 1, n, dtype=F64)
    generator = torch.Generator().manual_seed(5)
    angles = torch.rand(32, generator=generator, dtype=F64) * 2 * math.pi
    offsets = torch.rand(32, generator=generator, dtype=F64) - 0.5
    distance = angles.cos()[:, None, None] * place[:, None] + angles.sin()[:, None, None] * place - offsets[:, None, None]
    return DiagonalMixture((1, n, n), distance.sign()[:, None], torch.full((1, 1, n, n), 0.003, dtype=F64))


def bumps(n: int) -> DiagonalMixture:
    """Return a bump at one of 64 places, over weak red noise."""
    place = torch.arange(n, dtype=F64)
    shape = torch.exp(4 * (torch.cos(2 * math.pi * place / n) - 1))
    bump = 4 * shape[:, None] * shape[None]
    shifts = [(i, j) for i in range(0, n, n // 8) for j in range(0, n, n // 8)]
    fields = torch.stack([bump.roll(shift, (0, 1)) for shift in shifts])[:, None]
    noise = DiagonalMixture((1, n, n), torch.zeros(1, 1, n, n), 0.1 * spectrum(n, 3)[None], fourier=True)
    return DiagonalMixture((1, n, n), noise.modes(fields), noise.variances.view(1, 1, n, n), fourier=True)


def anisotropies(n: int, count: int) -> DiagonalMixture:
    """Return fields that are stretched in one of several directions."""
    variances = torch.stack([spectrum(n, 3, 4.0, math.pi * k / count) for k in range(count)])
    return DiagonalMixture((1, n, n), torch.zeros(1, 1, n, n), variances, fourier=True)


def layers(n: int) -> DiagonalMixture:
    """Return three channels of unlike spectra, with four regimes of large scales."""
    variances = torch.cat([0.5 * spectrum(n, 3), 0.8 * spectrum(n, 1.5), 0.3 * spectrum(n, 5)])
    generator = torch.Generator().manual_seed(11)
    large = spectrum(n, 3) * (spectrum(n, 3) > spectrum(n, 3).flatten().sort().values[-13])
    means = torch.randn(4, 3, n, n, generator=generator, dtype=F64) * (0.5 * large / large.mean()).sqrt()
    return DiagonalMixture((3, n, n), means, variances[None], fourier=True)


def one_gaussian(n: int, variances: Tensor) -> DiagonalMixture:
    return DiagonalMixture((1, n, n), torch.zeros(1, 1, n, n), variances[None], fourier=True)


FAMILIES: dict[str, Callable[[], Problem]] = {
    "heavy red fields": lambda: scaled((1, 32, 32), spectrum(32, 3), 4.0, 5, True),
    "heavy white fields": lambda: scaled((1, 16, 16), torch.ones(1, 16, 16), 4.0, 5, False),
    "heavy vectors": lambda: scaled((64,), torch.ones(64), 9.0, 4, False),
    "heavy pixels": lambda: PixelMixture((1, 16, 16), (0.0, 0.0, 0.0), (0.1, 1.0, 10.0), (0.6, 0.35, 0.05)),
    "binary pixels": lambda: PixelMixture((1, 16, 16), (-1.0, 1.0), (0.01, 0.01), (0.5, 0.5)),
    "rare pixels": lambda: PixelMixture((1, 16, 16), (0.0, 4.0), (0.01, 0.01), (0.95, 0.05)),
    "far modes, every direction": lambda: PixelMixture((8,), (-5.0, 5.0), (0.01, 0.01), (0.5, 0.5)),
    "far modes, one direction": lambda: in_one_direction(64, 8.0, 0.25),
    "near modes, unlike weights": lambda: in_one_direction(16, 2.0, 0.1, torch.tensor([0.9, 0.1])),
    "few components, narrow": lambda: scattered(8, 3, 0.01, 1),
    "few components, wide": lambda: scattered(64, 4, 0.5, 2),
    "many components, narrow": lambda: scattered(512, 50, 0.02, 3),
    "many components, wide": lambda: scattered(128, 50, 0.3, 4),
    "unequal variances": lambda: scattered(64, 8, torch.logspace(-2, 0, 8, dtype=F64) / 2, 6),
    "square waves": lambda: steps_along(64),
    "travelling waves": lambda: waves(64),
    "edges": lambda: edges(16),
    "bumps": lambda: bumps(32),
    "anisotropic field": lambda: one_gaussian(32, spectrum(32, 3, 6.0, 0.5)),
    "steep field": lambda: one_gaussian(32, spectrum(32, 6, floor=1e-7)),
    "mixed anisotropies": lambda: anisotropies(32, 6),
    "layers": lambda: layers(16),
    "mixture": GaussianMixture,
    "regimes": lambda: FieldMixture(n=32, components=6),
    "spirals": spiral_network,
}
"""Problems in closed form, and one small trained network, by the name of their family."""


DEVELOP = (
    "anisotropic field", "bumps", "edges", "far modes, every direction", "heavy vectors", "heavy white fields",
    "many components, narrow", "mixed anisotropies", "near modes, unlike weights", "regimes", "spirals", "square waves",
)  # fmt: skip
JUDGE = (
    "binary pixels", "far modes, one direction", "few components, narrow", "few components, wide", "heavy pixels",
    "heavy red fields", "layers", "many components, wide", "mixture", "rare pixels", "steep field", "travelling waves",
    "unequal variances",
)  # fmt: skip
HALVES: dict[str, tuple[str, ...]] = {"develop": DEVELOP, "judge": JUDGE}
"""What the coin said. The networks of the examples fell to the half to develop on."""


@lru_cache(maxsize=4)
def statistics_of(name: str) -> SpectralPrior:
    """Return statistics of a family, from samples of it: per shell of Fourier modes for fields, per entry for vectors."""
    problem = FAMILIES[name]()
    shape = tuple(problem.shape)
    basis = Fourier(shape) if len(shape) > 1 else Identity(shape)
    return SpectralPrior.from_samples(problem.sample(SAMPLES, seed=77), basis)
