"""A forecast problem of small size: the model of Lorenz 1996 with noise, and trained networks that draw its change.

The model is dx_j/dt = (x_{j+1} - x_{j-2}) x_{j-1} - x_j + F on a ring of 40 variables, with white noise on each (Lorenz 1996,
Predictability: a problem partly solved, Proc. ECMWF Seminar 1, 1). One unit of time stands for five days.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from parampi.errors import ConfigError

VARIABLES = 40
FORCING = 8.0
NOISE = 0.5
"""Standard deviation of the noise per square root of a unit of time."""
STEP = 0.01
"""Units of time that the simulator steps."""
LEADS = (0.1, 0.2)
"""Lead times of the shipped networks, in units of time: half a day and a day."""
CHANNELS = 30
FREQUENCIES = 8
WIDTH = 32


def advection(x: Tensor) -> Tensor:
    """Return the quadratic term of states (..., J); it conserves the sum of squares."""
    return (x.roll(-1, -1) - x.roll(2, -1)) * x.roll(1, -1)


def tendency(x: Tensor, forcing: float = FORCING) -> Tensor:
    """Return dx/dt of states (..., J), without the noise."""
    return advection(x) - x + forcing


def runge_kutta(x: Tensor, dt: float, forcing: float = FORCING) -> Tensor:
    """Return states one step of the classical fourth-order method later, without noise."""
    first = tendency(x, forcing)
    second = tendency(x + dt / 2 * first, forcing)
    third = tendency(x + dt / 2 * second, forcing)
    fourth = tendency(x + dt * third, forcing)
    return x + dt / 6 * (first + 2 * second + 2 * third + fourth)


def advance(x: Tensor, time: float, generator: torch.Generator, noise: float = NOISE) -> Tensor:
    """Return states (..., J) some time later: steps of `STEP`, each with a kick of the noise after it."""
    for _ in range(round(time / STEP)):
        kick = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = runge_kutta(x, STEP) + noise * math.sqrt(STEP) * kick
    return x


def attractor(count: int, seed: int, spin_up: float = 5.0) -> Tensor:
    """Return states (count, 40) of independent simulations after their spin-up, float64."""
    generator = torch.Generator().manual_seed(seed)
    x = FORCING + torch.randn(count, VARIABLES, generator=generator, dtype=torch.float64)
    return advance(x, spin_up, generator)


def simulate(count: int, lead_times: int, lead: float, seed: int) -> Tensor:
    """Return trajectories (count, lead_times + 1, 40) of states a lead time apart, float64."""
    states = [attractor(count, seed)]
    generator = torch.Generator().manual_seed(seed + 1)
    for _ in range(lead_times):
        states.append(advance(states[-1], lead, generator))
    return torch.stack(states, 1)


class RingBlock(nn.Module):
    """Residual block of two convolutions on a ring; the noise level scales and shifts what is between them."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.first, self.second = ring(channels, channels), ring(channels, channels)
        self.modulate = nn.Linear(embedding, 2 * channels)

    def forward(self, h: Tensor, level: Tensor) -> Tensor:
        """Return features (B, C, J) of features (B, C, J) and an embedded noise level (B, E)."""
        scale, shift = self.modulate(level)[:, :, None].chunk(2, 1)
        inner = self.first(nn.functional.silu(h)) * (1 + scale) + shift
        out: Tensor = h + self.second(nn.functional.silu(inner))
        return out


def ring(inputs: int, outputs: int) -> nn.Conv1d:
    """Return a convolution of five neighbours on a ring."""
    return nn.Conv1d(inputs, outputs, 5, padding=2, padding_mode="circular")


class Lorenz96Network(nn.Module):
    """Denoiser of normalised changes (B, 1, 40) over a lead time, given normalised states (B, 1, 40) before it; preconditioned
    as by Karras et al. (arXiv 2206.00364)."""

    shape: tuple[int, ...] = (1, VARIABLES)
    sigma_data = 1.0

    def __init__(self, channels: int = CHANNELS, blocks: int = 3) -> None:
        super().__init__()
        self.level = nn.Sequential(nn.Linear(2 * FREQUENCIES, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.first, self.last = ring(2, channels), nn.Conv1d(channels, 1, 1)
        self.blocks = nn.ModuleList(RingBlock(channels, WIDTH) for _ in range(blocks))

    def residual(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """Return the network's own output (B, 1, 40) at noise levels (B,), all in its dtype."""
        frequencies = torch.exp(torch.linspace(0.0, 4.0, FREQUENCIES, dtype=x.dtype))
        angles = sigma.log()[:, None] / 4 * frequencies
        level = self.level(torch.cat([angles.sin(), angles.cos()], 1))
        scale = (sigma**2 + self.sigma_data**2).sqrt()[:, None, None]
        h = self.first(torch.cat([x / scale, condition], 1))
        for block in self.blocks:
            h = block(h, level)
        out: Tensor = self.last(h)
        return out

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """Return denoised changes (B, 1, 40)."""
        dtype = self.last.weight.dtype
        s = sigma.to(dtype)[:, None, None]
        scale = (s**2 + self.sigma_data**2).sqrt()
        residual = self.residual(x.to(dtype), s[:, 0, 0], condition.to(dtype))
        denoised = x.to(dtype) * (self.sigma_data / scale) ** 2 + s * self.sigma_data / scale * residual
        return denoised.to(x.dtype)


@dataclass(frozen=True, eq=False)
class Lorenz96:
    """The forecast problem of one lead time.

    network                    draws the normalised change, in float64
    lead                       units of time from one state to the next
    mean, deviation            of a variable, which normalise the network's condition
    change_mean, change_deviation    of a variable's change over the lead time
    starts                     states (8, 1, 40) that the network was not trained on
    """

    network: Lorenz96Network
    lead: float
    mean: float
    deviation: float
    change_mean: float
    change_deviation: float
    starts: Tensor

    def condition(self, states: Tensor, lead: int = 0, numbers: Sequence[int] = ()) -> Tensor:
        """Return the network's condition of states (..., 40), the same at all lead times and for all members."""
        return (states - self.mean) / self.deviation

    def update(self, states: Tensor, drawn: Tensor, lead: int = 0, numbers: Sequence[int] = ()) -> Tensor:
        """Return the states after a lead time: those before it, and the changes that the network drew."""
        return states + self.change_mean + self.change_deviation * drawn

    def change(self, before: Tensor, after: Tensor) -> Tensor:
        """Return the normalised change between states, what `update` undoes."""
        return (after - before - self.change_mean) / self.change_deviation


def weights_path(lead: float) -> Path:
    """Return the file of the network that is shipped for a lead time."""
    return Path(__file__).with_name(f"lorenz96_{lead:g}.safetensors")


@lru_cache(maxsize=4)
def lorenz96(lead: float = LEADS[0]) -> Lorenz96:
    """Return the problem of a lead time with its trained network. Raises ConfigError for one that is not shipped."""
    if lead not in LEADS:
        raise ConfigError(f"no network of Lorenz-96 has lead time {lead:g}; take one of {', '.join(map(str, LEADS))}")
    with safe_open(weights_path(lead), "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        numbers = {name: float(json.loads(value)) for name, value in file.metadata().items()}
    starts = tensors.pop("starts").double()[:, None]
    network = Lorenz96Network()
    network.load_state_dict(tensors)
    return Lorenz96(network.double().eval().requires_grad_(False), starts=starts, **numbers)
