"""A small trained network for data on a curve in the plane: two arms of a spiral."""

import math
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("spiral.safetensors")
WIDTH = 64


class SpiralNetwork(nn.Module):
    """Denoiser of points in the plane (B, 2): three layers behind the preconditioning of Karras et al. (arXiv 2206.00364)."""

    shape: tuple[int, ...] = (2,)
    sigma_data = 1.0

    def __init__(self) -> None:
        super().__init__()
        widths = (2 + 9, WIDTH, WIDTH, WIDTH)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.last = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return denoised points (B, 2)."""
        dtype = self.last.weight.dtype
        s = sigma.to(dtype)[:, None]
        scale = (s**2 + self.sigma_data**2).sqrt()
        level = s.log() / 4
        angles = level * torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=dtype)
        h = torch.cat([x.to(dtype) / scale, level, angles.sin(), angles.cos()], 1)
        for layer in self.hidden:
            h = nn.functional.silu(layer(h))
        denoised: Tensor = x.to(dtype) * self.sigma_data**2 / scale**2 + s * self.sigma_data / scale * self.last(h)
        return denoised.to(x.dtype)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return draws of the data it was trained on, (n, 2), float64."""
        return spiral(n, torch.Generator().manual_seed(seed))


def spiral(n: int, generator: torch.Generator) -> Tensor:
    """Return points (n, 2) on two arms of a spiral, of unit second moment per coordinate."""
    turn = torch.rand(n, generator=generator, dtype=torch.float64).sqrt() * 3 * math.pi
    arm = torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1
    points = torch.stack([turn.cos(), turn.sin()], 1) * (arm * turn)[:, None]
    return points / (3 * math.pi / 2)


def spiral_network() -> SpiralNetwork:
    """Return the trained network, in float64."""
    network = SpiralNetwork()
    network.load_state_dict(load_file(WEIGHTS))
    return network.double().eval().requires_grad_(False)
