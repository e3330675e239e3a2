"""PIADM's steps, against the paper's formula and against the exact Ornstein-Uhlenbeck process."""

import math
from itertools import pairwise

import pytest
import torch

from parampi import sigmas
from parampi.errors import ConfigError
from parampi.samplers import PIADMODE, PIADMSDE, StepMap
from parampi.samplers.langevin import noises, series
from tests.moments import CorrelatedGaussian, carried
from tests.samplers.walk import walk

F64 = torch.float64
GRID = sigmas.vp_linear(12)


def denoise(x, sigma):
    """A denoiser that is no linear map."""
    return torch.tanh(x / (1 + sigma**2).sqrt())


@pytest.mark.parametrize("kind", [PIADMSDE, PIADMODE])
def test_steps_are_the_formula_in_variance_preserving_coordinates(kind):
    """y' = e^(eps/2) y + [2] (e^(eps/2) - 1) s(y) [+ sqrt(e^eps - 1) xi], with s the score of y = alpha x."""
    stochastic = kind is PIADMSDE
    sampler = kind() if stochastic else kind(corrections=0)
    x, *noise = torch.randn(len(GRID), 5, generator=torch.Generator().manual_seed(0), dtype=F64)
    x = 20 * x
    actual = walk(sampler.steps(GRID), denoise, x, noise)
    alpha = 1 / (1 + GRID**2).sqrt()
    y = alpha[0] * x
    for i in range(len(GRID) - 1):
        eps = torch.log1p(GRID[i] ** 2) - torch.log1p(GRID[i + 1] ** 2)
        score = (alpha[i] * denoise(y / alpha[i], GRID[i]) - y) / (alpha[i] * GRID[i]) ** 2
        y = (eps / 2).exp() * y + (2 if stochastic else 1) * torch.expm1(eps / 2) * score
        if stochastic:
            y = y + torch.expm1(eps).sqrt() * noise[i]
        torch.testing.assert_close(actual[i + 1], y / alpha[i + 1], rtol=1e-12, atol=1e-12)


def exact_moments(eps, friction, steps=200_000):
    """Variances and covariance of (y, v) after dy = v dt, dv = -g v dt + sqrt(2 g) dW from 0, by quadrature of the kernels."""
    s = (torch.arange(steps, dtype=F64) + 0.5) * eps / steps
    by_v = math.sqrt(2 * friction) * (-friction * s).exp()
    by_y = math.sqrt(2 * friction) * -torch.expm1(-friction * s) / friction
    step = eps / steps
    return float((by_y**2).sum() * step), float((by_v**2).sum() * step), float((by_y * by_v).sum() * step)


@pytest.mark.parametrize("friction", [0.5, 2.0])
@pytest.mark.parametrize("eps", [1e-3, 0.02, 0.5])
def test_corrector_noise_has_the_moments_of_the_exact_process(eps, friction):
    p, q, r = noises(eps, friction)
    actual = p * p, q * q + r * r, p * q
    assert actual == pytest.approx(exact_moments(eps, friction), rel=1e-8)


def test_the_series_and_the_formula_of_the_moments_meet():
    """On both sides of z = 1/2, where one takes over from the other."""
    for first, once, twice in ((2, 1.0, 0.0), (3, 2.0, -0.5)):
        by_series, by_formula = (series(z, first, once, twice) for z in (0.5, math.nextafter(0.5, 1)))
        assert by_series == pytest.approx(by_formula, rel=1e-14)
    assert series(1e-6, 3, 2.0, -0.5) == pytest.approx(1e-18 / 3, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.05, 1.5, 30.0])
@pytest.mark.parametrize("options", [{}, {"time": 0.7, "friction": 1.3}], ids=repr)
def test_a_corrector_step_has_the_mean_of_the_exact_process(options, sigma):
    """The flow of dy = v dt, dv = (s - g v) dt from (y, v), by the exponential of its matrix, with s held."""
    count = 3
    step_map = PIADMODE(blocks=1, corrections=count, **options).steps(torch.tensor([2 * sigma, sigma], dtype=F64))
    alpha, level = 1 / math.sqrt(1 + sigma**2), sigma / math.sqrt(1 + sigma**2)
    eps, g = options.get("time", level) / count, options.get("friction", 2 / level)
    flow = torch.linalg.matrix_exp(eps * torch.tensor([[0.0, 1.0, 0.0], [0.0, -g, 1.0], [0.0, 0.0, 0.0]], dtype=F64))
    x, v, d = torch.tensor([0.8, -0.4, 0.3], dtype=F64)  # position and velocity in EDM coordinates, and a denoised field
    score = (alpha * d - alpha * x) / level**2
    y, w, _ = flow @ torch.stack([alpha * x, alpha * v, score])
    state, denoised_weight = step_map.state, step_map.denoised_weight
    after_x = state[2, 1] * x + state[2, 0] * v + denoised_weight[2, 1] * d
    after_v = state[3, 2] * x + state[3, 1] * v + state[3, 0] * after_x + denoised_weight[3, 2] * d
    torch.testing.assert_close(torch.stack([after_x, after_v]), torch.stack([y, w]) / alpha, rtol=1e-12, atol=1e-12)


def positions(step_map, sigma, variance):
    """The variance of y at the end of a chain whose denoiser is that of N(0, variance), begun at its marginal at sigma."""
    problem = CorrelatedGaussian(torch.zeros(1, dtype=F64), torch.tensor([[variance]], dtype=F64))
    _, spread = carried(step_map, problem, torch.zeros(1, dtype=F64), torch.tensor([[variance + sigma**2]], dtype=F64))
    return float(spread) / (variance + sigma**2)


def corrector_alone(sampler, sigma):
    """Its points without those of the predictor before them."""
    step_map = sampler.steps(torch.tensor([2 * sigma, sigma], dtype=F64))
    return StepMap(step_map.sigmas[1:], step_map.state[1:], step_map.denoised_weight[1:], step_map.noise[1:])


@pytest.mark.slow
@pytest.mark.parametrize("variance", [0.01, 1.0, 9.0])
@pytest.mark.parametrize("sigma", [0.02, 1.5])
def test_the_corrector_keeps_a_gaussian_law_in_the_long_run(sigma, variance):
    """What holding the score over a step leaves of a Gaussian's variance is of first order in the step, and does not grow."""
    level = sigma / math.sqrt(1 + sigma**2)

    def bias(per_time, length):
        sampler = PIADMODE(blocks=1, corrections=per_time * length, time=length * level)
        return positions(corrector_alone(sampler, sigma), sigma, variance) - 1

    coarse, fine, long = bias(20, 20), bias(40, 20), bias(40, 40)
    assert abs(fine) < 0.02
    assert coarse / fine == pytest.approx(2, abs=0.1)
    assert abs(long) < 1.1 * abs(fine) + 1e-4 or variance > 1  # a wide law takes longer to settle


def test_blocks_are_the_sums_of_the_paper():
    """y_m = e^(tau_m/2) y_0 + sum_j e^((tau_m - tau_{j+1})/2) (2 (e^(eps_j/2) - 1) s(y_j) + sqrt(e^eps_j - 1) xi_j)."""
    step_map = PIADMSDE(blocks=3).steps(GRID)
    start, *noise = torch.randn(len(GRID), 5, generator=torch.Generator().manual_seed(0), dtype=F64)
    x, alpha, t = walk(step_map, denoise, 20 * start, noise), 1 / (1 + GRID**2).sqrt(), torch.log1p(GRID**2)
    for begin, end in pairwise([0, *step_map.blocks.tolist()]):
        tau = t[begin] - t
        y = (tau[end] / 2).exp() * alpha[begin] * x[begin]
        for j in range(begin, end):
            score = alpha[j] * (denoise(x[j], GRID[j]) - x[j]) / (alpha[j] * GRID[j]) ** 2
            eps = t[j] - t[j + 1]
            kick = 2 * torch.expm1(eps / 2) * score + torch.expm1(eps).sqrt() * noise[j]
            y = y + ((tau[end] - tau[j + 1]) / 2).exp() * kick
        torch.testing.assert_close(x[end], y / alpha[end], rtol=1e-12, atol=1e-12)


def test_chain_of_positions_and_velocities():
    """Velocities are never evaluated, and blocks end where predictor and corrector do."""
    step_map = PIADMODE(blocks=3, corrections=4).steps(GRID)
    correctors = 2  # none at sigma = 0
    assert step_map.steps == 12 + correctors * 2 * 4
    assert step_map.steps - step_map.evaluations == correctors * 4
    assert len(step_map.blocks) == 3 + correctors
    assert step_map.taps == 3 and step_map.noise.shape[1] == 2


@pytest.mark.parametrize("options", [{"corrections": -1}, {"time": 0.0}, {"friction": -2.0}, {"blocks": 0}])
def test_refuses_options_out_of_range(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} = "):
        PIADMODE(**options)
