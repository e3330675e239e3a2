"""Further closed-form problems: mixtures of Gaussians that are diagonal in one basis, and fields of independent entries.

They are as the problems of `parampi.diffusion.exact`: callable denoisers that compute in float64, row by row.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from parampi.errors import ConfigError

F64 = torch.float64


class DiagonalMixture:
    """Gaussians that are diagonal in the same orthonormal modes: `D = sum_k w_k(x) (mu_k + v_k/(v_k + s^2) (x - mu_k))`.

    The weights w_k are the posterior probabilities `p_k prod_f N(x_f; mu_kf, v_kf + s^2)`, normalised over k. Modes are
    the entries themselves, or Fourier modes of the last two axes (Hartley's, which are real: `Re - Im` of an orthonormal
    transform).
    """

    def __init__(
        self, shape: Sequence[int], means: Tensor, variances: Tensor, weights: Tensor | None = None, fourier: bool = False
    ):
        """`means` and `variances`: of shapes that broadcast to (K, *shape), in modes; `weights`: (K,), equal by default."""
        self.shape: tuple[int, ...] = tuple(shape)
        count = max(len(means), len(variances))
        self.means, self.variances = (t.to(F64).expand(count, *self.shape).flatten(1) for t in (means, variances))
        if not bool((self.variances > 0).all()):
            raise ConfigError("the variances of a mixture must be positive everywhere")
        self.weights = torch.full((count,), 1 / count, dtype=F64) if weights is None else weights.to(F64) / weights.sum()
        self.fourier = fourier
        second = (self.weights[:, None] * (self.means**2 + self.variances)).sum(0)
        self.sigma_data = float(second.mean().sqrt())

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the exact denoised fields (B, *shape)."""
        modes, squares = self.modes(x.to(F64)).flatten(1), sigma.to(x.device, F64)[:, None] ** 2
        log_weights, answers = [], []
        for weight, mean, variance in zip(self.weights, self.means.to(x.device), self.variances.to(x.device), strict=True):
            total, shift = variance + squares, modes - mean
            log_weights.append(weight.log() - 0.5 * (shift**2 / total + total.log()).sum(1))
            answers.append(mean + variance / total * shift)
        posterior = torch.softmax(torch.stack(log_weights, 1), 1)
        denoised = posterior[:, 0, None] * answers[0]
        for k in range(1, len(answers)):
            denoised = denoised + posterior[:, k, None] * answers[k]
        return self.modes(denoised.view(len(x), *self.shape)).to(x.dtype)

    denoise = __call__

    def modes(self, fields: Tensor) -> Tensor:
        """Return modes of fields, or fields of modes: Hartley's transform is its own inverse."""
        if not self.fourier:
            return fields
        spectrum = torch.fft.fft(torch.fft.fft(fields, dim=-1, norm="ortho").contiguous(), dim=-2, norm="ortho")
        modes: Tensor = spectrum.real - spectrum.imag
        return modes

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return exact draws of the data, (n, *shape), float64."""
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        white = torch.randn(n, self.means.shape[1], generator=generator, dtype=F64)
        return self.modes((self.means[drawn] + self.variances[drawn].sqrt() * white).view(n, *self.shape))


class PixelMixture:
    """Independent entries, each from the same mixture of Gaussians on a line."""

    def __init__(self, shape: Sequence[int], means: Sequence[float], variances: Sequence[float], weights: Sequence[float]):
        """`means`, `variances` and `weights`: one number per component."""
        self.shape: tuple[int, ...] = tuple(shape)
        self.means, self.variances, self.weights = (torch.tensor(t, dtype=F64) for t in (means, variances, weights))
        if not bool((self.variances > 0).all()):
            raise ConfigError("the variances of a mixture must be positive")
        self.weights = self.weights / self.weights.sum()
        self.sigma_data = float((self.weights * (self.means**2 + self.variances)).sum().sqrt())

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the exact denoised fields (B, *shape)."""
        fields, squares = x.to(F64)[..., None], sigma.to(x.device, F64).view(-1, *[1] * x.ndim) ** 2
        means, variances, weights = (t.to(x.device) for t in (self.means, self.variances, self.weights))
        total, shift = variances + squares, fields - means
        posterior = torch.softmax(weights.log() - 0.5 * (shift**2 / total + total.log()), -1)
        denoised: Tensor = (posterior * (means + variances / total * shift)).sum(-1)
        return denoised.to(x.dtype)

    denoise = __call__

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return exact draws of the data, (n, *shape), float64."""
        generator = torch.Generator().manual_seed(seed)
        count = n * torch.Size(self.shape).numel()
        drawn = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        white = torch.randn(count, generator=generator, dtype=F64)
        return (self.means[drawn] + self.variances[drawn].sqrt() * white).view(n, *self.shape)
