"""A model, statistics and configuration small enough to run in a test: the exact denoiser of white noise of unit variance."""

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from parampi.fields import DatasetStatistics
from parampi.run.checkpoint.hook import CheckpointHook
from parampi.run.metadata import versions
from parampi.run.stored_records import RunRecord, Versions
from tests.warm import warm_command

NETWORK = '''
import time

import torch


class White(torch.nn.Module):
    """F of EDM's preconditioning for data that are white noise: 0. `bend` makes it nonlinear, `bad` NaN below a level;
    a call takes `pause` seconds. A condition's first channel adds to it."""

    def __init__(self, bend=0.3, bad=-1.0e9, channels=None, crop=False, pause=0.0):
        super().__init__()
        self.bend, self.bad, self.channels, self.crop = bend, bad, channels, crop
        self.pause = pause
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x, noise, condition=None):
        time.sleep(self.pause)
        if self.channels is not None and x.shape[1] != self.channels:
            raise RuntimeError(f"expected {self.channels} channels, got {x.shape[1]}")
        if self.crop:
            return x[..., 1:]
        wrong = torch.where(noise < self.bad, torch.nan, 0.0).to(x.dtype)
        given = 0.0 if condition is None else 0.2 * torch.tanh(condition[:, :1])
        return given + self.weight.sum() + self.bend * torch.tanh(x.roll(1, -1)) + wrong[:, None, None, None]
'''


def write_statistics(path: Path, size: int = 8) -> None:
    fields = np.random.default_rng(0).normal(1.0, 2.0, (20, 1, size, size))
    axis = np.arange(size) * 0.5
    DatasetStatistics.from_samples(
        fields, ["vorticity"], ["s-1"], ["relative vorticity"], x=axis, y=axis, x_units="m", y_units="m"
    ).save(path)


def write_conditions(path: Path, times: int = 3, size: int = 8) -> None:
    """Vorticity (time, y, x), every six hours."""
    fields = np.random.default_rng(5).normal(1.0, 2.0, (times, size, size))
    with netCDF4.Dataset(path, "w") as file:
        for name, length in (("time", times), ("y", size), ("x", size)):
            file.createDimension(name, length)
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts({"units": "hours since 2001-01-01", "calendar": "standard", "standard_name": "time", "axis": "T"})
        time[:] = 6.0 * np.arange(times)
        variable = file.createVariable("vorticity", "f4", ("time", "y", "x"))
        variable.setncatts({"units": "s-1", "standard_name": "atmosphere_relative_vorticity"})
        variable[:] = fields


def write_project(folder: Path, **changes: Any) -> Path:
    """A folder with everything `parampi run` needs; returns the configuration's path."""
    (folder / "net.py").write_text(NETWORK)
    save_file({"weight": torch.zeros(2)}, folder / "weights.safetensors")
    write_statistics(folder / "statistics.nc")
    tree: dict[str, Any] = {
        "model": {"network": "net.py:White", "weights": "weights.safetensors", "predicts": "edm", "shape": [1, 8, 8]},
        "data": {"statistics": "statistics.nc"},
        "sampling": {
            "members": 4,
            "seed": 3,
            "sigmas": {"schedule": "karras", "steps": 12, "sigma_min": 0.05, "sigma_max": 20.0},
            "sampler": {"name": "ddpm"},
            "solver": {"name": "picard"},
            "tolerance": 1.0e-4,
        },
        "output": {"directory": "out", "figure": None, "page": None},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        tree.setdefault(section, {})[name] = value
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def run_record(config: dict[str, Any], inputs: dict[str, str]) -> RunRecord:
    """What a checkpoint says of a run that has just begun."""
    return RunRecord(run="a" * 32, config=config, inputs=inputs, versions=Versions.model_validate(versions()), files={})


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own; skips where none can be mounted."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here ({done.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def signalled_after(rounds: int) -> Iterator[None]:
    """A run in this process gets a signal after so many rounds."""
    after, made = CheckpointHook.after, itertools.count(1)

    def signalled(hook: CheckpointHook, engine: Any) -> bool:
        hook.watchdog.stop.received = "SIGUSR1" if next(made) >= rounds else ""
        return after(hook, engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointHook, "after", signalled)
        yield


def parampi_command(*arguments: object) -> list[str]:
    """The command of one process; for several ranks see `tests.ranks.launch.parampi_on`."""
    return warm_command("-m", "parampi", *arguments)
