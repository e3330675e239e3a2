"""Spherical harmonics: coefficients against scipy's functions, both transforms against each other, and recognising grids."""

import sys

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y
from torch.testing import assert_close

from parampi.basis import make_basis, variance
from parampi.basis.sphere_grid import FAMILIES, latitudes
from parampi.errors import ConfigError
from tests.basis.cases import F64, draw

NAME = "spherical_harmonics"
RINGS = {"equiangular": 8, "equiangular-poles": 9, "driscoll-healy": 12, "gauss-legendre": 8}
families = pytest.mark.parametrize("family", FAMILIES)
ascending = pytest.mark.parametrize("ascending", [False, True], ids=["descending", "ascending"])


@pytest.fixture(autouse=True)
def library(request):
    if "without" not in request.node.name:
        pytest.importorskip("ducc0", reason="ducc0, of the extra 'sphere', is not installed")


def make(family, channels=1, columns=16, **options):
    return make_basis(NAME, (channels, RINGS[family], columns), grid=family, **options)


@families
@ascending
@pytest.mark.parametrize("transform", ["library", "tables"])
def test_coefficients_are_those_of_scipys_harmonics(family, ascending, transform):
    """Of every Y_lm with l <= 4, real and imaginary parts: 1/2 in its own place for m > 0, 1 for m = 0, and nothing else."""
    basis = make(family, ascending=ascending, transform=transform)
    theta = np.deg2rad(90 - basis.grid.latitudes())[:, None]
    phi = 2 * np.pi * np.arange(16) / 16
    degree, order = basis.grid.numbers()
    for l, m in [(a, b) for a in range(5) for b in range(a + 1)]:  # noqa: E741
        harmonic = sph_harm_y(l, m, theta, phi)
        for part, field in enumerate((harmonic.real, harmonic.imag if m else None)):
            if field is None:
                continue
            modes = basis.forward(torch.from_numpy(field)[None])
            expected = torch.zeros_like(modes)
            place = 2 * int(np.flatnonzero((degree == l) & (order == m))[0]) + part
            # Im Y = Re(-i Y) has the coefficient -i / 2
            expected[place] = 1.0 if m == 0 else (0.5, -0.5)[part]
            assert_close(modes, expected, rtol=0, atol=1e-13)
            assert int(basis.degree_of_shell[basis.shell[place]]) == l


@families
@ascending
def test_both_transforms_agree(family, ascending):
    library, tables = (make(family, 2, ascending=ascending, transform=t) for t in ("library", "tables"))
    fields = draw(3, 2, RINGS[family], 16)
    assert_close(tables.forward(fields), library.forward(fields), rtol=0, atol=1e-13)
    assert_close(tables.inverse(library.forward(fields)), fields, rtol=0, atol=1e-13)


def test_squares_count_by_area_on_a_gauss_legendre_grid():
    basis, fields = make("gauss-legendre"), draw(3, 1, 8, 16)
    areas = torch.from_numpy(np.polynomial.legendre.leggauss(8)[1] * 4)[:, None]
    expected = (areas * fields**2).sum((1, 2, 3))
    assert_close((basis.weight * basis.forward(fields) ** 2).sum(-1), expected, rtol=1e-13, atol=0)


@families
def test_white_noise_has_the_variance_it_says(family):
    """Coefficients exactly; the rest, of which only the mean is given, to 4 % (to rounding on a Gauss-Legendre grid)."""
    basis = make(family, columns=13)
    forward = basis.forward(torch.eye(RINGS[family] * 13, dtype=F64).reshape(-1, *basis.shape))
    measured, declared = basis.shell_sums(forward.square().sum(0)), basis.shell_sums(basis.noise)
    assert_close(measured[:-1], declared[:-1], rtol=1e-12, atol=0)
    assert_close(measured[-1:], declared[-1:], rtol=1e-12 if family == "gauss-legendre" else 0.04, atol=0)
    count = 2 * basis.coefficients
    assert_close(forward.square().sum(0)[:count], basis.noise[:count], rtol=0, atol=1e-14)


def test_noise_of_large_grids_is_the_mean_over_orders(monkeypatch):
    exact = make("gauss-legendre")
    monkeypatch.setattr("parampi.basis.sphere.SMALL", 0)
    mean = make("gauss-legendre")
    assert_close(mean.shell_sums(mean.noise)[:-2], exact.shell_sums(exact.noise)[:-2], rtol=0.01, atol=0)


def test_variances_of_a_known_spectrum():
    """Coefficients drawn with variance 1 / (l + 1)^2, in units of white noise's; bounds of 5 standard deviations."""
    basis = make("gauss-legendre", degree=5)
    degree = basis.degree_of_shell[basis.shell]
    spectrum = torch.where(degree >= 0, (degree + 1.0) ** -2, 0.0)
    fields = basis.inverse((spectrum * basis.noise).sqrt() * draw(4000, basis.modes))
    measured = variance(basis, fields).variance
    deviation = torch.sqrt(2 / (4000 * basis.shell_sums(basis.noise)[:6])) * (np.pi / 2)
    assert ((measured[:6] * torch.arange(1, 7) ** 2 - 1).abs() < 5 * deviation).all() and float(measured[6]) < 1e-20


@families
@ascending
def test_grids_are_recognised_by_their_latitudes(family, ascending):
    degrees = np.round(latitudes(family, 32), 2)[:: -1 if ascending else 1]
    basis = make_basis(NAME, (1, 32, 64), latitude=degrees.astype(np.float32))
    assert basis.grid.family == family and basis.grid.ascending == ascending
    assert basis.shells == FAMILIES[family].degree(32) + 2


def test_orders_end_where_columns_do():
    basis = make("equiangular", columns=7)
    assert basis.grid.order == 3 and basis.grid.degree == 7


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 8), {"grid": "equiangular"}, r"expected \(C, latitudes, longitudes\)"),
        ((1, 8, 16), {}, "grid = None is not one of 'equiangular', .* or give the latitudes"),
        ((1, 8, 16), {"grid": "healpix"}, "grid = 'healpix' is not one of"),
        ((1, 8, 16), {"grid": "equiangular", "degree": 8}, "degree = 8 .* 8 x 16 points .* degrees 0 to 7; lower it"),
        ((1, 1, 16), {"grid": "equiangular-poles"}, "give more rings"),
        ((1, 8, 16), {"latitude": np.linspace(60, -60, 8)}, "does not know a global grid with latitudes 60, 42.8571"),
        ((1, 8, 16), {"latitude": np.linspace(90, -90, 9)}, r"latitudes of shape \(9,\) for 8 rings"),
        ((1, 9, 16), {"latitude": np.linspace(90, -90, 9), "ascending": True}, "contradict the latitudes given"),
        ((1, 9, 16), {"latitude": np.linspace(90, -90, 9), "grid": "gauss-legendre"}, "those of 'equiangular-poles'"),
        ((1, 8, 16), {"grid": "equiangular", "transform": "fast"}, "transform = 'fast' is not one of"),
    ],
)
def test_mistakes(shape, options, message):
    with pytest.raises(ConfigError, match=message):
        make_basis(NAME, shape, **options)


def test_without_the_library_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ducc0", None)
    with pytest.raises(ConfigError, match=r"need ducc0, .* pip install 'parampi\[sphere\]'"):
        make_basis(NAME, (1, 8, 16), grid="equiangular")
