"""What sweeps make of Gaussian data, exactly and mode by mode.

For Gaussian data the denoiser is linear, so after any number of sweeps a state is a linear function of the block's start and
of the noises, the same for every axis of a kind. `sweep_maps` follows the last state of a block back through the sweeps and
collects its coefficients: mean and variance of what is sampled come out without drawing a number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from parampi.samplers import StepMap
from scaling_law.problems import Modes

Model = Literal["noise", "gaussian", "identity", "exact"]


@dataclass(frozen=True)
class Affine:
    """What a block makes of the deviation w from the data's mean, per kind of axis, all (m,):

    `gain w + offset mean + noise`, the noise of the given variance.
    """

    gain: Tensor
    offset: Tensor
    variance: Tensor


def denoiser_slopes(sigmas: Tensor, variance: Tensor) -> Tensor:
    """dD/dx (m, n) for Gaussian data of these variances (m,) at noise levels (n,)."""
    return variance[:, None] / (variance[:, None] + sigmas**2)


def step_slopes(steps: StepMap, variance: Tensor) -> Tensor:
    """`dx[i+1]/dx[i]` (m, n) of steps that read one point."""
    return steps.state[:, 0] + steps.denoised_weight[:, 0] * denoiser_slopes(steps.sigmas[:-1], variance)


def model_slopes(name: Model, steps: StepMap, variance: Tensor) -> Tensor:
    """The solver's linear model, (1, n) or (m, n).

    "noise"     PIADM's: the predicted noise is that of the sweep before
    "identity"  a state keeps its change in variance-preserving coordinates, as in ParaDiGMS
    "gaussian"  the steps' slopes for data of unit variance, as this package's Picard has them
    "exact"     the true slopes: one sweep is the serial sampler
    """
    if name == "noise":
        return (steps.state + steps.denoised_weight)[:, 0][None]
    if name == "identity":
        scale = (1 + steps.sigmas**2).sqrt()
        return (scale[1:] / scale[:-1])[None]
    return step_slopes(steps, variance if name == "exact" else torch.ones(1, dtype=torch.float64))


def sweep_maps(steps: StepMap, problem: Modes, model: Model, guess: Model = "identity") -> Iterator[Affine]:
    """A block's map after 1, 2, 3, ... sweeps.

    One sweep is `x_new[i+1] = F_i(x_old[i]) + A_i (x_new[i] - x_old[i])` with A of the model; the first guess carries the
    block's start on with the slopes of `guess`, and with the true noises if that is "gaussian".
    """
    true, slopes = step_slopes(steps, problem.variance), model_slopes(model, steps, problem.variance)
    carry, answer = chain(slopes), true - slopes
    first, guessed = chain(model_slopes(guess, steps, problem.variance)), model_slopes(guess, steps, problem.variance)
    noise = steps.noise[:, 0]
    guess_noise = noise if guess in ("gaussian", "exact") else torch.zeros_like(noise)
    weights = torch.zeros(len(problem.variance), steps.steps + 1, dtype=torch.float64)
    weights[:, -1] = 1.0
    gain, reach = torch.zeros_like(problem.variance), torch.zeros_like(true)
    while True:
        level = collected(weights, carry)
        gain, reach = gain + level[:, 0], reach + level[:, 1:]
        weights = torch.nn.functional.pad(level[:, 1:] * answer, (0, 1))
        last = collected(weights, first)
        total = noise * reach + guess_noise * last[:, 1:]
        yield Affine(gain + last[:, 0], (last[:, 1:] * (guessed - 1)).sum(1), (total**2).sum(1))


def chain(slopes: Tensor) -> Tensor:
    """Products (k, n + 1) of the slopes before each point."""
    return torch.nn.functional.pad(torch.cumprod(slopes, 1), (1, 0), value=1.0)


def collected(weights: Tensor, products: Tensor) -> Tensor:
    """`y_i = weights_i + A_i y_(i+1)` from the last point back, with A given by its products: both (m, n + 1)."""
    return (weights * products).flip(1).cumsum(1).flip(1) / products


def split(steps: StepMap, ends: Tensor) -> list[StepMap]:
    """The steps block by block."""
    begins = [0, *ends[:-1].tolist()]
    return [
        StepMap(steps.sigmas[a : b + 1], steps.state[a:b], steps.denoised_weight[a:b], steps.noise[a:b])
        for a, b in zip(begins, ends.tolist(), strict=True)
    ]


def carried(maps: Sequence[Affine], problem: Modes, sigma: float) -> tuple[Tensor, Tensor]:
    """Mean error and variance at the end of blocks one after another, from the start at noise level sigma."""
    shift, variance = problem.start(sigma)
    for block in maps:
        shift = block.gain * shift + block.offset * problem.mean
        variance = block.gain**2 * variance + block.variance
    return shift, variance


def exact_flow(problem: Modes, first: float, last: float, stochastic: bool) -> Affine:
    """The reverse process itself between two noise levels, without any steps: what is left is the error of the start."""
    ratio = problem.spread(last) / problem.spread(first)
    gain = ratio if stochastic else ratio.sqrt()
    fresh = problem.spread(last) - gain**2 * problem.spread(first)
    return Affine(gain, torch.zeros_like(gain), fresh.clamp(min=0.0))
