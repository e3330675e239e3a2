"""Bands of shells: which belong together, and that nothing is lost between the two."""

import pytest
import torch

from parampi.basis import make_basis
from parampi.solvers.spectral.bands import MOST, Bands, narrowest

F64 = torch.float64


def bands_of(shape, name="fourier", *, power=None, **options):
    """Bands, with the variances that fall as this power of the wavenumber; the same for all shells where there is none."""
    basis = make_basis(name, shape, **options)
    freedom = basis.shell_sums(basis.noise)
    number = getattr(basis, "wavenumber", torch.ones(basis.shells, dtype=F64)).clamp(min=1)
    variance = torch.ones(basis.shells, dtype=F64) if power is None else number**-power
    return Bands.of(basis, variance, freedom), variance


def test_few_shells_are_bands_themselves_and_pass_unchanged():
    bands, variance = bands_of((1, 16, 16))
    numbers = torch.rand(2, 3, len(variance), dtype=F64)
    assert bands.single and bands.count == 12 <= MOST
    for passed in (bands.sums(numbers), bands.means(numbers, numbers), bands.spread(numbers), bands.shared(numbers, variance)):
        assert torch.equal(passed, numbers)


@pytest.mark.parametrize("power", [None, 3.0, 1.0])
@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 256, 256)])
def test_bands_are_of_neighbouring_wavenumbers_fewer_where_they_are_far_apart(shape, power):
    bands, _ = bands_of(shape, power=power)
    assert bands.count == MOST and bands.band.unique().tolist() == list(range(MOST))
    channels = bands.band.view(shape[0], -1)
    assert (channels == channels[0]).all(), "shells of one wavenumber and variance belong together"
    steps = channels[0].diff()
    assert (steps <= 0).all() or (steps >= 0).all()
    assert len(channels[0, :4].unique()) >= 3 and len(channels[0, -8:].unique()) <= 2


def test_unlike_variances_keep_shells_apart():
    basis = make_basis("fourier", (2, 64, 64))
    variance = torch.cat([torch.ones(46, dtype=F64), torch.full((46,), 1e-9, dtype=F64)])
    both = Bands.of(basis, variance, basis.shell_sums(basis.noise))
    assert not set(both.band[:46].tolist()) & set(both.band[46:].tolist())


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [("spherical_harmonics", (1, 45, 90), {"grid": "equiangular"}), ("fourier", (1, 32, 32), {"shells": "full"}),
     ("identity", (40, 2, 2), {}), ("cosine", (1, 50, 50), {"shells": "axes"})],
)  # fmt: skip
def test_every_basis_has_them(name, shape, options):
    bands, variance = bands_of(shape, name, **options)
    assert bands.count == MOST < len(variance)
    assert torch.equal(bands.spread(torch.ones(3, MOST, dtype=F64)), torch.ones(3, len(variance), dtype=F64))


def test_sums_are_kept_and_factors_follow_the_wavenumber():
    bands, variance = bands_of((1, 128, 128))
    squares = torch.rand(2, 3, len(variance), dtype=F64)
    torch.testing.assert_close(bands.sums(squares).sum(-1), squares.sum(-1))
    torch.testing.assert_close(bands.sums(bands.shared(bands.sums(squares), variance)), bands.sums(squares))
    smooth = torch.exp(-0.7 * bands.place)[None]
    spread = bands.spread(bands.means(smooth, torch.zeros_like(smooth)))
    assert (spread / smooth).log().abs().max() < 0.25 and (bands.spread(torch.zeros(1, MOST, dtype=F64)) == 0).all()


def test_the_widest_group_is_as_narrow_as_can_be():
    place = torch.tensor([0.0, 9.0, 0.1, 5.0, 9.2, 0.3], dtype=F64)
    assert narrowest(place, 3).tolist() == [0, 2, 0, 1, 2, 0]
    assert narrowest(place, 5).tolist() == [0, 3, 0, 2, 4, 1]
    assert narrowest(torch.zeros(7, dtype=F64), 4).unique().tolist() == [0, 1, 2, 3]
