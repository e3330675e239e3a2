"""The U-Net of the first example with a coarse field as a second input: the network `F` of an EDM denoiser (Karras et al. 2022,
arXiv:2206.00364)."""

import importlib.util
import math
from pathlib import Path

import torch


def turbulence():
    """The first example's networks."""
    path = Path(__file__).resolve().parents[1] / "01_turbulence" / "model.py"
    spec = importlib.util.spec_from_file_location("turbulence_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIRST = turbulence()


def finer(coarse, shape):
    """Periodic fields (B, C, h, w) of means over cells, interpolated to (B, C, H, W) by their Fourier series."""
    (h, w), (n, m) = coarse.shape[-2:], shape
    modes = torch.fft.rfft2(coarse)
    # wavenumbers of a coarse grid's Nyquist frequency have no definite phase, and are left out
    wide = modes.new_zeros(*coarse.shape[:-2], n, m // 2 + 1)
    top, low = (h - 1) // 2 + 1, (h - 1) // 2
    wide[..., :top, : (w - 1) // 2 + 1] = modes[..., :top, : (w - 1) // 2 + 1]
    wide[..., n - low :, : (w - 1) // 2 + 1] = modes[..., h - low :, : (w - 1) // 2 + 1]
    ky = torch.fft.fftfreq(n, 1 / n, device=coarse.device)[:, None]
    kx = torch.fft.rfftfreq(m, 1 / m, device=coarse.device)
    # cells are centred half a fine grid length before their (n / h)-th point
    shift = torch.exp(-1j * math.pi * (ky * (1 / h - 1 / n) + kx * (1 / w - 1 / m)))
    return torch.fft.irfft2(wide * shift, s=shape) * (n * m) / (h * w)


class Downscaler(FIRST.UNet):
    """`F(x, c_noise, coarse)` with x (B, channels, H, W), c_noise (B,) and means over cells coarse (B, channels, h, w); H and W
    are multiples of h and w, and divisible by 2^(levels - 1)."""

    def __init__(self, channels=1, widths=(16, 48, 64, 64), **options):
        super().__init__(channels, widths, **options)
        self.stem = FIRST.circular(2 * channels, widths[0])

    def forward(self, x, noise, coarse):
        return super().forward(torch.cat([x, finer(coarse.to(x.dtype), x.shape[-2:])], dim=1), noise)
