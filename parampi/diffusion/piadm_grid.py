"""The noise grid of PIADM: blocks of equal length in the time of the variance-preserving process, the last one refined."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from parampi.errors import ConfigError

F64 = torch.float64

MOST_STEPS = 1_000_000
"""Steps of any grid of noise levels."""


@dataclass(frozen=True)
class PIADMGrid:
    """Points of PIADM: sigmas (n + 1,), strictly decreasing, and the points (blocks,) at which blocks end."""

    sigmas: Tensor
    ends: Tensor


def piadm(blocks: int, steps_per_block: int, horizon: float, early_stop: float = 1e-3) -> Tensor:
    """Return the noise levels of PIADM (Chen, Ren, Ying and Rotskoff 2024, arXiv 2405.15986): `sigma = sqrt(e^s - 1)` at times
    s that run backward from `horizon` to `early_stop`, where `alpha = e^(-s/2)`.

    There are `blocks` blocks of length h = horizon/blocks. Each has `steps_per_block` steps of eps = h/steps_per_block, except
    the last one, s < h, where no step is longer than `eps min(1, s)`: steps in proportion to the time left, which take about
    `log(1/early_stop)/eps` points more. `block_grid` also says where the blocks end.
    Raises ConfigError for counts below 1 and for an early stop that is not inside the last block.
    """
    return block_grid(blocks, steps_per_block, horizon, early_stop).sigmas


def block_grid(blocks: int, steps_per_block: int, horizon: float, early_stop: float = 1e-3) -> PIADMGrid:
    """Return the levels of `piadm` and the ends of its blocks, the last of which is the last point."""
    check(blocks, steps_per_block, horizon, early_stop)
    length = horizon / blocks
    step, before = length / steps_per_block, (blocks - 1) * steps_per_block
    times = torch.cat([horizon - step * torch.arange(before, dtype=F64), last_block(length, step, early_stop)])
    ends = torch.cat([torch.arange(1, blocks) * steps_per_block, torch.tensor([len(times) - 1])])
    return PIADMGrid(torch.expm1(times).sqrt(), ends)


def last_block(length: float, step: float, early_stop: float) -> Tensor:
    """Return times from `length` to `early_stop` in steps of at most `step min(1, time)`."""
    even, shrinking = last_block_steps(length, step, early_stop)
    turn = min(length, 1.0)
    above = length - (length - turn) / max(even, 1) * torch.arange(even, dtype=F64)
    below = turn * (early_stop / turn) ** (torch.arange(shrinking, dtype=F64) / shrinking)
    return torch.cat([above, below, torch.tensor([early_stop], dtype=F64)])


def last_block_steps(length: float, step: float, early_stop: float) -> tuple[int, int]:
    """Count the equal steps above time 1, and the steps in proportion to the time below it."""
    above = math.ceil((length - 1) / step - 1e-9) if length > 1 else 0
    turn = min(length, 1.0)
    below = 1 if step >= 1 else math.ceil(math.log(early_stop / turn) / math.log1p(-step) - 1e-9)
    return above, below


def check(blocks: int, steps_per_block: int, horizon: float, early_stop: float) -> None:
    for name, count in (("blocks", blocks), ("steps_per_block", steps_per_block)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigError(f"{name} = {count!r} must be a whole number, at least 1")
    if blocks * steps_per_block > MOST_STEPS:
        raise ConfigError(f"{blocks} blocks of {steps_per_block} steps are more than {MOST_STEPS}; take fewer")
    if not 0 < horizon < 700:
        raise ConfigError(f"horizon = {horizon} must be positive and below 700, where sigma is no longer a number; 10 is usual")
    if not 0 < early_stop < min(1.0, horizon / blocks):
        raise ConfigError(
            f"early_stop = {early_stop} must be positive, below 1 and inside the last block, which begins at time "
            f"{horizon / blocks:.4g}; 1e-3 is usual"
        )
