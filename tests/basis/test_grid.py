"""Fourier, cosine and mixed modes: against plain transforms, dense operators and the spectra of the package."""

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft
from torch.testing import assert_close

from parampi.basis import make_basis
from parampi.errors import ConfigError
from parampi.fields.spectra import radial_spectrum, wavenumbers
from tests.basis.cases import F64, draw

kinds = st.sampled_from(["fourier", "cosine"])


@st.composite
def grids(draw):
    """Kinds and sizes of one to three axes."""
    axes = draw(st.lists(st.tuples(kinds, st.integers(1, 9)), min_size=1, max_size=3))
    return [kind for kind, _ in axes], [size for _, size in axes]


@settings(max_examples=60, deadline=None)
@given(
    grids(),
    st.integers(1, 3),
    st.lists(st.integers(1, 3), max_size=2),
    st.sampled_from(["radial", "axes", "full"]),
    st.sampled_from(["own", "shared"]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_any_grid(grid, channels, batch, shells, sharing, dtype):
    """Round trip, Parseval, counting of degrees of freedom, and symmetry of a model: <y, L x> = <L y, x>."""
    kinds, space = grid
    basis = make_basis("mixed", (channels, *space), kinds=kinds, shells=shells, channels=sharing)
    x, y = draw(*batch, *basis.shape, dtype=dtype), draw(*batch, *basis.shape, seed=1, dtype=dtype)
    close = {"rtol": 0, "atol": (1e-12 if dtype == F64 else 1e-5) * prod(basis.shape)}
    assert_close(basis.inverse(basis.forward(x)), x, **close)
    assert_close((basis.weight * basis.forward(x) ** 2).sum(-1), (x.double() ** 2).flatten(len(batch)).sum(-1), **close)
    freedom = basis.shell_sums(basis.noise)
    assert float(freedom.sum()) == prod(basis.shape) and torch.equal(freedom, freedom.round())
    response = basis.spread(draw(basis.shells, seed=2, dtype=dtype))
    one, other = (basis.inverse(response * basis.forward(field)) for field in (x, y))
    assert_close((y * one).sum(), (other * x).sum(), rtol=0, atol=close["atol"] * max(1, prod(batch)))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 2))
def test_radial_shells_are_those_of_the_spectrum(height, width, channels):
    basis = make_basis("fourier", (channels, height, width))
    fields = draw(3, channels, height, width)
    power = basis.shell_sums(basis.forward(fields) ** 2).reshape(3, channels, -1) / (height * width)
    np.testing.assert_allclose(power.numpy(), radial_spectrum(fields), rtol=1e-11, atol=1e-14)
    assert basis.wavenumber.reshape(channels, -1)[0].tolist() == wavenumbers(height, width).tolist()


@pytest.mark.parametrize("shape", [(8,), (6, 9), (4, 5, 6)])
def test_a_fourier_model_multiplies_the_plain_transform(shape):
    basis = make_basis("fourier", (1, *shape))
    number = torch.stack(torch.meshgrid(*(torch.fft.fftfreq(n, 1 / n, dtype=F64) for n in shape), indexing="ij"))
    per_shell = draw(basis.shells)
    response = per_shell[number.square().sum(0).sqrt().round().long()]
    x = draw(2, 1, *shape, seed=1)
    dims = tuple(range(-len(shape), 0))
    expected = torch.fft.ifftn(response * torch.fft.fftn(x, dim=dims), dim=dims).real
    assert_close(basis.inverse(basis.spread(per_shell) * basis.forward(x)), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(7,), (6, 9), (4, 5, 6)])
def test_cosine_modes_are_scipys(shape):
    basis, x = make_basis("cosine", (2, *shape)), draw(2, *shape)
    modes = basis.forward(x).reshape(2, -1)
    expected = fft.dctn(x.numpy(), type=2, norm="ortho", axes=tuple(range(1, x.ndim))).reshape(2, -1)
    # the order in which modes are stored is the basis's own: find each by its wavevector
    place = np.ravel_multi_index((2 * basis.wavevector).long().numpy(), shape).reshape(2, -1)
    for channel in range(2):
        np.testing.assert_allclose(modes[channel].numpy(), expected[channel][place[channel]], rtol=0, atol=1e-13)


def test_shells_of_a_bounded_domain_count_half_cycles():
    basis = make_basis("cosine", (1, 5, 7))
    length = (2 * basis.wavevector).square().sum(0).sqrt()
    assert torch.equal(basis.wavenumber[basis.shell], length.round())


@pytest.mark.parametrize("number", [(0, 0), (3, 0), (0, 2), (2, 3), (5, 4)])
def test_wavevectors_of_a_channel_flow(number):
    """A wave across the bounded axis times one along the periodic axis is in the modes that have its wavevector."""
    height, width = 6, 8
    basis = make_basis("mixed", (1, height, width), kinds=("cosine", "fourier"), shells="axes")
    y, x = (torch.arange(height) + 0.5) / height, torch.arange(width) / width
    field = torch.cos(torch.pi * number[0] * y)[:, None] * torch.cos(2 * torch.pi * number[1] * x + 0.3)
    modes = basis.forward(field[None].double())
    inside = (basis.wavevector == torch.tensor([[number[0] / 2], [number[1]]])).all(0)
    assert modes[~inside].abs().max() < 1e-6 < modes[inside].abs().max()
    assert len(basis.shell[inside].unique()) == 1


def test_one_shell_for_each_mode_or_pair_of_wavenumbers():
    full = make_basis("fourier", (1, 4, 6), shells="full")
    real = 4  # coefficients that are their own conjugates
    assert full.shells == (24 + real) // 2
    assert sorted(full.shell_sums(full.noise).tolist()) == [1.0] * real + [2.0] * (full.shells - real)
    axes = make_basis("fourier", (1, 4, 6), shells="axes")
    assert axes.shells == 3 * 4
    for number in range(axes.shells):
        assert len(axes.wavevector[:, axes.shell == number].abs().unique(dim=1).T) == 1


def test_shells_follow_the_proportions_of_the_domain():
    square = make_basis("fourier", (1, 8, 8), extent=(3.0, 3.0))
    assert torch.equal(square.shell, make_basis("fourier", (1, 8, 8)).shell)
    wide = make_basis("fourier", (1, 8, 16), extent=(1.0, 2.0))
    ky, kx = wide.wavevector
    assert torch.equal(wide.wavenumber[wide.shell], torch.hypot(2 * ky, kx).round())
    gap = make_basis("fourier", (1, 16, 4), extent=(1.0, 8.0))
    assert gap.shell.unique().tolist() == list(range(gap.shells)) and gap.wavenumber.diff().max() > 1


def test_channels_have_shells_of_their_own_or_share_them():
    own, shared = (make_basis("fourier", (3, 6, 6), channels=c) for c in ("own", "shared"))
    one = make_basis("fourier", (1, 6, 6))
    assert own.shells == 3 * one.shells and shared.shells == one.shells
    assert torch.equal(own.shell.reshape(3, -1), one.shell + one.shells * torch.arange(3)[:, None])
    assert torch.equal(shared.shell.reshape(3, -1), one.shell.expand(3, -1))


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("fourier", (4,), {}, r"shape \(4,\); expected \(C, \*space\) with 1 to 3 axes of space"),
        ("fourier", (1, 2, 2, 2, 2), {}, "expected"),
        ("fourier", (1, 8, 0), {}, "positive integers"),
        ("fourier", (1, 8.0), {}, "positive integers"),
        ("fourier", (1, 8), {"shells": "square"}, "shells = 'square' is not one of 'radial', 'axes', 'full'"),
        ("fourier", (1, 8), {"channels": "each"}, "channels = 'each' is not one of"),
        ("cosine", (1, 8, 8), {"extent": (1.0,)}, r"extent = \[1.0\] .* give the 2 positive lengths"),
        ("cosine", (1, 8), {"extent": (-1.0,)}, "positive lengths"),
        ("mixed", (1, 8, 8), {"kinds": ("fourier",)}, "1 kinds of axes .* one for each of its 2 axes of space"),
        ("mixed", (1, 8, 8), {"kinds": ("fourier", "sine")}, "kind of axis = 'sine' is not one of 'fourier', 'cosine'"),
    ],
)
def test_mistakes(name, shape, options, message):
    with pytest.raises(ConfigError, match=message):
        make_basis(name, shape, **options)
