"""Variances of modes and shells against their definitions.

Statistical tests use fixed seeds and bounds of 5 standard deviations (6e-7 each).
"""

import pytest
import torch
from torch.testing import assert_close

from parampi.basis import make_basis, mode_variance, variance
from parampi.diffusion.exact import FieldMixture
from parampi.errors import ConfigError
from tests.basis.cases import ORTHONORMAL, draw, size


@pytest.mark.parametrize("name", ORTHONORMAL)
def test_shares_of_the_samples_variance(name):
    """Added over all degrees of freedom they are the variance of the samples; the mean does not matter."""
    basis = ORTHONORMAL[name]()
    fields = draw(6, *basis.shape, seed=8) + draw(*basis.shape, seed=9)
    shells, mean = variance(basis, fields)
    assert_close(mean, fields.mean(0))
    total = fields.var(0).sum()
    assert_close((shells * basis.shell_sums(basis.noise)).sum(), total)
    modes = mode_variance(basis, fields)
    assert_close((modes.variance * basis.noise * basis.weight).sum(), total)
    assert (modes.variance[basis.noise == 0] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fourier-2d", "fourier-2d-axes", "cosine-2d", "channel-flow", "identity", "eof"])
def test_white_noise_has_variance_one(name):
    basis = ORTHONORMAL[name]()
    measured = variance(basis, 0.5 * draw(200, *basis.shape) + 7).variance
    deviation = torch.sqrt(2 / (199 * basis.shell_sums(basis.noise)))
    assert ((4 * measured - 1).abs() < 5 * deviation).all()


def test_the_spectrum_of_random_fields():
    """A field whose denoiser is known to be c / (c + sigma^2) in Fourier modes has these variances c."""
    problem = FieldMixture(n=12)
    basis = make_basis("fourier", problem.shape, shells="axes")
    measured = variance(basis, problem.sample(400)).variance
    known = basis.wavevector.square().sum(0).sqrt().clamp(min=1) ** -3
    known = known / (known * basis.noise * basis.weight).sum() * size(basis)
    shells = basis.shell_sums(known * basis.noise) / basis.shell_sums(basis.noise)
    assert ((measured / shells - 1).abs() < 5 * torch.sqrt(2 / (399 * basis.shell_sums(basis.noise)))).all()


def test_a_model_with_these_variances_is_the_denoiser():
    problem, sigma = FieldMixture(n=12), torch.tensor([0.3, 2.0], dtype=torch.float64)
    basis = make_basis("fourier", problem.shape, shells="full")
    known = basis.wavevector.square().sum(0).sqrt().clamp(min=1) ** -3
    known = known / (known * basis.noise * basis.weight).sum() * size(basis)
    x = draw(2, *problem.shape)
    response = known / (known + sigma[:, None] ** 2)
    assert_close(basis.inverse(response * basis.forward(x)), problem(x, sigma), rtol=0, atol=1e-13)


def test_single_precision_samples_and_too_few():
    basis = make_basis("fourier", (1, 8))
    fields = draw(5, 1, 8, dtype=torch.float32)
    assert_close(variance(basis, fields).variance, variance(basis, fields.double()).variance, rtol=1e-14, atol=0)
    with pytest.raises(ConfigError, match="at least 2 samples, got 1"):
        variance(basis, fields[:1])
