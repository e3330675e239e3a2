"""Train the networks of the forecast problem in lorenz96.py.

    python -m parampi.bench.lorenz96_training 0.1 --out lorenz96_0.1.safetensors        # about five minutes on one core

Simulates the model, and fits the network to the normalised changes over a lead time by the loss of Karras et al. (arXiv
2206.00364). Writes the moving average of the weights, the normalisation, and states of other simulations as starts.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from parampi.bench.lorenz96 import Lorenz96Network, attractor, simulate

LOG_SIGMA = (-1.2, 1.2)
"""Mean and standard deviation of log sigma in training."""
STARTS = 8
SIMULATIONS, LEAD_TIMES = 400, 60


def pairs(lead: float, seed: int) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Return normalised states (S, 1, 40), normalised changes (S, 1, 40), both float32, and the numbers that normalise them."""
    states = simulate(SIMULATIONS, LEAD_TIMES, lead, seed)
    before, change = states[:, :-1].flatten(0, 1), (states[:, 1:] - states[:, :-1]).flatten(0, 1)
    numbers = {
        "lead": lead,
        "mean": before.mean().item(),
        "deviation": before.std().item(),
        "change_mean": change.mean().item(),
        "change_deviation": change.std().item(),
    }
    condition = (before - numbers["mean"]) / numbers["deviation"]
    drawn = (change - numbers["change_mean"]) / numbers["change_deviation"]
    return condition.float()[:, None], drawn.float()[:, None], numbers


def loss(network: Lorenz96Network, x0: Tensor, condition: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return the mean square error of the network's own output, whose target has unit variance."""
    level = sigma[:, None, None]
    scale = (level**2 + 1).sqrt()
    x = x0 + level * noise
    target = (x0 - x / scale**2) * scale / level
    return (network.residual(x, sigma, condition) - target).square().mean()


def fit(condition: Tensor, drawn: Tensor, steps: int, batch: int, rate: float, seed: int) -> Lorenz96Network:
    """Return the moving average of the trained network."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = Lorenz96Network()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.998))  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    begin, running = time.monotonic(), math.nan
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 100) * math.sin(math.pi / 2 * (1 - step / (steps + 1))) ** 2
        at = torch.randint(len(drawn), (batch,), generator=generator)
        sigma = torch.exp(LOG_SIGMA[0] + LOG_SIGMA[1] * torch.randn(batch, generator=generator))
        noise = torch.randn(batch, *drawn.shape[1:], generator=generator)
        value = loss(network, drawn[at], condition[at], sigma, noise)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average.update_parameters(network)
        running = value.item() if math.isnan(running) else 0.99 * running + 0.01 * value.item()
        if step % 500 == 0:
            print(f"step {step:6d}  {time.monotonic() - begin:6.0f} s  loss {running:.4f}", flush=True)
    return cast(Lorenz96Network, average.module)


def main() -> None:
    """Train the network of one lead time and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lead", type=float, help="units of time; 0.1 is half a day")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    condition, drawn, numbers = pairs(options.lead, options.seed)
    network = fit(condition, drawn, options.steps, options.batch, options.rate, options.seed)
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    tensors["starts"] = attractor(STARTS, options.seed + 10)
    save_file(tensors, options.out, metadata={name: json.dumps(value) for name, value in numbers.items()})


if __name__ == "__main__":
    main()
