"""Train the example's denoiser on the fields written by simulate.py.

    python train.py turbulence.nc --minutes 95        # one core

EDMDenoiser diffusion (Karras et al. 2022, arXiv:2206.00364) on normalised vorticity, with the flow's own symmetries (shifts,
quarter turns, reflections with a change of sign) as augmentation. Writes the weights' exponential moving average as safetensors
every two minutes, so that a job that is cut keeps what it has. The learning rate follows the clock, not the step count.
"""

import argparse
import json
import math
import time
from pathlib import Path

import netCDF4
import torch
from model import UNet
from safetensors.torch import save_file

LOG_SIGMA = (0.0, 1.6)  # mean and standard deviation of log sigma in training, for data of unit variance
HELD_OUT = 2  # trajectories for validation

# what `parampi run` matches variables with, by name
CARD = {"channels": ["vorticity"], "predicts": "edm", "sigma_data": 1.0}


def load(path):
    """Normalised training and validation fields (samples, 1, H, W), and the standard deviation in s-1."""
    with netCDF4.Dataset(path) as file:
        data = torch.from_numpy(file["vorticity"][:].filled(math.nan))
    if not data.isfinite().all():
        raise SystemExit(f"{path}: some snapshots are missing; run simulate.py to its end")
    std = data[:-HELD_OUT].std().item()
    shape = (-1, 1, *data.shape[2:])
    return (data[:-HELD_OUT] / std).reshape(shape), (data[-HELD_OUT:] / std).reshape(shape), std


def symmetry(fields, rng):
    """Each field under a random symmetry of the equation: shift, quarter turn, reflection with a change of sign."""
    n, size = len(fields), fields.shape[-1]
    shifts = torch.randint(size, (2, n, 1), generator=rng)
    index = (torch.arange(size) + shifts) % size
    fields = fields[torch.arange(n)[:, None, None], 0, index[0][:, :, None], index[1][:, None, :]]
    if torch.rand((), generator=rng) < 0.5:
        fields = -fields.flip(-1)
    turns = int(torch.randint(4, (), generator=rng))
    return fields.rot90(turns, (-2, -1))[:, None].contiguous()


def draw_sigma(n, rng):
    """Stratified draws of sigma: one from each n-th of the distribution, which lowers the variance of the gradient."""
    u = (torch.randperm(n, generator=rng) + torch.rand(n, generator=rng)) / n
    return torch.exp(LOG_SIGMA[0] + LOG_SIGMA[1] * torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4)))


def loss(network, x0, sigma, noise):
    """EDM's loss with unit weight on the network's own output, for data of unit variance."""
    s = sigma[:, None, None, None]
    x = x0 + s * noise
    scale = (1 + s**2).sqrt()
    target = (x0 - x / scale**2) * scale / s
    with torch.autocast("cpu", torch.bfloat16, enabled=network.training):
        output = network(x / scale, sigma.log() / 4)
    return (output.float() - target).square().mean()


@torch.no_grad()
def validate(network, fields, batches=16, size=32):
    rng = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(batches):
        x0 = fields[torch.randint(len(fields), (size,), generator=rng)]
        losses.append(loss(network, x0, draw_sigma(size, rng), torch.randn(x0.shape, generator=rng)).item())
    return sum(losses) / len(losses)


def save(network, path, facts):
    state = {k: v.contiguous() for k, v in network.state_dict().items()}
    save_file(state, path, metadata={k: json.dumps(v) for k, v in (CARD | facts).items()})


def fit(train, held_out, options, std):
    rng = torch.Generator().manual_seed(options.seed)
    torch.manual_seed(options.seed)
    network = UNet()
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
    ).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=1e-4)
    begin = saved = time.monotonic()
    step, running = 0, None
    while (elapsed := (time.monotonic() - begin) / 60) < options.minutes:
        warm, left = min(1.0, step / 200), 1 - elapsed / options.minutes
        for group in optimizer.param_groups:
            group["lr"] = options.rate * warm * math.sin(math.pi / 2 * left) ** 2
        x0 = symmetry(train[torch.randint(len(train), (options.batch,), generator=rng)], rng)
        value = loss(network.train(), x0, draw_sigma(len(x0), rng), torch.randn(x0.shape, generator=rng))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(network)
        step, running = step + 1, value.item() if running is None else 0.99 * running + 0.01 * value.item()
        if time.monotonic() - saved > 120:
            checked = validate(average.module, held_out)
            print(f"{elapsed:6.1f} min  step {step}  training loss {running:.4f}  validation loss {checked:.4f}", flush=True)
            save(
                average.module,
                options.out,
                {"steps": step, "minutes": round(elapsed, 1), "validation_loss": checked, "standard_deviation": std},
            )
            saved = time.monotonic()
    checked = validate(average.module, held_out)
    print(f"done: {step} steps, validation loss {checked:.4f}")
    save(
        average.module,
        options.out,
        {"steps": step, "minutes": options.minutes, "validation_loss": checked, "standard_deviation": std},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("weights.safetensors"))
    parser.add_argument("--minutes", type=float, default=95.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fit(*load(options.data)[:2], options, load(options.data)[2])


if __name__ == "__main__":
    main()
