"""PIADM's steps, against the paper's formula and against the exact Ornstein-Uhlenbeck process."""

import math

import pytest
import torch

from parampi import sigmas
from parampi.errors import ConfigError
from parampi.samplers import PIADMODE, PIADMSDE
from parampi.samplers.piadm import noises, small_difference
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
    found = walk(sampler.steps(GRID), denoise, x, noise)
    alpha = 1 / (1 + GRID**2).sqrt()
    y = alpha[0] * x
    for i in range(len(GRID) - 1):
        eps = torch.log1p(GRID[i] ** 2) - torch.log1p(GRID[i + 1] ** 2)
        score = (alpha[i] * denoise(y / alpha[i], GRID[i]) - y) / (alpha[i] * GRID[i]) ** 2
        y = (eps / 2).exp() * y + (2 if stochastic else 1) * torch.expm1(eps / 2) * score
        if stochastic:
            y = y + torch.expm1(eps).sqrt() * noise[i]
        torch.testing.assert_close(found[i + 1], y / alpha[i + 1], rtol=1e-12, atol=1e-12)


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
    found = p * p, q * q + r * r, p * q
    assert found == pytest.approx(exact_moments(eps, friction), rel=1e-8)


def test_the_series_and_the_formula_of_the_position_variance_meet():
    for friction in (0.5, 3.0):
        below, above = small_difference(0.04999 / friction, friction), small_difference(0.05001 / friction, friction)
        slope = (0.05 / friction) ** 2 * friction**2  # of g^2 eps^3 / 3
        assert above - below == pytest.approx(slope * 2e-5 / friction, rel=0.05)


def test_the_corrector_keeps_a_gaussian_law():
    """With the exact score of N(0, 1) and short steps the variance of the positions stays 1, but for what holding the score
    over a step leaves."""

    def drift(eps, friction=2.0, sigma=1.5):
        ode = PIADMODE(blocks=1, corrections=round(1 / eps), time=1.0, friction=friction)
        step_map = ode.steps(torch.tensor([3.0, sigma], dtype=F64))
        scale = math.sqrt(1 + sigma**2)
        rows = torch.zeros(step_map.steps + 1, step_map.steps + 1, dtype=F64)  # by the start of the corrector and the noises
        rows[1, 0] = scale
        for i in range(1, step_map.steps):
            for tap in range(min(step_map.taps, i)):
                gain = 1 / (1 + sigma**2)
                rows[i + 1] += (step_map.state[i, tap] + step_map.drift[i, tap] * gain) * rows[i - tap]
            for tap in range(min(2, i)):
                rows[i + 1, i - tap] += step_map.noise[i, tap]
        return float((rows[-1] ** 2).sum()) / scale**2 - 1

    coarse, fine = drift(0.1), drift(0.05)
    assert abs(fine) < 5e-3
    assert abs(coarse / fine) > 1.8


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
