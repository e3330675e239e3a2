"""Closed-form problems: data distributions whose denoiser `D(x, sigma) = E[x0 | x0 + sigma n = x]` is known exactly.

Each is a callable denoiser, `problem(x, sigma)` with x (B, *shape) and sigma (B,), that computes in float64 and answers in x's
dtype and on its device. Rows of a batch are computed independently: a row depends on the others by rounding at most.
"""

from collections.abc import Callable
from math import sqrt
from typing import Protocol

import torch
from torch import Tensor

from parampi.diffusion.noise import centred_uniform, normal
from parampi.errors import ConfigError

F64 = torch.float64
# Streams of the generator that only `sample` uses: data drawn here never shares numbers with a sampler of the same seed.
FIELD_STREAM, COMPONENT_STREAM = 0xDA7A, 0xDA7B


class Problem(Protocol):
    """Protocol of the closed-form problems."""

    shape: tuple[int, ...]
    sigma_data: float

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the exact denoised fields (B, *shape)."""

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return exact draws of the data, (n, *shape), float64."""


class Gaussian:
    """Independent Gaussian entries: `x0 ~ N(mean, diag(variance))`, `D = mean + v/(v + sigma^2) (x - mean)`."""

    def __init__(self, mean: Tensor, variance: Tensor | float):
        """`mean`: (*shape); `variance`: positive, of any shape that broadcasts to it."""
        self.mean = torch.as_tensor(mean, dtype=F64)
        self.variance = torch.as_tensor(variance, dtype=F64)
        self.shape: tuple[int, ...] = tuple(self.mean.shape)
        self._check_variance()
        self.sigma_data = float((self.mean**2 + self.variance).mean().sqrt())

    def _check_variance(self) -> None:
        try:
            self.variance.expand(self.shape)
        except RuntimeError as error:
            shape = tuple(self.variance.shape)
            raise ConfigError(f"a variance of shape {shape} does not broadcast to the mean's shape {self.shape}") from error
        if not bool((self.variance > 0).all()):
            raise ConfigError("the variance of a Gaussian must be positive everywhere")

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the exact denoised fields (B, *shape)."""
        mean, variance = self.mean.to(x.device), self.variance.to(x.device)
        shift = x.to(F64) - mean
        return (mean + variance / (variance + _rows(sigma, x) ** 2) * shift).to(x.dtype)

    denoise = __call__

    def marginal(self, sigma: float) -> "Gaussian":
        """Return the distribution of `x0 + sigma n`."""
        return Gaussian(self.mean, self.variance + sigma**2)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return exact draws of the data, (n, *shape), float64."""
        return self.mean + self.variance.sqrt() * _white(n, seed, self.shape)


class GaussianMixture:
    """Equally likely isotropic Gaussians with random means: `D = sum_k w_k(x) (mu_k + v/(v + sigma^2) (x - mu_k))`.

    The weights w_k are the posterior probabilities of the components, a softmax of `-|x - mu_k|^2 / 2(v + sigma^2)`.
    """

    sigma_data = 1.0

    def __init__(self, dim: int = 64, components: int = 8, variance: float = 0.25, seed: int = 0):
        """Means are drawn from N(0, 1 - variance), so that entries have unit second moment on average."""
        if dim % 8 or dim < 8 or components < 1 or not 0 < variance <= 1:
            raise ConfigError(
                f"a mixture needs a dim that is a multiple of 8, components >= 1 and a variance in (0, 1]; "
                f"got dim = {dim}, components = {components}, variance = {variance}"
            )
        generator = torch.Generator().manual_seed(seed)
        self.shape: tuple[int, ...] = (1, 8, dim // 8)
        self.means: Tensor = torch.randn(components, dim, generator=generator, dtype=F64) * (1 - variance) ** 0.5
        self.variance = variance

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the exact denoised fields (B, *shape)."""
        flat, means = x.to(F64).flatten(1), self.means.to(x.device)
        total = self.variance + _rows(sigma, flat) ** 2
        distances = torch.cat([((flat - mean) ** 2).sum(1, keepdim=True) for mean in means], dim=1)
        mean = _weighted_sum(torch.softmax(-0.5 * distances / total, dim=1), means)
        denoised: Tensor = mean + self.variance / total * (flat - mean)
        return denoised.reshape(x.shape).to(x.dtype)

    denoise = __call__

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return exact draws of the data, (n, *shape), float64."""
        means = self.means[_components(n, seed, len(self.means))].reshape(n, *self.shape)
        return means + sqrt(self.variance) * _white(n, seed, self.shape)


class FieldMixture:
    """Equally likely Gaussian random fields on a periodic square that share one power-law spectrum, `c_k ~ k^-slope`.

    Their means differ at large scales: a simple model of a flow with regimes. In Fourier modes (orthonormal transform) each
    component is diagonal, `D_k = mu_k + c_k/(c_k + sigma^2) (x_k - mu_k)`, and D is their average with the posterior weights.
    """

    sigma_data = 1.0

    def __init__(
        self,
        n: int = 64,
        *,
        slope: float = 3.0,
        components: int = 1,
        mean_fraction: float = 0.5,
        cutoff: float = 6,
        seed: int = 0,
    ):
        """Fields have n x n points and unit variance, of which the means (wavenumbers up to `cutoff`) carry `mean_fraction`."""
        if n < 2 or components < 1 or not 0 <= mean_fraction < 1:
            raise ConfigError(
                f"fields need n >= 2, components >= 1 and a mean_fraction in [0, 1); "
                f"got n = {n}, components = {components}, mean_fraction = {mean_fraction}"
            )
        self.n = n
        self.shape: tuple[int, ...] = (1, n, n)
        self.wavenumber, self.multiplicity = _half_plane(n)
        spectrum = self.wavenumber**-slope
        spectrum = spectrum / ((spectrum * self.multiplicity).sum() / n**2)
        self.spectrum = spectrum if components == 1 else spectrum * (1 - mean_fraction)
        self.means = torch.zeros(1, n, n // 2 + 1, dtype=torch.complex128)
        if components > 1:
            large_scales = spectrum.sqrt() * (self.wavenumber <= cutoff)
            self.means = self._regimes(components, large_scales, mean_fraction, seed)

    def _regimes(self, components: int, amplitude: Tensor, mean_fraction: float, seed: int) -> Tensor:
        """Return random large-scale fields with zero average over the components and mean power `mean_fraction`."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(components, self.n, self.n, generator=generator, dtype=F64)
        means = torch.fft.rfft2(noise, norm="ortho") * amplitude
        means = means - means.mean(0, keepdim=True)
        power = (means.abs() ** 2 * self.multiplicity).sum((1, 2)).mean() / self.n**2
        scaled: Tensor = means * mean_fraction**0.5 / power.sqrt()
        return scaled

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the exact denoised fields (B, *shape); raise ConfigError where they are not n x n points each."""
        if x.shape[1:].numel() != self.n**2 or (x.ndim > 2 and x.shape[-2:] != self.shape[1:]):
            raise ConfigError(
                f"a field has the shape {tuple(x.shape[1:])}, and those of FieldMixture(n={self.n}) have {self.shape}; "
                f"sample with shape={self.shape}, or give another n"
            )
        modes = torch.fft.rfft2(x.to(F64).reshape(len(x), self.n, self.n), norm="ortho")
        spectrum = self.spectrum.to(x.device)
        total = spectrum + _rows(sigma, modes) ** 2
        gain = spectrum / total
        if len(self.means) == 1:
            modes = gain * modes
        else:
            mean = self._posterior_mean(modes, total)
            modes = mean + gain * (modes - mean)
        return _to_points(modes, self.n).reshape(x.shape).to(x.dtype)

    denoise = __call__

    def _posterior_mean(self, modes: Tensor, total: Tensor) -> Tensor:
        """Return the components' means averaged with their posterior probabilities, (B, n, n // 2 + 1)."""
        means, precision = self.means.to(modes.device), self.multiplicity.to(modes.device) / total
        distances = [(_square(modes - mean) * precision).flatten(1).sum(1, keepdim=True) for mean in means]
        weights = torch.softmax(-0.5 * torch.cat(distances, dim=1), dim=1)
        return _weighted_sum(weights, means)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return exact draws of the data, (n, 1, self.n, self.n), float64."""
        white = torch.fft.rfft2(_white(n, seed, self.shape[1:]), norm="ortho")
        modes = self.means[_components(n, seed, len(self.means))] + self.spectrum.sqrt() * white
        return _to_points(modes, self.n)[:, None]


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "gmm64": GaussianMixture,
    "grf64": FieldMixture,
    "grfmix64": lambda: FieldMixture(components=6),
}


def _half_plane(n: int) -> tuple[Tensor, Tensor]:
    """Return the wavenumber of every mode of rfft2 on n x n points (1 for the mean mode), and how many full modes it stands
    for."""
    rows = torch.fft.fftfreq(n, dtype=F64) * n
    columns = torch.fft.rfftfreq(n, dtype=F64) * n
    wavenumber = (rows[:, None] ** 2 + columns[None] ** 2).sqrt()
    wavenumber[0, 0] = 1.0
    multiplicity = torch.full_like(wavenumber, 2.0)
    multiplicity[:, 0] = 1.0
    if n % 2 == 0:
        multiplicity[:, -1] = 1.0
    return wavenumber, multiplicity


def _to_points(modes: Tensor, n: int) -> Tensor:
    """Return irfft2, by single axes with contiguous memory in between."""
    points: Tensor = torch.fft.irfft(torch.fft.ifft(modes, dim=-2, norm="ortho").contiguous(), n=n, dim=-1, norm="ortho")
    return points


def _rows(sigma: Tensor, like: Tensor) -> Tensor:
    """Return sigma (B,) as float64 (B, 1, ..., 1), to broadcast over the fields of `like`."""
    return sigma.to(like.device, F64).reshape(-1, *[1] * (like.ndim - 1))


def _weighted_sum(weights: Tensor, means: Tensor) -> Tensor:
    """Return sum_k weights[:, k] means[k], term by term."""
    columns = weights.reshape(*weights.shape, *[1] * (means.ndim - 1)).unbind(1)
    total = columns[0] * means[0]
    for weight, mean in zip(columns[1:], means[1:], strict=True):
        total = total + weight * mean
    return total


def _square(z: Tensor) -> Tensor:
    return z.real**2 + z.imag**2


def _white(n: int, seed: int, shape: tuple[int, ...]) -> Tensor:
    return normal(seed, torch.arange(n), torch.zeros(1, dtype=torch.int64), shape, stream=FIELD_STREAM)[0]


def _components(n: int, seed: int, count: int) -> Tensor:
    """Return one of `count` equally likely components for each draw."""
    uniform = centred_uniform(seed, torch.arange(n), torch.zeros(1, dtype=torch.int64), (), stream=COMPONENT_STREAM)[0]
    return ((uniform + 0.5) * count).long().clamp(max=count - 1)
