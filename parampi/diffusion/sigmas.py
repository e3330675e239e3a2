"""Noise levels: the decreasing list of sigmas that a sampler walks down, and the clock of variance-preserving networks.

Every grid is a one-dimensional float64 tensor on the CPU with `steps + 1` strictly decreasing entries; the last may be 0.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor

from parampi.diffusion.piadm_grid import MOST_STEPS
from parampi.diffusion.piadm_grid import piadm as piadm
from parampi.errors import ConfigError

F64 = torch.float64
Spacing = str | Sequence[int]
SPACINGS = ("trailing", "leading", "linspace")


def explicit(values: Iterable[float] | Tensor) -> Tensor:
    """Return a list of noise levels as it is, after checking it.

    Raises ConfigError unless there are at least two finite, non-negative, strictly decreasing values.
    """
    try:
        grid = torch.as_tensor(values if isinstance(values, Tensor) else list(values), dtype=F64).detach().cpu().clone()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"sigmas must be a list of numbers, for example [80, 10, 1, 0] ({error})") from error
    if grid.ndim != 1 or len(grid) < 2:
        raise ConfigError(f"sigmas must be a list of at least two numbers; got a tensor of shape {tuple(grid.shape)}")
    _check_each(grid)
    _check_decreasing(grid)
    return grid


def karras(
    steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, *, rho: float = 7.0, final_zero: bool = True
) -> Tensor:
    """Return `(sigma_max^(1/rho) + i/(n-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho`, i = 0..n-1.

    Karras, Aittala, Aila and Laine 2022 (arXiv 2206.00364), equation 5. With `final_zero` there are n = `steps` such values
    and then a 0; without it n = `steps + 1` and the last is `sigma_min`. Raises ConfigError for an impossible range.
    """
    _check_range(sigma_min, sigma_max)
    if not (math.isfinite(rho) and rho > 0):
        raise ConfigError(f"rho = {rho} must be a positive number; Karras et al. use 7")
    fraction = _fractions(steps, final_zero)
    first, last = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return _finish((first + fraction * (last - first)) ** rho, final_zero)


def log_uniform(steps: int, sigma_min: float, sigma_max: float, final_zero: bool = False) -> Tensor:
    """Return equal steps in log sigma: `sigma_max (sigma_min/sigma_max)^(i/(n-1))`, with n as in `karras`."""
    _check_range(sigma_min, sigma_max)
    return _finish(sigma_max * (sigma_min / sigma_max) ** _fractions(steps, final_zero), final_zero)


def vp_linear(
    steps: int,
    train_steps: int = 1000,
    *,
    beta_first: float = 1e-4,
    beta_last: float = 0.02,
    spacing: Spacing = "trailing",
    final_zero: bool = True,
    steps_offset: int = 0,
) -> Tensor:
    """Return the linear-beta schedule of Ho, Jain and Abbeel 2020 (arXiv 2006.11239), thinned to `steps` training times.

    `spacing` is "trailing", "leading" or "linspace" with the meaning these have in diffusers' DDIMScheduler, or the training
    times themselves, a decreasing list of `steps` integers. `steps_offset` shifts the times of "leading". The last entry is 0
    or, without `final_zero`, the sigma of training time 0 (what diffusers calls set_alpha_to_one=False).
    Raises ConfigError if the times are impossible.
    """
    times = training_times(steps, train_steps, spacing, steps_offset)
    return at_times(vp_linear_alphas_cumprod(train_steps, beta_first, beta_last), times, final_zero)


def vp_scaled_linear(
    steps: int,
    train_steps: int = 1000,
    *,
    beta_first: float = 8.5e-4,
    beta_last: float = 0.012,
    spacing: Spacing = "trailing",
    final_zero: bool = True,
    steps_offset: int = 0,
) -> Tensor:
    """Return the schedule of Rombach et al. 2022 (arXiv 2112.10752), whose betas' square roots grow linearly; the rest as in
    `vp_linear`."""
    times = training_times(steps, train_steps, spacing, steps_offset)
    return at_times(vp_scaled_linear_alphas_cumprod(train_steps, beta_first, beta_last), times, final_zero)


def vp_cosine(
    steps: int,
    train_steps: int = 1000,
    *,
    offset: float = 0.008,
    max_beta: float = 0.999,
    spacing: Spacing = "trailing",
    final_zero: bool = True,
    steps_offset: int = 0,
) -> Tensor:
    """Return the cosine schedule of Nichol and Dhariwal 2021 (arXiv 2102.09672, equation 17); the rest as in `vp_linear`."""
    times = training_times(steps, train_steps, spacing, steps_offset)
    return at_times(vp_cosine_alphas_cumprod(train_steps, offset, max_beta), times, final_zero)


def flow(steps: int, *, first: float = 0.999, shift: float = 1.0, final_zero: bool = True, last: float = 1e-3) -> Tensor:
    """Return `sigma = t / (1 - t)` at equal steps of the time t of flow matching, `x_t = (1 - t) x0 + t n`, from `first` down.

    Lipman et al. 2023 (arXiv 2210.02747). With `final_zero` there are `steps` positive times, the last of them `first / steps`,
    and then 0; without it `steps + 1`, down to `last`. `shift` s makes `s t / (1 + (s - 1) t)` of each time (Esser et al. 2024,
    arXiv 2403.03206). At t = 1 there is noise alone and sigma is infinite. Raises ConfigError for times outside of (0, 1).
    """
    if not 0 < last < first < 1:
        raise ConfigError(f"first = {first}, last = {last}: expected 0 < last < first < 1; at time 1 sigma is infinite")
    if not (math.isfinite(shift) and shift > 0):
        raise ConfigError(f"shift = {shift} must be a positive number; 1 leaves the times as they are")
    _check_count("steps", steps)
    ends = torch.tensor([first, first / steps if final_zero else last], dtype=F64)
    times = ends[0] + _fractions(steps, final_zero) * (ends[1] - ends[0])
    times = shift * times / (1 + (shift - 1) * times)
    return _finish(times / (1 - times), final_zero)


def vp_linear_alphas_cumprod(train_steps: int = 1000, beta_first: float = 1e-4, beta_last: float = 0.02) -> Tensor:
    """Return `prod_{s<=t} (1 - beta_s)` with beta linear in t: alpha^2 at every training time, float64 (train_steps,)."""
    _check_count("train_steps", train_steps)
    if not 0 < beta_first <= beta_last < 1:
        raise ConfigError(f"beta_first = {beta_first} and beta_last = {beta_last} must satisfy 0 < beta_first <= beta_last < 1")
    return torch.cumprod(1 - torch.linspace(beta_first, beta_last, train_steps, dtype=F64), 0)


def vp_scaled_linear_alphas_cumprod(train_steps: int = 1000, beta_first: float = 8.5e-4, beta_last: float = 0.012) -> Tensor:
    """Return `prod_{s<=t} (1 - beta_s)` with sqrt(beta) linear in t, float64 (train_steps,)."""
    _check_count("train_steps", train_steps)
    if not 0 < beta_first <= beta_last < 1:
        raise ConfigError(f"beta_first = {beta_first} and beta_last = {beta_last} must satisfy 0 < beta_first <= beta_last < 1")
    return torch.cumprod(1 - torch.linspace(beta_first**0.5, beta_last**0.5, train_steps, dtype=F64) ** 2, 0)


def vp_cosine_alphas_cumprod(train_steps: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """Return alpha^2 at every training time, float64 (train_steps,), from `f(u) = cos^2((u + offset)/(1 + offset) pi/2)`.

    `beta_t = min(1 - f((t+1)/T)/f(t/T), max_beta)`, so that the last few steps stay finite.
    """
    _check_count("train_steps", train_steps)
    if not (offset >= 0 and 0 < max_beta < 1):
        raise ConfigError(f"offset = {offset} must not be negative and max_beta = {max_beta} must lie between 0 and 1")
    level = torch.cos((torch.arange(train_steps + 1, dtype=F64) / train_steps + offset) / (1 + offset) * (math.pi / 2)) ** 2
    return torch.cumprod(1 - (1 - level[1:] / level[:-1]).clamp(max=max_beta), 0)


def training_times(steps: int, train_steps: int, spacing: Spacing, steps_offset: int = 0) -> list[int]:
    """Return the `steps` training times, decreasing, that a spacing keeps out of `train_steps`.

    "leading": `i (train_steps // steps) + steps_offset`; "linspace": `round(linspace(0, train_steps - 1, steps))`; and
    "trailing": `round(arange(train_steps, 0, -train_steps/steps)) - 1` in single precision, which decides where a time lies
    half-way between two. For some `steps`, 61 of 1000 for instance, arange has one entry too many, the time -1: it is dropped.
    """
    _check_count("steps", steps)
    _check_count("train_steps", train_steps)
    if not isinstance(spacing, str):
        return _given_times(steps, train_steps, spacing)
    if spacing not in SPACINGS:
        raise ConfigError(f"spacing = {spacing!r} is not one of {', '.join(SPACINGS)}, nor a list of training times")
    if steps > train_steps:
        raise ConfigError(f"steps = {steps} is more than the {train_steps} training times; use fewer, or a continuous grid")
    if steps_offset and spacing != "leading":
        raise ConfigError(f"steps_offset = {steps_offset} has a meaning for spacing 'leading' only, not for {spacing!r}")
    if spacing == "trailing":
        return (torch.arange(train_steps, 0, -train_steps / steps, dtype=torch.float32)[:steps].round().long() - 1).tolist()
    if spacing == "linspace":
        return (torch.arange(steps, dtype=F64) * ((train_steps - 1) / max(steps - 1, 1))).round().long().flip(0).tolist()
    times = [i * (train_steps // steps) + steps_offset for i in reversed(range(steps))]
    return _given_times(steps, train_steps, times)


class VPTimes:
    """The clock of a variance-preserving network: which (continuous) training time belongs to a noise level.

    `sigma(t) = sqrt((1 - abar_t)/abar_t)` at the integer training times, log sigma linear in t between them. Below the first
    and above the last training time the clock stands still.
    """

    def __init__(self, alphas_cumprod: Tensor | None = None):
        """`alphas_cumprod`: (train_steps,), decreasing in (0, 1); default: the linear schedule with 1000 times."""
        kept = vp_linear_alphas_cumprod() if alphas_cumprod is None else torch.as_tensor(alphas_cumprod, dtype=F64).cpu()
        if kept.ndim != 1 or len(kept) < 2 or not bool(((kept > 0) & (kept < 1)).all() and (kept.diff() < 0).all()):
            raise ConfigError("alphas_cumprod must be a list of at least two strictly decreasing numbers between 0 and 1")
        self._tables = {torch.device("cpu"): ((1 - kept) / kept).sqrt().log()}

    @property
    def times(self) -> int:
        """How many training times there are."""
        return len(self._tables[torch.device("cpu")])

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the training time in [0, train_steps - 1], float64, of sigma (any shape, any device)."""
        table = self._table(sigma.device)
        level = sigma.to(F64).log().clamp(table[0], table[-1])
        left = (torch.searchsorted(table, level, right=True) - 1).clamp(0, len(table) - 2)
        return left + (level - table[left]) / (table[left + 1] - table[left])

    def sigma(self, time: Tensor) -> Tensor:
        """Return the noise level, float64, of a training time (any shape), the inverse of calling the object."""
        table = self._table(time.device)
        at = time.to(F64).clamp(0, len(table) - 1)
        left = at.floor().long().clamp(max=len(table) - 2)
        return (table[left] + (at - left) * (table[left + 1] - table[left])).exp()

    def _table(self, device: torch.device) -> Tensor:
        if device not in self._tables:
            self._tables[device] = self._tables[torch.device("cpu")].to(device)
        return self._tables[device]


def at_times(alphas_cumprod: Tensor, times: list[int], final_zero: bool) -> Tensor:
    """Return sigmas of the training times, then 0 or the sigma of training time 0."""
    if not final_zero and times[-1] == 0:
        raise ConfigError(
            "final_zero=False ends the grid at training time 0, but this spacing already reaches it; use spacing 'trailing', "
            "'leading' with steps_offset=1, or final_zero=True"
        )
    sigmas = ((1 - alphas_cumprod) / alphas_cumprod).sqrt()
    return _finish(sigmas[times] if final_zero else sigmas[[*times, 0]], final_zero)


def _finish(sigmas: Tensor, final_zero: bool) -> Tensor:
    return explicit(torch.cat([sigmas, sigmas.new_zeros(1)]) if final_zero else sigmas)


def _fractions(steps: int, final_zero: bool) -> Tensor:
    """Return i/(n-1), i = 0..n-1, for the n positive sigmas of a grid."""
    _check_count("steps", steps)
    count = steps if final_zero else steps + 1
    return torch.arange(count, dtype=F64) / max(count - 1, 1)


def _given_times(steps: int, train_steps: int, spacing: Sequence[int]) -> list[int]:
    try:
        times = [int(t) for t in spacing]
        whole = all(int(t) == t for t in spacing)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"spacing = {spacing!r} must be a name or a list of whole numbers") from error
    falling = all(a > b for a, b in pairwise(times))
    if not (whole and falling and times and times[-1] >= 0 and times[0] < train_steps):
        limits = f"from {train_steps - 1} at most to 0 at least"
        raise ConfigError(f"training times {times} must be whole numbers that fall strictly, {limits}")
    if len(times) != steps:
        raise ConfigError(f"steps = {steps}, but {len(times)} training times were given; make them equal")
    return times


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{name} = {value!r} must be a whole number, at least 1")
    if value > MOST_STEPS:
        raise ConfigError(f"{name} = {value} is more than the {MOST_STEPS} that can be worked with; take fewer")


def _check_range(sigma_min: float, sigma_max: float) -> None:
    if not (0 < sigma_min < sigma_max < math.inf):
        raise ConfigError(f"sigma_min = {sigma_min}, sigma_max = {sigma_max}: expected 0 < sigma_min < sigma_max, both finite")


def _check_each(grid: Tensor) -> None:
    bad = (~(grid.isfinite() & (grid >= 0))).nonzero()
    if len(bad):
        at = int(bad[0])
        raise ConfigError(f"sigmas[{at}] = {grid[at]:g} must be finite and not negative")


def _check_decreasing(grid: Tensor) -> None:
    bad = (grid.diff() >= 0).nonzero()
    if len(bad):
        at = int(bad[0])
        raise ConfigError(
            f"sigmas must decrease strictly, but sigmas[{at}] = {grid[at]:.10g} is followed by "
            f"sigmas[{at + 1}] = {grid[at + 1]:.10g}; list the noise levels from large to small without repeating one"
        )
