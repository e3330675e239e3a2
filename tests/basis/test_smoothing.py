"""Averages over neighbouring points: factors of modes against sums over the points of the grid."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from parampi.basis import make_basis

F64 = torch.float64


@pytest.mark.parametrize("name, boundary", [("fourier", "wrap"), ("cosine", "reflect")])
@pytest.mark.parametrize("shape", [(2, 40), (1, 24, 32), (1, 12, 16, 20)])
def test_grids(name, boundary, shape):
    basis = make_basis(name, shape)
    fields = torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(0))
    smoothed = basis.inverse(basis.forward(fields) * basis.smoothing(2.0))
    expected = np.stack([gaussian_filter(channel, 2.0, mode=boundary, truncate=8) for channel in fields.numpy()])
    # a sum over points is not quite the Gaussian's Fourier transform, which is cut off at the grid's
    assert np.abs(smoothed.numpy() - expected).max() < 2e-3 * np.abs(expected).max() + 1e-4


def test_sphere():
    """Constants stay, harmonics of degree l lose `exp(-l (l + 1) w^2 / 2)`, what is no harmonic goes."""
    basis = make_basis("spherical_harmonics", (1, 16, 32), grid="gauss-legendre")
    factors = basis.smoothing(2.0)
    assert torch.allclose(basis.inverse(basis.forward(torch.ones(1, 16, 32, dtype=F64)) * factors), torch.ones(1, dtype=F64))
    degree, width = basis.degree_of_shell[basis.shell], 2.0 * np.pi / 16
    assert torch.allclose(factors[degree == 3], torch.exp(torch.tensor(-6.0 * width**2, dtype=F64)))
    assert not factors[degree < 0].any() and factors.max() == 1


def test_none_where_neighbours_are_not_known():
    assert make_basis("identity", (1, 8, 8)).smoothing(2.0) is None
