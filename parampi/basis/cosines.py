"""The orthonormal cosine transform along the last axis, by a Fourier transform of the same length."""

from math import sqrt

import torch
from torch import Tensor


def twiddles(n: int) -> tuple[Tensor, Tensor]:
    """Return factors (n // 2 + 1,), complex128, that turn the Fourier coefficients of reordered values into cosine
    coefficients, and those that turn them back."""
    k = torch.arange(n // 2 + 1, dtype=torch.float64)
    angle = k * (-torch.pi / (2 * n))
    size = torch.full_like(k, sqrt(2 / n))
    size[0] = sqrt(1 / n)
    return torch.polar(size, angle), torch.polar(1 / size, -angle)


def cosine(x: Tensor, twiddle: Tensor) -> Tensor:
    """Return the DCT-II, `z_k = s_k sum_j x_j cos(pi k (2 j + 1) / 2n)` with s_0 = sqrt(1/n), s_k = sqrt(2/n); (..., n) like x.

    The values at even places followed by those at odd places backwards have Fourier coefficients V with
    `z_k = Re(t_k V_k)`, `z_{n-k} = -Im(t_k V_k)` (Makhoul 1980, IEEE Trans. ASSP 28, 27).
    """
    n = x.shape[-1]
    folded = torch.cat([x[..., 0::2], x[..., 1::2].flip(-1)], dim=-1)
    turned = torch.fft.rfft(folded, dim=-1) * twiddle
    return torch.cat([turned.real, -turned.imag[..., 1 : (n + 1) // 2].flip(-1)], dim=-1)


def inverse_cosine(z: Tensor, untwiddle: Tensor) -> Tensor:
    """Return x of z, the inverse (and transpose) of `cosine`."""
    n, half = z.shape[-1], (z.shape[-1] + 1) // 2
    imaginary = torch.cat([torch.zeros_like(z[..., :1]), -z[..., half:].flip(-1)], dim=-1)
    folded = torch.fft.irfft(torch.complex(z[..., : n // 2 + 1], imaginary) * untwiddle, n=n, dim=-1)
    x = torch.empty_like(folded)
    x[..., 0::2], x[..., 1::2] = folded[..., :half], folded[..., half:].flip(-1)
    return x
