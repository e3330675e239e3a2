"""A small network that is worth accelerating, for tests on CPUs and GPUs."""

import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional

SIZE = 16
needs_a_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")),
    reason="torch.compile on a CPU needs a C++ compiler, and there is none",
)


class Small(nn.Module):
    """Convolutions, a norm and an embedding of the noise level, as U-Nets have them."""

    def __init__(self, channels=1, width=16):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.last = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, channels, 3, padding=1)
        self.norm, self.embed = nn.GroupNorm(4, width), nn.Linear(2, width)
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator) / max(weight[0].numel(), 4) ** 0.5
        self.eval().requires_grad_(False)

    def forward(self, x, noise, condition=None):
        x = x if condition is None else x + condition
        level = noise.to(x.dtype)[:, None]
        hidden = self.first(x) + self.embed(torch.cat([level.sin(), level.cos()], 1))[:, :, None, None]
        return self.last(functional.silu(self.norm(hidden)))


def inputs(count, channels=1, device="cpu"):
    """Fields and noise levels, other ones for each number."""
    generator = torch.Generator().manual_seed(count)
    x, level = torch.randn(count, channels, SIZE, SIZE, generator=generator), torch.rand(count, generator=generator)
    return x.to(device), level.to(device)


def error(one, other):
    return float((one - other).norm() / other.norm())
