"""The effect of sweeps on Gaussian data, exactly and axis by axis.

For Gaussian data the denoiser is linear. After any number of sweeps a state is therefore a linear function of the block's
start and of the noises, the same for every axis of a kind. `sweep_maps` follows the last state of a block back through the
sweeps and collects its coefficients: mean and variance of the samples come out without drawing a number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from parampi.samplers import StepMap
from scaling_law.problems import F64, GaussianAxes

SlopeModel = Literal["noise", "gaussian", "identity", "exact"]


@dataclass(frozen=True)
class AffineMap:
    """A block's map of the deviation w from the data's mean: `gain w + offset mean + noise`, per kind of axis, all (m,).

    variance  that of the noise
    """

    gain: Tensor
    offset: Tensor
    variance: Tensor


def denoiser_slopes(sigmas: Tensor, variance: Tensor) -> Tensor:
    """Return dD/dx (m, n) for Gaussian data of these variances (m,) at noise levels (n,)."""
    return variance[:, None] / (variance[:, None] + sigmas**2)


def step_slopes(steps: StepMap, variance: Tensor) -> Tensor:
    """Return `dx[i+1]/dx[i]` (m, n) of steps that read one point."""
    return steps.state[:, 0] + steps.denoised_weight[:, 0] * denoiser_slopes(steps.sigmas[:-1], variance)


def model_slopes(model: SlopeModel, steps: StepMap, variance: Tensor) -> Tensor:
    """Return the slopes of a solver's linear model, (1, n) or (m, n).

    "noise"     PIADM's: the predicted noise is that of the sweep before
    "identity"  a state keeps its change in variance-preserving coordinates, as in ParaDiGMS
    "gaussian"  the steps' slopes for data of unit variance, as in parampi's Picard
    "exact"     the true slopes: one sweep is the serial sampler
    """
    if model == "noise":
        return (steps.state + steps.denoised_weight)[:, 0][None]
    if model == "identity":
        scale = (1 + steps.sigmas**2).sqrt()
        return (scale[1:] / scale[:-1])[None]
    return step_slopes(steps, variance if model == "exact" else torch.ones(1, dtype=F64))


def sweep_maps(steps: StepMap, problem: GaussianAxes, model: SlopeModel, guess: SlopeModel = "identity") -> Iterator[AffineMap]:
    """Yield a block's map after 1, 2, 3, ... sweeps.

    One sweep is `x_new[i+1] = F_i(x_old[i]) + A_i (x_new[i] - x_old[i])` with the slopes A of the model. The first guess
    carries the block's start on with the slopes of `guess`, and with the true noises if that is "gaussian".
    """
    true, slopes = step_slopes(steps, problem.variance), model_slopes(model, steps, problem.variance)
    guess_slopes = model_slopes(guess, steps, problem.variance)
    products, guess_products = running_products(slopes), running_products(guess_slopes)
    slope_error = true - slopes
    noise = steps.noise[:, 0]
    guess_noise = noise if guess in ("gaussian", "exact") else torch.zeros_like(noise)
    weights = torch.zeros(len(problem.variance), steps.steps + 1, dtype=F64)
    weights[:, -1] = 1.0
    gain, noise_weights = torch.zeros_like(problem.variance), torch.zeros_like(true)
    while True:
        adjoint = backward_scan(weights, products)
        gain, noise_weights = gain + adjoint[:, 0], noise_weights + adjoint[:, 1:]
        weights = pad(adjoint[:, 1:] * slope_error, (0, 1))
        guess_adjoint = backward_scan(weights, guess_products)
        total = noise * noise_weights + guess_noise * guess_adjoint[:, 1:]
        offset = (guess_adjoint[:, 1:] * (guess_slopes - 1)).sum(1)
        yield AffineMap(gain + guess_adjoint[:, 0], offset, (total**2).sum(1))


def running_products(slopes: Tensor) -> Tensor:
    """Return the products (k, n + 1) of the slopes before each point."""
    return pad(torch.cumprod(slopes, 1), (1, 0), value=1.0)


def backward_scan(weights: Tensor, products: Tensor) -> Tensor:
    """Return `y_i = weights_i + A_i y_(i+1)` from the last point back, with A given by its running products, (m, n + 1)."""
    return (weights * products).flip(1).cumsum(1).flip(1) / products


def propagate(maps: Sequence[AffineMap], problem: GaussianAxes, sigma: float) -> tuple[Tensor, Tensor]:
    """Return mean error and variance at the end of blocks one after another, from the start at noise level sigma."""
    mean_error, variance = problem.start(sigma)
    for block in maps:
        mean_error = block.gain * mean_error + block.offset * problem.mean
        variance = block.gain**2 * variance + block.variance
    return mean_error, variance


def reverse_process(problem: GaussianAxes, first: float, last: float, stochastic: bool) -> AffineMap:
    """Return the map of the reverse process itself between two noise levels, which leaves only the error of the start."""
    ratio = problem.noisy_variance(last) / problem.noisy_variance(first)
    gain = ratio if stochastic else ratio.sqrt()
    fresh = problem.noisy_variance(last) - gain**2 * problem.noisy_variance(first)
    return AffineMap(gain, torch.zeros_like(gain), fresh.clamp(min=0.0))
