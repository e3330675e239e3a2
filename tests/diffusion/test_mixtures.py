"""The closed-form mixtures against other implementations, and against draws of their own data."""

import pytest
import torch

from parampi.bench.families import DEVELOP, FAMILIES, JUDGE, statistics_of
from parampi.diffusion.exact import FieldMixture, Gaussian, GaussianMixture
from parampi.diffusion.mixtures import DiagonalMixture, PixelMixture
from parampi.errors import ConfigError

F64 = torch.float64


def noisy(shape: tuple[int, ...], n: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, *shape, generator=generator, dtype=F64) * 2, torch.logspace(-2, 1, n, dtype=F64)


def test_one_component_is_a_gaussian():
    x, sigma = noisy((4,))
    mean, variance = torch.tensor([1.0, -1, 0, 2], dtype=F64), torch.tensor([0.1, 1, 2, 3], dtype=F64)
    mixed = DiagonalMixture((4,), mean[None], variance[None])
    assert torch.allclose(mixed(x, sigma), Gaussian(mean, variance)(x, sigma), atol=1e-12)
    pixels = PixelMixture((4,), (0.5,), (0.3,), (1.0,))
    assert torch.allclose(pixels(x, sigma), Gaussian(torch.full((4,), 0.5), 0.3)(x, sigma), atol=1e-12)


def test_equal_components_are_the_isotropic_mixture():
    other = GaussianMixture()
    mixed = DiagonalMixture(other.shape, other.means.view(-1, *other.shape), torch.full((1, *other.shape), other.variance))
    x, sigma = noisy(other.shape)
    assert torch.allclose(mixed(x, sigma), other(x, sigma), atol=1e-10)


def test_fourier_modes_are_those_of_the_mixture_of_fields():
    other = FieldMixture(n=8, components=3, cutoff=2)
    fields = torch.fft.irfft2(other.means, s=(8, 8), norm="ortho")[:, None]
    rows = (torch.fft.fftfreq(8, dtype=F64) * 8).abs()
    k = (rows[:, None] ** 2 + rows[None] ** 2).sqrt().clamp(min=1)
    power = k**-3.0
    variances = (0.5 * power / power.mean())[None, None]
    plain = DiagonalMixture((1, 8, 8), torch.zeros(1, 1, 8, 8), variances, fourier=True)
    mixed = DiagonalMixture((1, 8, 8), plain.modes(fields), variances, fourier=True)
    x, sigma = noisy((1, 8, 8))
    assert torch.allclose(mixed(x, sigma), other(x, sigma), atol=1e-10)


@pytest.mark.parametrize("mixture", [PixelMixture((3, 5), (-1.0, 0.5), (0.01, 2.0), (0.3, 0.7)), FAMILIES["layers"]()])
def test_denoised_fields_are_posterior_means(mixture):
    """What is left of the data is orthogonal to functions of the noisy field, to 5 standard errors."""
    x0, level = mixture.sample(4000, seed=1), 0.7
    x = x0 + level * torch.randn(x0.shape, generator=torch.Generator().manual_seed(2), dtype=F64)
    denoised = mixture(x, torch.full((len(x),), level, dtype=F64))
    for function in (denoised, x.tanh(), torch.ones_like(x)):
        products = ((x0 - denoised) * function).flatten(1).mean(1)
        assert abs(float(products.mean())) < 5 * float(products.std()) / len(x) ** 0.5


def test_draws_have_the_second_moment_that_is_stated():
    for name, make in FAMILIES.items():
        problem = make()
        size = problem.sample(2000, seed=3).square().mean().sqrt()
        assert abs(float(size) / problem.sigma_data - 1) < 0.05, name


def test_halves_are_all_families_once():
    assert sorted((*DEVELOP, *JUDGE)) == sorted(FAMILIES)
    assert statistics_of("layers").spectrum.ndim == 1


def test_variances_that_are_none_are_refused():
    with pytest.raises(ConfigError, match="must be positive"):
        DiagonalMixture((2,), torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(ConfigError, match="must be positive"):
        PixelMixture((2,), (0.0,), (0.0,), (1.0,))
