"""Tables of a variance-preserving schedule, alpha^2 at every training time, out of files: NumPy's, and the configurations of
diffusers' schedulers (scheduler_config.json)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parampi.diffusion.sigmas import (
    Spacing,
    at_times,
    training_times,
    vp_cosine_alphas_cumprod,
    vp_linear_alphas_cumprod,
    vp_scaled_linear_alphas_cumprod,
)
from parampi.errors import ConfigError, DataError

F64 = torch.float64
LEAST = 2.0**-24
"""alphas_cumprod of a schedule that ends in noise alone, where it is 0: diffusers gives it this value too."""
SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
"""Kinds of betas of diffusers' schedulers."""


def read_table(file: str) -> Tensor:
    """Return alpha^2 at the training times, float64 (train_steps,), of a NumPy file (.npy) or of the configuration of a
    scheduler of diffusers (.json). A last value of 0 counts as 2^-24. Raises DataError for a file that holds something else."""
    path = Path(file)
    kept = table_of(read_scheduler(path), path) if path.suffix == ".json" else numbers(path)
    if kept.ndim == 1 and len(kept) and kept[-1] == 0:
        kept = torch.cat([kept[:-1], torch.full((1,), LEAST, dtype=F64)])
    return kept


def numbers(path: Path) -> Tensor:
    try:
        values = np.load(path, allow_pickle=False)
        return torch.from_numpy(np.asarray(values, dtype=np.float64))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"model.clock: {path} is no NumPy file of numbers ({error}); write one with numpy.save(file, alphas_cumprod)"
        ) from None


def read_scheduler(path: Path) -> dict[str, Any]:
    """Return the configuration of a scheduler of diffusers. Raises DataError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no configuration of a scheduler ({error}); save it anew with its save_pretrained") from None
    if not isinstance(content, dict) or "_class_name" not in content:
        raise DataError(f"{path} is no configuration of a scheduler of diffusers: it has no _class_name")
    return content


def table_of(scheduler: Mapping[str, Any], path: Path) -> Tensor:
    """Return alpha^2 at the training times of a scheduler. Raises DataError for betas of an unknown kind."""
    steps, kind = scheduler.get("num_train_timesteps", 1000), scheduler.get("beta_schedule", "linear")
    first, last = scheduler.get("beta_start", 1e-4), scheduler.get("beta_end", 0.02)
    try:
        if scheduler.get("trained_betas") is not None:
            table = torch.cumprod(1 - torch.tensor(scheduler["trained_betas"], dtype=F64), 0)
        elif kind == "linear":
            table = vp_linear_alphas_cumprod(steps, first, last)
        elif kind == "scaled_linear":
            table = vp_scaled_linear_alphas_cumprod(steps, first, last)
        elif kind == "squaredcos_cap_v2":
            table = vp_cosine_alphas_cumprod(steps)
        elif kind == "sigmoid":
            table = torch.cumprod(1 - (torch.linspace(-6, 6, steps, dtype=F64).sigmoid() * (last - first) + first), 0)
        else:
            raise DataError(f"{path}: beta_schedule = {kind!r} is none of {', '.join(SCHEDULES)}; give alphas_cumprod as .npy")
    except (ConfigError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: its betas cannot be made ({' '.join(str(error).split())}); save it anew") from None
    return zero_terminal(table) if scheduler.get("rescale_betas_zero_snr") else table


def zero_terminal(table: Tensor) -> Tensor:
    """Return a table that ends in noise alone: its roots shifted so that the last is 0, and scaled so that the first stays
    (Lin et al. 2024, arXiv 2305.08891, algorithm 1)."""
    roots = table.sqrt()
    return ((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))) ** 2


def vp_table(file: str, steps: int, *, spacing: Spacing = "trailing", final_zero: bool = True, steps_offset: int = 0) -> Tensor:
    """Return the noise levels of any variance-preserving schedule, whose `alphas_cumprod` a file holds (`read_table`),
    thinned to `steps` training times; the rest as in `parampi.sigmas.vp_linear`."""
    table = read_table(file)
    return at_times(table, training_times(steps, len(table), spacing, steps_offset), final_zero)
