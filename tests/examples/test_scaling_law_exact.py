"""The scaling law's exact numbers against plain loops: sweeps point by point, joint laws of all points, fine simulations."""

import math
from itertools import islice

import pytest
import torch
from scaling_law.corrector import Langevin, corrector_maps
from scaling_law.path import path_divergence, swept_path_divergence
from scaling_law.problems import GaussianAxes, TrueStartAxes, field, spectrum
from scaling_law.steps import ddim_steps, exponential_steps, split_blocks
from scaling_law.sweeps import denoiser_slopes, model_slopes, propagate, reverse_process, step_slopes, sweep_maps
from torch import Tensor

from parampi.diffusion import block_grid
from parampi.samplers import StepMap

pytestmark = pytest.mark.slow

F64 = torch.float64
PROBLEM = GaussianAxes(*(torch.tensor(n, dtype=F64) for n in ((0.5, -1.0, 2.0), (3.0, 0.2, 0.9), (10.0, 4.0, 7.0))))
GRID = block_grid(3, 5, 4.0, 0.01)
KINDS = {"sde": (exponential_steps, True), "ode": (exponential_steps, False), "ddpm": (ddim_steps, True)}


def steps_of(kind: str) -> StepMap:
    make, stochastic = KINDS[kind]
    return make(GRID.sigmas, stochastic)


# Sweeps


def swept(steps: StepMap, mean: float, variance: float, x0: float, xi: Tensor, model: str, guess: str, sweeps: int) -> float:
    """Return the last state of one axis after a number of sweeps, point by point."""
    slopes = [model_slopes(name, steps, torch.tensor([variance], dtype=F64))[0].tolist() for name in (model, guess)]
    noise = (steps.noise[:, 0] * xi).tolist()
    sigmas, state, weight = (n.tolist() for n in (steps.sigmas, steps.state[:, 0], steps.denoised_weight[:, 0]))
    old = [x0]
    for i in range(steps.steps):
        old.append(slopes[1][i] * old[i] + (noise[i] if guess == "gaussian" else 0.0))
    for _ in range(sweeps):
        new = [x0]
        for i in range(steps.steps):
            denoised = mean + variance / (variance + sigmas[i] ** 2) * (old[i] - mean)
            stepped = state[i] * old[i] + weight[i] * denoised + noise[i]
            new.append(stepped + slopes[0][i] * (new[i] - old[i]))
        old = new
    return old[-1]


@pytest.mark.parametrize(("model", "guess"), [("noise", "identity"), ("identity", "identity"), ("gaussian", "gaussian")])
@pytest.mark.parametrize("sweeps", [1, 3])
def test_maps_are_those_of_sweeps(model, guess, sweeps):
    """Gain and offset by two starts without noise; the variance by every unit noise."""
    steps = split_blocks(steps_of("ddpm"), GRID.ends)[1]
    block = next(islice(sweep_maps(steps, PROBLEM, model, guess), sweeps - 1, None))
    for axis, (mean, variance) in enumerate(zip(PROBLEM.mean.tolist(), PROBLEM.variance.tolist(), strict=True)):

        def last(x0: float, xi: Tensor, mean=mean, variance=variance) -> float:
            return swept(steps, mean, variance, x0, xi, model, guess, sweeps) - mean

        still = torch.zeros(steps.steps, dtype=F64)
        none, one = last(mean, still), last(mean + 1.0, still)
        units = [last(mean, unit) - none for unit in torch.eye(steps.steps, dtype=F64)]
        assert float(block.offset[axis]) * mean == pytest.approx(none, rel=1e-9, abs=1e-12)
        assert float(block.gain[axis]) == pytest.approx(one - none, rel=1e-9, abs=1e-12)
        assert float(block.variance[axis]) == pytest.approx(sum(u * u for u in units), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_exact_model_and_many_sweeps_are_the_serial_sampler(kind):
    steps = steps_of(kind)
    first, mean, variance = float(steps.sigmas[0]), torch.zeros(3, dtype=F64), torch.ones(3, dtype=F64)
    variance = variance * (1 + first**2)
    numbers = (steps.state[:, 0], steps.denoised_weight[:, 0], steps.noise[:, 0])
    for sigma, state, weight, noise in zip(steps.sigmas[:-1], *(n.tolist() for n in numbers), strict=True):
        slope = PROBLEM.variance / (PROBLEM.variance + sigma**2)
        mean = state * mean + weight * (PROBLEM.mean + slope * (mean - PROBLEM.mean))
        variance = (state + weight * slope) ** 2 * variance + noise**2
    for model, sweeps in (("exact", 1), ("noise", steps.steps), ("identity", steps.steps)):
        block = next(islice(sweep_maps(steps, PROBLEM, model), sweeps - 1, None))
        mean_error, swept_variance = propagate([block], PROBLEM, first)
        assert torch.allclose(mean_error, mean - PROBLEM.mean, rtol=1e-8, atol=1e-10)
        assert torch.allclose(swept_variance, variance, rtol=1e-8)


def test_blocks_one_after_another_are_the_whole():
    steps = steps_of("sde")
    first = float(steps.sigmas[0])
    whole = propagate([next(sweep_maps(steps, PROBLEM, "exact"))], PROBLEM, first)
    blocks = propagate([next(sweep_maps(block, PROBLEM, "exact")) for block in split_blocks(steps, GRID.ends)], PROBLEM, first)
    assert all(torch.allclose(a, b, rtol=1e-10) for a, b in zip(whole, blocks, strict=True))


@pytest.mark.parametrize("stochastic", [True, False])
def test_steps_approach_the_process_in_first_order(stochastic):
    """The right start stays right, and the error of many steps is inversely proportional to their number."""
    first, last = math.sqrt(math.expm1(4.0)), math.sqrt(math.expm1(0.01))
    right = TrueStartAxes(PROBLEM.mean, PROBLEM.variance, PROBLEM.count)
    flow = reverse_process(PROBLEM, first, last, stochastic)
    assert torch.allclose(propagate([flow], right, first)[1], PROBLEM.noisy_variance(last))
    errors = []
    for steps_per_block in (100, 200):
        steps = exponential_steps(block_grid(2, steps_per_block, 4.0, 0.01).sigmas, stochastic)
        shift, variance = propagate([next(sweep_maps(steps, PROBLEM, "exact"))], PROBLEM, first)
        exact_shift, exact_variance = propagate([flow], PROBLEM, first)
        errors.append(torch.cat([shift - exact_shift, variance - exact_variance]))
    assert torch.allclose(errors[0] / errors[1], torch.full((6,), 2.0, dtype=F64), rtol=0.03)


# The corrector

LANGEVIN = Langevin(time=0.8, steps=6, friction=1.7)


def test_noise_of_a_step_is_that_of_the_ornstein_uhlenbeck_process():
    """Moments of `dv = -g v dt + sqrt(2 g) dB, dy = v dt` over a step, by very fine Euler steps of their equations."""
    n, g = 200_000, LANGEVIN.friction
    dt, yy, yv, vv = LANGEVIN.step / n, 0.0, 0.0, 0.0
    for _ in range(n):
        yy, yv, vv = yy + 2 * yv * dt, yv + (vv - g * yv) * dt, vv + (2 * g - 2 * g * vv) * dt
    assert LANGEVIN.noise() == pytest.approx((yy, vv, yv), rel=1e-3)


def langevin_swept(stiffness: float, y0: float, v0: float, noises: Tensor, sweeps: int) -> float:
    g, h, a = LANGEVIN.friction, LANGEVIN.step, LANGEVIN.decay
    old = [y0] * (LANGEVIN.steps + 1)
    for _ in range(sweeps):
        y, v, new = y0, v0, [y0]
        for i in range(LANGEVIN.steps):
            score = -stiffness * old[i]
            move = y + (1 - a) / g * v + (h - (1 - a) / g) / g * score + float(noises[0, i])
            y, v = move, a * v + (1 - a) / g * score + float(noises[1, i])
            new.append(y)
        old = new
    return old[-1]


@pytest.mark.parametrize("sweeps", [1, 3])
def test_corrector_maps_are_those_of_sweeps(sweeps):
    sigma = 0.7
    block = next(islice(corrector_maps(LANGEVIN, PROBLEM, sigma), sweeps - 1, None))
    position, velocity, covariance = LANGEVIN.noise()
    for axis, variance in enumerate(PROBLEM.noisy_variance(sigma).tolist()):
        stiffness, still = (1 + sigma**2) / variance, torch.zeros(2, LANGEVIN.steps, dtype=F64)
        gain = langevin_swept(stiffness, 1.0, 0.0, still, sweeps)
        total = langevin_swept(stiffness, 0.0, 1.0, still, sweeps) ** 2
        for i in range(LANGEVIN.steps):
            unit = [still.clone(), still.clone()]
            unit[0][0, i] = unit[1][1, i] = 1.0
            to_y, to_v = (langevin_swept(stiffness, 0.0, 0.0, u, sweeps) for u in unit)
            total += position * to_y**2 + 2 * covariance * to_y * to_v + velocity * to_v**2
        assert float(block.gain[axis]) == pytest.approx(gain, rel=1e-9)
        assert float(block.variance[axis]) == pytest.approx((1 + sigma**2) * total, rel=1e-9)


def test_corrector_keeps_the_data_and_draws_towards_them():
    """With fine steps the marginal at its noise level is stationary, and other variances come closer to it."""
    sigma = 0.7
    fine = next(islice(corrector_maps(Langevin(1.0, 2000, 2.0), PROBLEM, sigma), 30, None))
    variance = PROBLEM.noisy_variance(sigma)
    assert torch.allclose(fine.gain**2 * variance + fine.variance, variance, rtol=2e-3)
    assert bool((fine.gain.abs() < 1).all())


# Whole paths


def normal_divergence(mean: Tensor, covariance: Tensor, mean_q: Tensor, covariance_q: Tensor) -> float:
    """Return KL(N(mean, covariance) | N(mean_q, covariance_q))."""
    inverse, difference = torch.linalg.inv(covariance_q), mean_q - mean
    trace = (inverse * covariance.T).sum() - len(mean)
    return float(trace + difference @ inverse @ difference - torch.logdet(covariance) + torch.logdet(covariance_q)) / 2


def true_law(sigmas: Tensor, variance: float) -> Tensor:
    """Return the covariance of `x0 + sigma_i n_i` where noise is added in independent parts."""
    levels = sigmas**2
    return variance + torch.minimum(levels[:, None], levels[None])


def sampled_law(steps: StepMap, ends: list[int], mean: float, variance: float, sweeps: int) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of all points of the last sweep of PIADM, as a linear map of start and noises."""
    n, first = steps.steps, math.sqrt(1 + float(steps.sigmas[0]) ** 2)
    slopes, noise = step_slopes(steps, torch.tensor([variance], dtype=F64))[0], steps.noise[:, 0]
    scale = (1 + steps.sigmas**2).sqrt()
    # rows: points; columns: 1, start, noises; deviations from the mean
    points = torch.zeros(n + 1, n + 2, dtype=F64)
    points[0, 0], points[0, 1] = -mean, first
    for a, b in zip([0, *ends[:-1]], ends, strict=True):
        old = torch.zeros(b - a + 1, n + 2, dtype=F64)
        for i in range(b - a + 1):
            old[i] = scale[a + i] / scale[a] * points[a]
            old[i, 0] += (scale[a + i] / scale[a] - 1) * mean
        for _ in range(sweeps):
            new = old.clone()
            for i in range(b - a):
                new[i + 1] = new[i] - (1 - slopes[a + i]) * old[i]
                new[i + 1, 2 + a + i] += noise[a + i]
            old = new
        points[a : b + 1] = old
    return points[:, 0] + mean, points[:, 1:] @ points[:, 1:].T


@pytest.mark.parametrize("sweeps", [1, 3, 20])
def test_divergence_of_paths_is_that_of_the_joint_laws(sweeps):
    steps, ends = steps_of("sde"), GRID.ends.tolist()
    expected = 0.0
    for mean, variance, count in zip(*(n.tolist() for n in (PROBLEM.mean, PROBLEM.variance, PROBLEM.count)), strict=True):
        law = true_law(steps.sigmas, variance)
        sampled = sampled_law(steps, ends, mean, variance, sweeps)
        expected += count * normal_divergence(torch.full((len(law),), mean, dtype=F64), law, *sampled)
    assert swept_path_divergence(steps, GRID.ends, PROBLEM, sweeps) == pytest.approx(expected, rel=1e-7)
    if sweeps == 20:
        assert path_divergence(steps, PROBLEM) == pytest.approx(expected, rel=1e-7)


# Problems


@pytest.mark.parametrize("make", [spectrum, field])
@pytest.mark.parametrize("dim", [16, 4096])
def test_variances_are_one_on_average(make, dim):
    problem = make(dim)
    assert problem.dim == dim
    assert float((problem.variance * problem.count).sum()) == pytest.approx(dim)


def test_divergence_is_the_gaussian_one():
    shift, variance = torch.tensor([0.3, -0.1, 0.0], dtype=F64), torch.tensor([2.0, 0.5, 1.0], dtype=F64)
    expected = sum(
        count * normal_divergence(torch.zeros(1, dtype=F64), spread.reshape(1, 1), s.reshape(1), v.reshape(1, 1))
        for count, spread, s, v in zip(PROBLEM.count.tolist(), PROBLEM.noisy_variance(0.5), shift, variance, strict=True)
    )
    assert float(PROBLEM.divergence(shift, variance, 0.5)) == pytest.approx(expected)
    assert float(PROBLEM.divergence(torch.zeros(3, dtype=F64), PROBLEM.noisy_variance(0.5), 0.5)) == 0
    assert denoiser_slopes(torch.tensor([1.0], dtype=F64), PROBLEM.variance)[0, 0] == pytest.approx(0.75)
