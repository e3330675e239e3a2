"""A small U-Net for periodic fields that is given a coarse field, the network `F` of an EDM denoiser (Karras et al. 2022,
arXiv:2206.00364)."""

import math

import torch
from torch import nn
from torch.nn import functional


def circular(inputs, outputs, kernel=3):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="circular")


class Block(nn.Module):
    """Residual block; the noise level scales and shifts the normalised features."""

    def __init__(self, inputs, outputs, embedding, groups=8):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, inputs), circular(inputs, outputs)
        self.norm2, self.conv2 = nn.GroupNorm(groups, outputs), circular(outputs, outputs)
        self.modulate = nn.Linear(embedding, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x, emb):
        h = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.modulate(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(functional.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h


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


class Downscaler(nn.Module):
    """`F(x, c_noise, coarse)` with x (B, channels, H, W), c_noise (B,) and means over cells coarse (B, channels, h, w); H and W
    are multiples of h and w, and divisible by 2^(levels - 1)."""

    def __init__(self, channels=1, widths=(16, 48, 64, 64), depths=(1, 1, 1, 1), embedding=96):
        super().__init__()
        self.frequencies = nn.Buffer(torch.exp(torch.linspace(0.0, math.log(64.0), embedding // 2)))
        self.embed = nn.Sequential(nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.stem = circular(2 * channels, widths[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        kept = [widths[0]]
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for _ in range(depth):
                self.down.append(Block(kept[-1], width, embedding))
                kept.append(width)
            if level + 1 < len(widths):
                self.down.append(nn.Conv2d(width, width, 2, stride=2))
                kept.append(width)
        here = kept[-1]
        for level, (width, depth) in reversed(list(enumerate(zip(widths, depths, strict=True)))):
            for _ in range(depth + 1):
                self.up.append(Block(here + kept.pop(), width, embedding))
                here = width
            if level:
                self.up.append(nn.ConvTranspose2d(width, width, 2, stride=2))
        self.head_norm, self.head = nn.GroupNorm(8, here), circular(here, channels)
        nn.init.zeros_(self.head.weight)

    def forward(self, x, noise, coarse):
        angles = noise.to(x.dtype)[:, None] * self.frequencies
        emb = self.embed(torch.cat([angles.sin(), angles.cos()], dim=1))
        h = self.stem(torch.cat([x, finer(coarse.to(x.dtype), x.shape[-2:])], dim=1))
        kept = [h]
        for layer in self.down:
            h = layer(h, emb) if isinstance(layer, Block) else layer(h)
            kept.append(h)
        for layer in self.up:
            h = layer(torch.cat([h, kept.pop()], dim=1), emb) if isinstance(layer, Block) else layer(h)
        return self.head(functional.silu(self.head_norm(h)))
