"""Rung 7: the ensemble that Picard sweeps draw has the distribution it should have, on closed-form problems.

For Gaussian data the sampled distribution is Gaussian, and its mean and covariance follow exactly from the coefficients (with
the sampler's discretisation error); tests compare with those. Each test has significance SIGNIFICANCE (families of comparisons
share it by Bonferroni's rule), seeds are fixed, and every test is shown to have the power to tell a near miss.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from parampi import sample, sigmas
from parampi.diffusion.exact import FieldMixture, Gaussian, GaussianMixture
from parampi.samplers import DDIM
from parampi.solvers import Picard
from tests.moments import CorrelatedGaussian, carried

pytestmark = pytest.mark.slow

F64 = torch.float64
SIGNIFICANCE = 1e-3
GRID = sigmas.vp_linear(40)
ETAS = pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])

SHAPE, SIZE = (1, 3, 4), 12


def correlated():
    """A Gaussian whose entries have means, unequal variances and correlations."""
    generator = torch.Generator().manual_seed(3)
    factor = torch.randn(SIZE, SIZE, generator=generator, dtype=F64) / SIZE**0.5
    mean = torch.randn(SHAPE, generator=generator, dtype=F64)
    return CorrelatedGaussian(mean, factor @ factor.T + 0.1 * torch.eye(SIZE, dtype=F64))


def engine_start(grid):
    return torch.zeros(SIZE, dtype=F64), (grid[0] ** 2 + 1).item() * torch.eye(SIZE, dtype=F64)


def p_of_mean(samples, mean, covariance):
    """Chi-square test of the mean (d,) of samples (n, d) of known covariance."""
    shift = samples.mean(0) - mean
    return float(stats.chi2.sf(len(samples) * (shift @ torch.linalg.solve(covariance, shift)).item(), len(mean)))


def p_of_covariance(samples, mean, covariance):
    """Likelihood-ratio test of the covariance (d, d) of samples (n, d) of known mean; asymptotically chi-square."""
    d = len(mean)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (samples - mean).T, upper=False)
    scatter = white @ white.T / len(samples)
    statistic = len(samples) * (scatter.trace() - torch.logdet(scatter) - d).item()
    return float(stats.chi2.sf(statistic, d * (d + 1) // 2))


@ETAS
@pytest.mark.parametrize("solver", [Picard(), Picard("block", "identity", "constant")], ids=str)
def test_mean_and_covariance_are_those_the_coefficients_give(eta, solver):
    problem = correlated()
    drawn = sample(problem, SHAPE, 2000, GRID, DDIM(eta), solver, window=10, tol=1e-4, seed=11).fields.flatten(1)
    mean, covariance = carried(DDIM(eta).steps(GRID), problem, *engine_start(GRID))
    assert p_of_mean(drawn, mean, covariance) > SIGNIFICANCE / 2
    assert p_of_covariance(drawn, mean, covariance) > SIGNIFICANCE / 2
    # Power: moments that are off by a tenth are refused.
    near_miss = covariance + 0.1 * covariance.diagonal().diag()
    assert p_of_mean(drawn, mean + 0.1 * covariance.diagonal().sqrt(), covariance) < 1e-6
    assert p_of_covariance(drawn, mean, near_miss) < 1e-6


@ETAS
def test_sampled_moments_tend_to_the_data_s(eta):
    """What the coefficients give comes to the data as the grid becomes finer."""
    problem = correlated()
    worst = []
    for steps in (50, 400):
        grid = sigmas.vp_linear(steps)
        mean, covariance = carried(DDIM(eta).steps(grid), problem, *engine_start(grid))
        assert (mean - problem.mean.flatten()).abs().max() < 0.02
        worst.append((torch.linalg.eigvals(torch.linalg.solve(problem.covariance, covariance)).real - 1).abs().max().item())
    assert worst[1] < 0.06 and worst[1] < worst[0] / 4


@ETAS
def test_spectrum_per_shell(eta):
    """Chi-square test of every shell's power in units of its exact sampled power; 24 fields on 32 x 32 points."""
    problem = FieldMixture(n=32)
    drawn = sample(problem, problem.shape, 24, GRID, DDIM(eta), Picard(), window=16, tol=1e-4, seed=5).fields
    power = (torch.fft.rfft2(drawn[:, 0], norm="ortho").abs() ** 2 * problem.multiplicity).sum(0)
    expected = spectral_power(DDIM(eta).steps(GRID), problem.spectrum)
    shells = problem.wavenumber.round().long()
    shells[0, 0] = 0
    p_values, near_misses = [], []
    for shell in shells.unique():
        inside = shells == shell
        freedom = len(drawn) * problem.multiplicity[inside].sum().item()
        statistic = (power[inside] / expected[inside]).sum().item()
        p_values.append(two_sided(stats.chi2(freedom), statistic))
        near_misses.append(two_sided(stats.chi2(freedom), 1.1 * statistic))
    assert min(p_values) > SIGNIFICANCE / len(p_values)
    assert min(near_misses) < SIGNIFICANCE / len(p_values)


def spectral_power(step_map, spectrum):
    """Variance of every mode at the end: modes of a Gaussian field do not mix."""
    power = (step_map.sigmas[0] ** 2 + 1) * torch.ones_like(spectrum)
    for sigma, state, denoised_weight, noise in zip(
        step_map.sigmas[:-1], step_map.state, step_map.denoised_weight, step_map.noise, strict=True
    ):
        power = (state + denoised_weight * spectrum / (spectrum + sigma**2)) ** 2 * power + noise**2
    return power


def two_sided(distribution, statistic):
    return 2 * min(distribution.sf(statistic), distribution.cdf(statistic))


def test_values_are_normally_distributed():
    """Kolmogorov-Smirnov test of all entries of Gaussian fields with their exact sampled variance."""
    variance = torch.tensor([0.25, 1.0, 4.0], dtype=F64).view(1, 3, 1).expand(1, 3, 5)
    problem = Gaussian(torch.zeros(1, 3, 5, dtype=F64), variance)
    drawn = sample(problem, problem.shape, 400, GRID, DDIM(1.0), sigma_data=1.0, tol=1e-4, seed=2).fields
    scale = spectral_power(DDIM(1.0).steps(GRID), variance).sqrt()
    white = (drawn / scale).flatten().numpy()
    assert stats.kstest(white, "norm").pvalue > SIGNIFICANCE
    assert stats.kstest(white * 1.1, "norm").pvalue < SIGNIFICANCE


@pytest.fixture(scope="module")
def mixture():
    """Draws from gmm64 by Picard with and without noise, and exact ones; flat (1000, 64)."""
    problem, grid = GaussianMixture(), sigmas.vp_linear(60)
    drawn = {eta: sample(problem, problem.shape, 1000, grid, DDIM(eta), batch=500, tol=1e-2, seed=1) for eta in (0.0, 1.0)}
    return problem, {eta: d.fields.flatten(1) for eta, d in drawn.items()}, problem.sample(1000, seed=9).flatten(1)


both_ends = pytest.mark.parametrize("eta", [0.0, 1.0])


@both_ends
def test_components_of_a_mixture_are_equally_likely(mixture, eta):
    problem, drawn, _ = mixture
    nearest = torch.cdist(drawn[eta], problem.means).argmin(1)
    counts = torch.bincount(nearest, minlength=len(problem.means)).numpy()
    assert stats.chisquare(counts).pvalue > SIGNIFICANCE
    counts[0] += 60
    assert stats.chisquare(counts).pvalue < SIGNIFICANCE


@both_ends
def test_projections_of_a_mixture_agree_with_exact_draws(mixture, eta):
    """Two-sample Kolmogorov-Smirnov tests on the differences of means and on random directions."""
    problem, drawn, exact = mixture
    random = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=F64)
    directions = torch.cat([(problem.means[1:] - problem.means[0]).T, random], dim=1)
    directions = directions / directions.norm(dim=0)
    ours, theirs = (drawn[eta] @ directions).numpy(), (exact @ directions).numpy()
    count = ours.shape[1]
    p_values = [stats.ks_2samp(a, b, method="asymp").pvalue for a, b in zip(ours.T, theirs.T, strict=True)]
    assert min(p_values) > SIGNIFICANCE / count
    near_misses = [stats.ks_2samp(0.8 * a, b, method="asymp").pvalue for a, b in zip(ours.T, theirs.T, strict=True)]
    assert min(near_misses) < SIGNIFICANCE / count


@both_ends
def test_energy_distance_of_a_mixture_to_exact_draws(mixture, eta):
    """Energy test (Szekely and Rizzo 2004) with 999 permutations: the least significance it can show is 1e-3."""
    _, drawn, exact = mixture
    assert p_of_energy(drawn[eta][:300], exact[:300]) > SIGNIFICANCE
    assert p_of_energy(drawn[eta][:300] * 0.85, exact[:300]) <= SIGNIFICANCE


def p_of_energy(a, b, permutations=999):
    both = torch.cat([a, b])
    distances = torch.cdist(both, both)
    random = np.random.default_rng(0)
    signs = np.repeat([1.0, -1.0], [len(a), len(b)])
    arrangements = np.stack([signs, *(random.permutation(signs) for _ in range(permutations))], axis=1)
    energies = -np.einsum("ip,ij,jp->p", arrangements, distances.numpy(), arrangements, optimize=True)
    return float((energies >= energies[0] * (1 - 1e-12)).mean())


def test_within_a_component_values_spread_as_the_coefficients_say(mixture):
    """Chi-square test of squared distances from the component's mean.

    DDPM forgets the start, so a component is a Gaussian of its own with a known sampled variance, 18 % too small on this grid.
    """
    problem, drawn, _ = mixture
    flat = drawn[1.0]
    nearest = problem.means[torch.cdist(flat, problem.means).argmin(1)]
    expected = spectral_power(DDIM(1.0).steps(sigmas.vp_linear(60)), torch.tensor(problem.variance, dtype=F64)).item()
    statistic = ((flat - nearest) ** 2).sum().item() / expected
    assert two_sided(stats.chi2(flat.numel()), statistic) > SIGNIFICANCE
    assert two_sided(stats.chi2(flat.numel()), 1.05 * statistic) < SIGNIFICANCE
