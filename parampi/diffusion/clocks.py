"""Clocks: what a network is told in the place of a noise level, by the names that configurations use.

A clock maps noise levels (B,) to times (B,), float64. Clocks of variance-preserving networks are the training times of their
schedule; grids of the same family (`FAMILY`) are made of the same times.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from parampi.diffusion.sigmas import (
    VPTimes,
    vp_cosine_alphas_cumprod,
    vp_linear_alphas_cumprod,
    vp_scaled_linear_alphas_cumprod,
)
from parampi.diffusion.training_tables import read_table
from parampi.errors import ConfigError
from parampi.registry import Registry

Clock = Callable[[Tensor], Tensor]
FAMILY = {"vp_linear": "linear", "vp_scaled_linear": "scaled_linear", "vp_cosine": "cosine", "vp_table": "alphas_cumprod",
          "flow": "flow"}  # fmt: skip
"""Clocks by the schedules of noise levels that are made of the same times."""


def linear(train_steps: int = 1000, beta_first: float = 1e-4, beta_last: float = 0.02) -> Clock:
    """Return the training times of betas that grow linearly (Ho, Jain and Abbeel 2020, arXiv 2006.11239)."""
    return VPTimes(vp_linear_alphas_cumprod(train_steps, beta_first, beta_last))


def scaled_linear(train_steps: int = 1000, beta_first: float = 8.5e-4, beta_last: float = 0.012) -> Clock:
    """Return the training times of betas whose square roots grow linearly (Rombach et al. 2022, arXiv 2112.10752)."""
    return VPTimes(vp_scaled_linear_alphas_cumprod(train_steps, beta_first, beta_last))


def cosine(train_steps: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> Clock:
    """Return the training times of the cosine schedule (Nichol and Dhariwal 2021, arXiv 2102.09672)."""
    return VPTimes(vp_cosine_alphas_cumprod(train_steps, offset, max_beta))


def alphas_cumprod(file: str) -> Clock:
    """Return the training times of any schedule. The file holds its `alphas_cumprod` (train_steps,), as NumPy's (.npy), or is
    the configuration of a scheduler of diffusers (scheduler_config.json). A last value of 0 (zero terminal SNR) counts as
    2^-24. Raises DataError for a file that holds something else."""
    return VPTimes(read_table(file))


def log_sigma(scale: float = 1.0) -> Clock:
    """Return `scale log sigma`; EDM's networks are told a quarter (Karras et al. 2022, arXiv 2206.00364)."""
    return lambda sigma: scale * sigma.double().log()


def sigma(scale: float = 1.0) -> Clock:
    """Return `scale sigma`, the noise level itself."""
    return lambda levels: scale * levels.double()


def flow(scale: float = 1.0, data_at: int = 0) -> Clock:
    """Return `scale t` with `t = sigma / (1 + sigma)`, the share of noise in the straight line `x_t = (1 - t) x0 + t n`. Where
    the data are at time 1 (`data_at: 1`), `scale (1 - t)`."""
    if data_at not in (0, 1):
        raise ConfigError(f"data_at = {data_at} must be 0 or 1: the time at which the flow is data")

    def time(levels: Tensor) -> Tensor:
        level = levels.double()
        return scale * (level if data_at == 0 else torch.ones_like(level)) / (1 + level)

    return time


CLOCKS = Registry(
    "clock",
    linear=linear,
    scaled_linear=scaled_linear,
    cosine=cosine,
    alphas_cumprod=alphas_cumprod,
    log_sigma=log_sigma,
    sigma=sigma,
    flow=flow,
)
register = CLOCKS.register
lookup = CLOCKS.lookup


def check_clock(clock: object) -> Clock:
    """Return a clock as it is. Raises ConfigError for what cannot be called."""
    if not callable(clock):
        raise ConfigError(f"a clock maps noise levels to times; got {type(clock).__name__}")
    return clock
