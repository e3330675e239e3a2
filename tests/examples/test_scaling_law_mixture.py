"""The mixture of the scaling law: it divides into along and across, and its draws along are those of sweeps."""

import math
from itertools import islice

import pytest
import torch
from scaling_law.corrector import Langevin, corrector_maps
from scaling_law.mixture import TwoGaussians, histogram_divergence, quantiles
from scaling_law.mixture_draws import MixtureDraws, correct, langevin_noise, last_points
from scaling_law.problems import one_kind
from scaling_law.steps import exponential_steps, split_blocks
from scaling_law.sweeps import sweep_maps

from parampi.diffusion import block_grid

pytestmark = pytest.mark.slow

F64 = torch.float64
MIXTURE = TwoGaussians(64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(mixture, sigma, count, seed=0):
    """Return u of data at a noise level."""
    sign = torch.randint(0, 2, (count,), generator=generator(seed)) * 2 - 1
    return sign * mixture.distance + math.sqrt(mixture.variance + sigma**2) * torch.randn(
        count, generator=generator(seed + 1), dtype=F64
    )


def test_denoiser_divides_into_along_and_across():
    """Against the posterior mean of the mixture in all of its dimensions, with mu in a direction of its own."""
    direction = torch.nn.functional.normalize(torch.randn(64, generator=generator(), dtype=F64), dim=0)
    mu, v, sigma = MIXTURE.distance * direction, MIXTURE.variance, 3.0
    x = torch.randn(10, 64, generator=generator(1), dtype=F64) * 2
    distances = torch.stack([((x - s * mu) ** 2).sum(1) for s in (1, -1)], 1)
    weights = torch.softmax(-distances / (2 * (v + sigma**2)), 1)
    full = sum(w[:, None] * (s * mu + v / (v + sigma**2) * (x - s * mu)) for w, s in zip(weights.T, (1, -1), strict=True))
    along, level = x @ direction, torch.full((1,), sigma, dtype=F64)
    apart = MIXTURE.denoise(along[:, None], level) * direction + v / (v + sigma**2) * (x - along[:, None] * direction)
    assert torch.allclose(full, apart, atol=1e-12)
    assert MIXTURE.distance**2 + 64 * v == pytest.approx(64)


def test_start_divergence_is_that_of_the_mixture_at_its_horizon():
    """Against a histogram of many draws, and against the Gaussian formula where the components lie on one another."""
    horizon = 3.5
    alpha = math.exp(-horizon / 2)
    y = alpha * drawn(MIXTURE, math.sqrt(math.expm1(horizon)), 400_000)
    counts = torch.histc(y, 60, -6, 6) / len(y)
    edges = torch.linspace(-6, 6, 61, dtype=F64)
    normal = torch.erf(edges / math.sqrt(2)).diff() / 2
    some = counts > 0
    spread = alpha**2 * MIXTURE.variance - math.expm1(-horizon)
    across = 63 / 2 * (spread - 1 - math.log(spread))
    estimate = float((counts[some] * (counts[some] / normal[some]).log()).sum())
    assert MIXTURE.start_divergence(horizon) - across == pytest.approx(estimate, abs=2e-3)
    assert TwoGaussians(64, variance=1.0).start_divergence(horizon) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.03, 5.0])
def test_histogram_divergence_of_exact_draws_is_nothing(sigma):
    """Its scatter, sqrt(bins/2)/n, is 1e-3 for 4096 draws; significance 1e-4 for four standard errors. Shifted draws differ."""
    borders = quantiles(MIXTURE, sigma, 32)
    assert bool((borders.diff() > 0).all()) and abs(float(borders[15])) < MIXTURE.distance / 2
    u = drawn(MIXTURE, sigma, 4096)
    assert abs(histogram_divergence(u, MIXTURE, sigma)) < 4e-3
    shifted = u + 0.5 * math.sqrt(MIXTURE.variance + sigma**2)
    exact = 0.125
    assert 0.5 * exact < histogram_divergence(shifted, MIXTURE, sigma) < 1.5 * exact


def test_as_many_sweeps_as_points_are_the_serial_sampler():
    steps = exponential_steps(block_grid(1, 12, 4.0, 0.05).sigmas, True)
    u = 8 * torch.randn(5, 1, generator=generator(), dtype=F64)
    noise = steps.noise[:, 0] * torch.randn((5, steps.steps), generator=generator(3), dtype=F64)
    x = u
    for i in range(steps.steps):
        x = steps.state[i] * x + steps.denoised_weight[i] * MIXTURE.denoise(x, steps.sigmas[i]) + noise[:, i : i + 1]
    for model in ("noise", "gaussian", "identity"):
        last = next(islice(last_points(MIXTURE, steps, u, generator(3), model), steps.steps - 1, None))
        assert torch.allclose(last, x, rtol=1e-9)


@pytest.mark.parametrize("model", ["noise", "gaussian"])
def test_draws_of_one_component_have_the_exact_variance(model):
    """With both components in one place u is Gaussian: 20000 draws after two sweeps, 4 standard errors (significance 6e-5)."""
    mixture = TwoGaussians(8, variance=1.0)
    steps = exponential_steps(block_grid(1, 8, 3.0, 0.05).sigmas, True)
    guess = "gaussian" if model == "gaussian" else "identity"
    exact = next(islice(sweep_maps(steps, one_kind(0.0, 1.0, 1.0), model, guess), 1, None))
    u = torch.full((20_000, 1), 2.0, dtype=F64)
    last = next(islice(last_points(mixture, steps, u, generator(), model), 1, None))
    deviation = float(exact.variance.sqrt())
    assert abs(float(last.mean()) - 2 * float(exact.gain)) < 4 * deviation / math.sqrt(20_000)
    assert float(last.var()) == pytest.approx(deviation**2, rel=4 * math.sqrt(2 / 20_000))


def test_draws_of_the_corrector_have_the_exact_variance():
    mixture, langevin, sigma = TwoGaussians(8, variance=1.0), Langevin(0.7, 5, 1.5), 0.4
    exact = next(islice(corrector_maps(langevin, one_kind(0.0, 1.0, 1.0), sigma), 1, None))
    u = correct(mixture, langevin, torch.full((20_000, 1), 1.5, dtype=F64), sigma, 2, generator())
    deviation = float(exact.variance.sqrt())
    assert abs(float(u.mean()) - 1.5 * float(exact.gain)) < 4 * deviation / math.sqrt(20_000)
    assert float(u.var()) == pytest.approx(deviation**2, rel=4 * math.sqrt(2 / 20_000))
    y, v = langevin_noise(langevin, (20_000, 1), generator())
    assert float((y * v).mean()) == pytest.approx(langevin.noise()[2], rel=0.05)


def test_fine_steps_and_many_sweeps_draw_the_mixture():
    grid = block_grid(4, 60, 7.0)
    steps = exponential_steps(grid.sigmas, True)
    draws = MixtureDraws(MIXTURE, count=1024)
    assert abs(draws.serial_divergence(steps)) < 0.02
    assert abs(draws.block_divergence(split_blocks(steps, grid.ends), 12)) < 0.02
    window = draws.window_divergences(steps, "gaussian", 20)
    assert len(window) == 20 and abs(window[-1]) < 0.02 < window[0]
