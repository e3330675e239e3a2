"""Train the forecasting denoiser on the sequences that ../01_turbulence/simulate.py writes.

    python train.py forecast-*.nc --minutes 50        # one core

Diffusion of EDM (Karras et al. 2022, arXiv:2206.00364) of the normalised change of vorticity from one snapshot to the next,
given the first, with the flow's own symmetries (shifts, quarter turns, reflections with a change of sign) as augmentation.
Writes the weights' exponential moving average as safetensors every two minutes, and beside it all that a job that was cut needs
to go on: start it again with the same options. The learning rate follows the clock, not the step count.
"""

import argparse
import json
import math
import time
from pathlib import Path

import netCDF4
import torch
from model import Change
from safetensors.torch import save_file

from parampi.fields import DatasetStatistics

LOG_SIGMA = (-0.4, 1.5)  # mean and standard deviation of log sigma in training, for changes of unit variance
STATISTICS = Path(__file__).resolve().parents[1] / "01_turbulence" / "statistics.nc"
HELD_OUT = 4  # trajectories for validation

# what `parampi run` matches variables with, by name
CARD = {"channels": ["vorticity"], "condition": ["vorticity"], "predicts": "edm"}


def load(paths, statistics):
    """Training and validation trajectories (simulations, times, H, W) in s-1, and the facts that normalise them."""
    parts = []
    for path in paths:
        with netCDF4.Dataset(path) as file:
            parts.append(torch.from_numpy(file["vorticity"][:].filled(math.nan)))
            times = file["time"][:2]
        if not parts[-1].isfinite().all():
            raise SystemExit(f"{path}: some snapshots are missing; run simulate.py to its end")
    data = torch.cat(parts)
    train = data[:-HELD_OUT]
    # that by which `parampi run` normalises the condition
    deviation = float(DatasetStatistics.from_file(statistics).standard_deviation[0])
    change = round((train[:, 1:] - train[:, :-1]).std().item() / deviation, 3)
    facts = {"standard_deviation": deviation, "change": change, "sigma_data": 1.0, "lead_time": float(times[1] - times[0])}
    return train, data[-HELD_OUT:], facts


def pairs(trajectories, count, rng):
    """Draws of the vorticity before and after a lead time, (count, 2, H, W) in s-1."""
    simulation = torch.randint(len(trajectories), (count,), generator=rng)
    start = torch.randint(trajectories.shape[1] - 1, (count,), generator=rng)
    return torch.stack([trajectories[simulation, start], trajectories[simulation, start + 1]], dim=1)


def symmetry(fields, rng):
    """Fields (B, C, n, n) under random symmetries of the equation: shifts, quarter turns, reflections with a change of sign."""
    batch, channels, size = fields.shape[:3]
    rows, columns = (torch.arange(size) + torch.randint(size, (2, batch, 1), generator=rng)) % size
    b, c = torch.arange(batch)[:, None, None, None], torch.arange(channels)[None, :, None, None]
    fields = fields[b, c, rows[:, None, :, None], columns[:, None, None, :]]
    if torch.rand((), generator=rng) < 0.5:
        fields = -fields.flip(-1)
    return fields.rot90(int(torch.randint(4, (), generator=rng)), (-2, -1)).contiguous()


def normalised(fields, facts):
    """The change (B, 1, n, n) that is to be drawn, and the condition (B, 1, n, n)."""
    before, after = fields.split(1, dim=1)
    before, after = before / facts["standard_deviation"], after / facts["standard_deviation"]
    return (after - before) / facts["change"], before


def draw_sigma(n, rng):
    """Stratified draws of sigma: one from each n-th of the distribution, which lowers the variance of the gradient."""
    u = (torch.randperm(n, generator=rng) + torch.rand(n, generator=rng)) / n
    return torch.exp(LOG_SIGMA[0] + LOG_SIGMA[1] * torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4)))


def loss(network, x0, before, sigma, noise):
    """EDM's loss with unit weight on the network's own output, for data of unit variance."""
    s = sigma[:, None, None, None]
    x = x0 + s * noise
    scale = (1 + s**2).sqrt()
    target = (x0 - x / scale**2) * scale / s
    with torch.autocast("cpu", torch.bfloat16, enabled=network.training):
        output = network(x / scale, sigma.log() / 4, before)
    return (output.float() - target).square().mean()


@torch.no_grad()
def validate(network, trajectories, facts, batches=16, size=32):
    rng = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(batches):
        x0, before = normalised(pairs(trajectories, size, rng), facts)
        losses.append(loss(network, x0, before, draw_sigma(size, rng), torch.randn(x0.shape, generator=rng)).item())
    return sum(losses) / len(losses)


class Training:
    """The network, its moving average and the optimizer, and how far they have come."""

    def __init__(self, options):
        torch.manual_seed(options.seed)
        self.options, self.step, self.minutes = options, 0, 0.0
        self.rng = torch.Generator().manual_seed(options.seed)
        self.network = Change()
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

    def advance(self, trajectories, facts):
        """One step of the optimizer; returns the loss."""
        warm, left = min(1.0, self.step / 200), max(0.0, 1 - self.minutes / self.options.minutes)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * warm * math.sin(math.pi / 2 * left) ** 2
        x0, before = normalised(symmetry(pairs(trajectories, self.options.batch, self.rng), self.rng), facts)
        noise = torch.randn(x0.shape, generator=self.rng)
        value = loss(self.network.train(), x0, before, draw_sigma(len(x0), self.rng), noise)
        self.optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return value.item()


def fit(train, held_out, facts, options):
    training, running = Training(options), None
    begin, before = time.monotonic(), training.minutes
    saved = begin
    while training.minutes < options.minutes:
        value = training.advance(train, facts)
        training.minutes = before + (time.monotonic() - begin) / 60
        running = value if running is None else 0.99 * running + 0.01 * value
        if time.monotonic() - saved > 120 or training.minutes >= options.minutes:
            checked = validate(training.average.module, held_out, facts)
            training.save(facts | {"validation_loss": checked})
            losses = f"training loss {running:.4f}  validation loss {checked:.4f}"
            print(f"{training.minutes:6.1f} min  step {training.step}  {losses}", flush=True)
            saved = time.monotonic()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--statistics", type=Path, default=STATISTICS, help="of the vorticity")
    parser.add_argument("--out", type=Path, default=Path("weights.safetensors"))
    parser.add_argument("--minutes", type=float, default=50.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fit(*load(options.data, options.statistics), options)


if __name__ == "__main__":
    main()
