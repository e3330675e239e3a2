"""Closed-form problems: golden numbers, Tweedie's formula, independence of rows and the distribution of their samples.

Statistical tests use fixed seeds and bounds of 4.5 standard deviations (7e-6 each) or levels of 1e-4.
"""

from math import prod, sqrt

import pytest
import torch
from scipy import stats

from parampi.diffusion.exact import PROBLEMS, FieldMixture, Gaussian, GaussianMixture
from parampi.errors import ConfigError

F64 = torch.float64
# At x = ((7 i^2 + 3 i) mod 101)/25 - 2, i counting through the batch: first, one-third and last entry and mean square of D
# for each sigma.
GOLDEN = {
    "gmm64": [
        [-1.989876859318198, -1.2176636592802923, 1.8166058816039423, 1.537882438501176],
        [1.5943713108453492, -1.0745122771362694, 0.059348080954874205, 0.5546294330067333],
        [-0.47840716288089324, -0.08859287209265644, -0.1450420950380853, 0.1021486353836972],
    ],
    "grf64": [
        [-1.71780298801727, 1.6122065492777105, -0.6723242140870099, 1.1845689917153792],
        [-0.13481765821473418, 0.2817195139810248, -0.163327528638085, 0.06290475737517363],
        [-0.07169905685870387, -0.11485928232315509, -0.06401304191102151, 0.013001927122114176],
    ],
    "grfmix64": [
        [-1.5350691319280338, 1.4290584433613236, -0.5782322019034876, 0.9789583284871601],
        [-0.0776845298319072, 0.19421430455531472, -0.046127119755220394, 0.04468667019330876],
        [0.14583944033577448, -0.3662239863093705, 0.27622098812060303, 0.06708945343163705],
    ],
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_golden_numbers(name):
    problem = PROBLEMS[name]()
    size = prod(problem.shape)
    i = torch.arange(3 * size)
    x = (((7 * i**2 + 3 * i) % 101).to(F64) / 25 - 2).reshape(3, *problem.shape)
    denoised = problem(x, torch.tensor([0.05, 0.7, 5.0], dtype=F64)).reshape(3, size)
    summary = torch.stack([denoised[:, 0], denoised[:, size // 3], denoised[:, -1], (denoised**2).mean(1)], dim=1)
    assert torch.allclose(summary, torch.tensor(GOLDEN[name], dtype=F64), rtol=1e-11, atol=1e-14)


def small_problems():
    mean = torch.linspace(-2, 2, 12, dtype=F64).reshape(3, 4)
    return {
        "gaussian": Gaussian(mean, torch.linspace(0.1, 3, 4, dtype=F64)),
        "mixture": GaussianMixture(dim=16, components=5, variance=0.3, seed=4),
        "field": FieldMixture(n=8, slope=2.0),
        "odd field": FieldMixture(n=7, slope=2.0),
        "fields": FieldMixture(n=8, slope=2.5, components=3, mean_fraction=0.6, cutoff=2, seed=1),
        "odd fields": FieldMixture(n=5, slope=2.5, components=4, cutoff=2, seed=1),
    }


SMALL = small_problems()


def components(problem):
    """Means (k, d) and common covariance (d, d) of a small problem, in points."""
    size = prod(problem.shape)
    if isinstance(problem, Gaussian):
        return problem.mean.reshape(1, -1), torch.diag(problem.variance.expand(problem.shape).flatten())
    if isinstance(problem, GaussianMixture):
        return problem.means, problem.variance * torch.eye(size, dtype=F64)
    unit = torch.fft.rfft2(torch.eye(size, dtype=F64).reshape(size, problem.n, problem.n))
    covariance = torch.fft.irfft2(unit * problem.spectrum, s=(problem.n, problem.n)).reshape(size, size)
    means = torch.fft.irfft2(problem.means, s=(problem.n, problem.n), norm="ortho").reshape(-1, size)
    return means, covariance


def log_density(problem, x, sigma):
    """Logarithm of the density of x0 + sigma n, up to a constant, from dense matrices."""
    means, covariance = components(problem)
    total = covariance + sigma**2 * torch.eye(len(covariance), dtype=F64)
    shift = x.flatten() - means
    return torch.logsumexp(-0.5 * (shift * torch.linalg.solve(total, shift.T).T).sum(1), dim=0)


@pytest.mark.parametrize("sigma", [0.2, 1.0, 6.0])
@pytest.mark.parametrize("name", SMALL)
def test_tweedie(name, sigma):
    """D = x + sigma^2 grad log p(x; sigma), differentiated automatically."""
    problem = SMALL[name]
    x = problem.sample(3, seed=2) + sigma
    for row in x:
        leaf = row.clone().requires_grad_()
        (score,) = torch.autograd.grad(log_density(problem, leaf, sigma), leaf)
        denoised = problem(row[None], torch.tensor([sigma], dtype=F64))[0]
        assert torch.allclose(denoised, row + sigma**2 * score, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SMALL)
def test_no_noise_means_x_itself(name):
    x = SMALL[name].sample(4, seed=5)
    assert torch.allclose(SMALL[name](x, torch.zeros(4, dtype=F64)), x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SMALL)
def test_much_noise_means_the_mean(name):
    problem = SMALL[name]
    denoised = problem(problem.sample(2, seed=6), torch.full((2,), 1e8, dtype=F64))
    assert torch.allclose(
        denoised, components(problem)[0].mean(0).reshape(problem.shape).expand_as(denoised), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("name", [*PROBLEMS, *SMALL])
def test_rows_depend_on_their_batch_by_rounding_at_most(name):
    problem = PROBLEMS[name]() if name in PROBLEMS else SMALL[name]
    sigmas = torch.logspace(-2, 1.5, 9, dtype=F64)
    x = problem.sample(9, seed=7) + sigmas.reshape(-1, *[1] * len(problem.shape))
    batched = problem(x, sigmas)
    for size in (1, 2, 3, 4, 8):
        for i in range(0, 10 - size):
            rows = slice(i, i + size)
            torch.testing.assert_close(problem(x[rows], sigmas[rows]), batched[rows], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", SMALL)
def test_dtype_of_x_is_kept_and_arithmetic_is_double(name):
    problem = SMALL[name]
    x = problem.sample(3, seed=8).float()
    sigma = torch.tensor([0.1, 1.0, 10.0])
    denoised = problem(x, sigma)
    assert denoised.dtype == torch.float32 and torch.equal(denoised, problem(x.double(), sigma.double()).float())


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_samples_have_the_mean_and_covariance(name):
    problem, n = SMALL[name], 5000
    x = problem.sample(n, seed=9).flatten(1)
    means, within = components(problem)
    mean = means.mean(0)
    covariance = within + (means - mean).T @ (means - mean) / len(means)
    deviation = (x.mean(0) - mean) / (covariance.diagonal() / n).sqrt()
    assert float(deviation.abs().max()) < 4.5
    products = torch.einsum("ni,nj->nij", x - mean, x - mean)
    deviation = (products.mean(0) - covariance) / (products.std(0) / sqrt(n))
    assert float(deviation.abs().max()) < 5.5  # up to 64^2 numbers at once


@pytest.mark.parametrize("name", SMALL)
def test_samples_agree_with_the_denoiser(name):
    """E[(x0 - D) D] = 0: the error of a conditional mean is orthogonal to it. 4.5 standard deviations."""
    problem, n = SMALL[name], 4000
    x0 = problem.sample(n, seed=10)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(11), dtype=F64)
    for sigma in (0.3, 1.0, 3.0):
        denoised = problem(x0 + sigma * noise, torch.full((n,), sigma, dtype=F64))
        product = ((x0 - denoised) * denoised).flatten(1).sum(1)
        assert abs(float(product.mean())) < 4.5 * float(product.std()) / sqrt(n)


def test_samples_are_gaussian_and_members_stay_the_same():
    problem = SMALL["gaussian"]
    x = problem.sample(3000, seed=12)
    standard = (x - problem.mean) / problem.variance.sqrt()
    assert stats.kstest(standard.flatten().numpy(), "norm").pvalue > 1e-4
    assert torch.equal(problem.sample(10, seed=12), x[:10])
    assert not torch.equal(problem.sample(10, seed=13), x[:10])


def test_components_are_equally_likely():
    problem = GaussianMixture(dim=16, components=5, variance=0.01, seed=4)
    x = problem.sample(5000, seed=14).flatten(1)
    nearest = ((x[:, None] - problem.means) ** 2).sum(2).argmin(1)
    assert stats.chisquare(torch.bincount(nearest, minlength=5).numpy()).pvalue > 1e-4


def test_marginal_of_a_gaussian():
    marginal = SMALL["gaussian"].marginal(2.0)
    assert torch.equal(marginal.mean, SMALL["gaussian"].mean)
    assert torch.equal(marginal.variance, SMALL["gaussian"].variance + 4)


@pytest.mark.parametrize("name", PROBLEMS)
def test_public_problems_have_unit_scale(name):
    problem = PROBLEMS[name]()
    assert problem.shape == {"gmm64": (1, 8, 8)}.get(name, (1, 64, 64)) and problem.sigma_data == 1.0
    x = problem.sample(64, seed=15)
    assert x.shape == (64, *problem.shape)
    assert float((x**2).mean()) == pytest.approx(1.0, abs=0.1)


def test_field_variance_is_one():
    for problem in (FieldMixture(n=10), FieldMixture(n=9), FieldMixture(n=12, components=4, cutoff=3)):
        power = (problem.spectrum + problem.means.abs().square().mean(0)) * problem.multiplicity
        assert float(power.sum()) / problem.n**2 == pytest.approx(1.0, rel=1e-12)


def test_sigma_data_of_a_gaussian_is_its_root_mean_square():
    assert Gaussian(torch.tensor([3.0, 4.0]), 1.0).sigma_data == pytest.approx(sqrt(13.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(torch.zeros(3), torch.zeros(3)), "positive"),
        (lambda: Gaussian(torch.zeros(3), torch.ones(2, 3)), "broadcast"),
        (lambda: GaussianMixture(dim=12), "dim = 12"),
        (lambda: GaussianMixture(variance=0.0), "variance = 0.0"),
        (lambda: FieldMixture(n=1), "n = 1"),
        (lambda: FieldMixture(components=0), "components = 0"),
        (lambda: FieldMixture(mean_fraction=1.0), "mean_fraction = 1.0"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 32, 32), (64, 8, 8), (65,)])
def test_field_mixtures_refuse_fields_of_another_grid(shape):
    with pytest.raises(ConfigError, match=r"FieldMixture\(n=64\) have \(1, 64, 64\); sample with shape="):
        FieldMixture()(torch.zeros(2, *shape), torch.ones(2))
