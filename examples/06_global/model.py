"""A small U-Net on the sphere: the denoiser `D(x, sigma)` of the weather in twelve hours, given that of now."""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional


def around(fields, points=1):
    """Fields (B, C, H, W) with what lies beyond their edges: the other end of a circle of latitude, and across a pole the
    rows of the meridians on the other side."""
    across = fields.roll(fields.shape[-1] // 2, -1)
    north, south = across[..., :points, :].flip(-2), across[..., -points:, :].flip(-2)
    return functional.pad(torch.cat([north, fields, south], dim=-2), (points, points, 0, 0), mode="circular")


class Around(nn.Conv2d):
    """A 3x3 convolution on the sphere."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3)

    def forward(self, fields):
        return super().forward(around(fields))


class Block(nn.Module):
    """Residual block; the noise level scales and shifts the normalised features."""

    def __init__(self, inputs, outputs, embedding, groups=8):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, inputs), Around(inputs, outputs)
        self.norm2, self.conv2 = nn.GroupNorm(groups, outputs), Around(outputs, outputs)
        self.modulate = nn.Linear(embedding, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x, level):
        h = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.modulate(level)[:, :, None, None].chunk(2, dim=1)
        return self.skip(x) + self.conv2(functional.silu(self.norm2(h) * (1 + scale) + shift))


class UNet(nn.Module):
    """`F(x, c_noise)` with x (B, inputs, H, W) and c_noise (B,), on patches of 2x2 points; H and W divisible by 2^levels."""

    def __init__(self, inputs, outputs, widths=(48, 64, 80), embedding=64):
        super().__init__()
        self.frequencies = nn.Buffer(torch.exp(torch.linspace(0.0, math.log(64.0), embedding // 2)))
        self.embed = nn.Sequential(nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.stem = Around(4 * inputs, widths[0])
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(Block(width, width, embedding) for width in widths)
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.middle = Block(widths[-1], widths[-1], embedding)
        self.widen = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(Block(2 * a, a, embedding) for a, _ in pairs)
        self.last = Block(widths[0], widths[0], embedding)
        self.norm, self.head = nn.GroupNorm(8, widths[0]), Around(widths[0], 4 * outputs)
        nn.init.zeros_(self.head.weight)

    def forward(self, x, noise):
        angles = noise.to(x.dtype)[:, None] * self.frequencies
        level = self.embed(torch.cat([angles.sin(), angles.cos()], dim=1))
        h, kept = self.stem(functional.pixel_unshuffle(x, 2)), []
        for block, narrow in zip(self.down, [*self.narrow, None], strict=True):
            h = block(h, level)
            if narrow is not None:
                kept.append(h)
                h = narrow(h)
        h = self.middle(h, level)
        for widen, block in reversed(list(zip(self.widen, self.up, strict=True))):
            h = block(torch.cat([widen(h), kept.pop()], dim=1), level)
        h = self.last(h, level)
        return functional.pixel_shuffle(self.head(functional.silu(self.norm(h))), 2)


class Weather(nn.Module):
    """`D(x, sigma, condition)`: x (B, 3, H, W) noisy height and winds, condition (B, 5, H, W) those of now, ground and land,
    all normalised.

    The network inside denoises changes z = (x - now) / change, whose noise level is sigma / change, a number for each channel,
    as EDM does for data of unit variance (Karras et al. 2022, arXiv:2206.00364).
    """

    CHANNELS, STATIC = 3, 2

    def __init__(self, **options):
        super().__init__()
        self.change = nn.Buffer(torch.ones(self.CHANNELS))
        self.network = UNet(2 * self.CHANNELS + self.STATIC + 1, self.CHANNELS, **options)

    def inner(self, changes, level, condition):
        """Return F of noisy changes (B, 3, H, W) of unit variance at noise levels (B, 3, 1, 1)."""
        rows = changes.shape[-2]
        sine = torch.sin(torch.linspace(0.5 - 0.5 / rows, 0.5 / rows - 0.5, rows, dtype=changes.dtype) * math.pi)
        place = sine.to(changes.device)[:, None].expand(len(changes), 1, *changes.shape[-2:])
        inputs = torch.cat([changes / (1 + level**2).sqrt(), condition, place], dim=1)
        return self.network(inputs, level.log().mean((1, 2, 3)) / 4)

    def forward(self, x, sigma, condition):
        change, now = self.change[:, None, None], condition[:, : self.CHANNELS]
        level, changes = sigma[:, None, None, None] / change, (x - now) / change
        output = self.inner(changes, level, condition)
        return now + change * (changes / (1 + level**2) + level / (1 + level**2).sqrt() * output)
