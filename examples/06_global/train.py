"""Train the example's denoiser on the weather that simulate.py writes.

    python train.py --minutes 38        # one core; writes data/weights.safetensors

Diffusion of EDM (Karras et al. 2022, arXiv:2206.00364) of the change of height and winds from one field to the next, given the
first, the ground and the land. The last 400 days are for validation. Writes the weights' exponential moving average as
safetensors every two minutes, and beside it all that a job that was cut needs to go on: start it again with the same options.
The learning rate follows the clock, not the step count.
"""

import argparse
import json
import math
import time
from pathlib import Path

import netCDF4
import numpy as np
import torch
from model import Weather
from safetensors.torch import save_file

from parampi.fields import DatasetStatistics

HERE = Path(__file__).resolve().parent
LOG_LEVEL = (-0.4, 1.6)  # mean and standard deviation of log(sigma / change) in training, on the mean over channels
CHANNELS, STATIC = ("height", "u", "v"), ("orography", "land_mask")
HELD_OUT = 800  # fields

# what `parampi run` matches variables with, by name
CARD = {"channels": CHANNELS, "condition": (*CHANNELS, *STATIC), "predicts": "denoiser", "sigma_data": 1.0}


def read(path, names, statistics):
    """Variables of a file (..., channel, H, W), normalised."""
    parts = []
    with netCDF4.Dataset(path) as file:
        for name in names:
            row = statistics.names.index(name)
            field = np.ma.filled(file[name][:].astype("f4"), math.nan)
            if not np.isfinite(field).all():
                raise SystemExit(f"{path}: some fields of {name} are missing; run simulate.py to its end")
            parts.append((field - np.float32(statistics.mean[row])) / np.float32(statistics.standard_deviation[row]))
    return torch.from_numpy(np.stack(parts, axis=-3))


def load(path, grid, statistics):
    """Training and validation weather (times, 3, H, W), the static fields (2, H, W), and the size (3,) of changes."""
    described = DatasetStatistics.from_file(statistics)
    weather, static = read(path, CHANNELS, described), read(grid, STATIC, described)
    train = weather[:-HELD_OUT] if len(weather) > 2 * HELD_OUT else weather[: len(weather) // 2]
    return train, weather[len(train) :], static, (train[1:] - train[:-1]).std((0, 2, 3))


def pairs(weather, static, count, rng):
    """Draws of the weather after (count, 3, H, W), and of the condition (count, 5, H, W)."""
    start = torch.randint(len(weather) - 1, (count,), generator=rng)
    return weather[start + 1], torch.cat([weather[start], static.expand(count, *static.shape)], dim=1)


def draw_level(n, rng):
    """Stratified draws of a noise level, for changes of unit variance: one from each n-th of the distribution, which lowers
    the variance of the gradient."""
    u = (torch.randperm(n, generator=rng) + torch.rand(n, generator=rng)) / n
    return torch.exp(LOG_LEVEL[0] + LOG_LEVEL[1] * torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4)))


def loss(model, after, condition, level, noise):
    """EDM's loss with unit weight on the network's own output."""
    change = model.change[:, None, None]
    # the noise of all channels has one sigma, which is another level for each
    sigma = level * model.change.log().mean().exp()
    level = sigma[:, None, None, None] / change
    clean = (after - condition[:, : len(change)]) / change
    changes = clean + level * noise
    target = (clean - changes / (1 + level**2)) * (1 + level**2).sqrt() / level
    with torch.autocast("cpu", torch.bfloat16, enabled=model.training):
        output = model.inner(changes, level, condition)
    return (output.float() - target).square().mean()


@torch.no_grad()
def validate(model, weather, static, batches=16, size=32):
    rng, losses = torch.Generator().manual_seed(1), []
    for _ in range(batches):
        after, condition = pairs(weather, static, size, rng)
        noise = torch.randn(after.shape, generator=rng)
        losses.append(loss(model, after, condition, draw_level(size, rng), noise).item())
    return sum(losses) / len(losses)


class Training:
    """The network, its moving average and the optimizer, and how far they have come."""

    def __init__(self, options, change):
        torch.manual_seed(options.seed)
        self.options, self.step, self.minutes = options, 0, 0.0
        self.rng = torch.Generator().manual_seed(options.seed)
        self.network = Weather()
        self.network.change.copy_(change)
        ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
        self.average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=ema).eval()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=1e-4)
        self.path = options.out.with_suffix(".resume")
        if self.path.exists():
            self.resume(torch.load(self.path, weights_only=True))

    def parts(self):
        return {"network": self.network, "average": self.average, "optimizer": self.optimizer}

    def resume(self, saved):
        for name, part in self.parts().items():
            part.load_state_dict(saved[name])
        self.rng.set_state(saved["rng"])
        self.step, self.minutes = saved["step"], saved["minutes"]
        print(f"goes on after {self.step} steps and {self.minutes:.1f} min", flush=True)

    def save(self, facts):
        state = {name: value.contiguous() for name, value in self.average.module.state_dict().items()}
        card = CARD | facts | {"steps": self.step, "minutes": round(self.minutes, 1)}
        save_file(state, self.options.out, metadata={name: json.dumps(value) for name, value in card.items()})
        whole = {name: part.state_dict() for name, part in self.parts().items()}
        whole |= {"rng": self.rng.get_state(), "step": self.step, "minutes": self.minutes}
        written = self.path.with_suffix(".partial")
        torch.save(whole, written)
        written.replace(self.path)

    def advance(self, weather, static):
        """One step of the optimizer; returns the loss."""
        warm, left = min(1.0, self.step / 200), max(0.0, 1 - self.minutes / self.options.minutes)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * warm * math.sin(math.pi / 2 * left) ** 2
        after, condition = pairs(weather, static, self.options.batch, self.rng)
        noise = torch.randn(after.shape, generator=self.rng)
        value = loss(self.network.train(), after, condition, draw_level(len(after), self.rng), noise)
        self.optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return value.item()


def fit(train, held_out, static, change, options):
    training, running = Training(options, change), None
    begin, before = time.monotonic(), training.minutes
    saved = begin
    while training.minutes < options.minutes:
        value = training.advance(train, static)
        training.minutes = before + (time.monotonic() - begin) / 60
        running = value if running is None else 0.99 * running + 0.01 * value
        if time.monotonic() - saved > 120 or training.minutes >= options.minutes:
            checked = validate(training.average.module, held_out, static)
            training.save({"validation_loss": checked})
            losses = f"training loss {running:.4f}  validation loss {checked:.4f}"
            print(f"{training.minutes:6.1f} min  step {training.step}  {losses}", flush=True)
            saved = time.monotonic()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=HERE / "data" / "weather.nc")
    parser.add_argument("--grid", type=Path, default=HERE / "grid.nc", help="the static fields")
    parser.add_argument("--statistics", type=Path, default=HERE / "statistics.nc", help="of all of them")
    parser.add_argument("--out", type=Path, default=HERE / "data" / "weights.safetensors")
    parser.add_argument("--minutes", type=float, default=38.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fit(*load(options.data, options.grid, options.statistics), options)


if __name__ == "__main__":
    main()
