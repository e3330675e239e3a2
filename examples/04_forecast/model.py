"""The U-Net of the first example with the vorticity before and its flow as more inputs: the network `F` of an EDM denoiser
(Karras et al. 2022, arXiv:2206.00364) of how the vorticity changes; and the vorticity after, of a change."""

import importlib.util
from pathlib import Path

import torch
from torch.nn import functional


def turbulence():
    """The first example's networks."""
    path = Path(__file__).resolve().parents[1] / "01_turbulence" / "model.py"
    spec = importlib.util.spec_from_file_location("turbulence_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIRST = turbulence()


def flow(vorticity):
    """Velocities (u, v) of vorticities (B, 1, n, n) on the square of side 2 pi, and the rate -u . grad omega: (B, 3, n, n)."""
    n = vorticity.shape[-1]
    modes = torch.fft.rfft2(vorticity)
    ky = torch.fft.fftfreq(n, 1 / n, dtype=vorticity.dtype, device=vorticity.device)[:, None]
    kx = torch.fft.rfftfreq(n, 1 / n, dtype=vorticity.dtype, device=vorticity.device)[None]
    # derivatives of the grid's shortest wave have no definite sign, and are left out
    inside = (ky.abs() < n / 2) & (kx < n / 2)
    ky, kx = 1j * ky * inside, 1j * kx * inside
    inverse = 1 / (-(ky**2) - kx**2).real.clamp(min=1)
    u, v, along_x, along_y = torch.fft.irfft2(
        torch.cat([ky * inverse * modes, -kx * inverse * modes, kx * modes, ky * modes], dim=1), s=(n, n)
    ).split(1, dim=1)
    return torch.cat([u, v, -u * along_x - v * along_y], dim=1)


class Change(FIRST.UNet):
    """`F(x, c_noise, before)` with noisy changes x (B, 1, n, n), c_noise (B,) and vorticities before (B, 1, n, n), both
    normalised; works on patches of 2x2 points; n divisible by 2^levels."""

    # standard deviations of the velocities and of the rate, for vorticity of unit variance
    SCALES = (0.25, 0.25, 1.0)
    PATCH = 2

    def __init__(self, widths=(32, 64, 64), depths=(1, 1, 1), **options):
        super().__init__(self.PATCH**2, widths, depths, **options)
        self.stem = FIRST.circular(5 * self.PATCH**2, widths[0])

    def forward(self, x, noise, before):
        before = before.to(x.dtype)
        moving = flow(before) / before.new_tensor(self.SCALES)[:, None, None]
        inputs = functional.pixel_unshuffle(torch.cat([x, before, moving], dim=1), self.PATCH)
        return functional.pixel_shuffle(super().forward(inputs, noise), self.PATCH)


class Added(torch.nn.Module):
    """The vorticity after, of the change drawn and of the vorticity before: `before + change * drawn`, all normalised."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, drawn, prepared):
        return prepared[0] + self.change * drawn
