"""The network's derivative, `dD/dx v`, against closed forms: in chunks, padded, in single precision and through wrappers."""

import pytest
import torch
from torch import nn

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.denoisers import (
    DataDenoiser,
    EDMDenoiser,
    EpsilonDenoiser,
    ScoreDenoiser,
    VelocityDenoiser,
)
from parampi.diffusion.exact import Gaussian, GaussianMixture
from parampi.errors import ConfigError

F32, F64 = torch.float32, torch.float64
MEAN = torch.linspace(-1, 1, 6, dtype=F64).view(1, 2, 3)
VARIANCE = torch.linspace(0.1, 2, 6, dtype=F64).view(1, 2, 3)
PROBLEM = Gaussian(MEAN, VARIANCE)


def batch(count, dtype=F64, shape=PROBLEM.shape):
    """States, noise levels and directions."""
    generator = torch.Generator().manual_seed(count)
    x, v = (torch.randn((count, *shape), generator=generator, dtype=F64).to(dtype) for _ in range(2))
    return x, torch.linspace(0.05, 9, count, dtype=F64).to(dtype), v


def gain(sigma):
    """Of the Gaussian's denoiser."""
    return VARIANCE / (VARIANCE + sigma.double()[:, None, None, None] ** 2)


@pytest.mark.parametrize("count", [1, 2, 5, 6])
@pytest.mark.parametrize("size", [None, 1, 2, 6, 10])
@pytest.mark.parametrize("padded", [False, True])
def test_a_gaussian_s_derivative_is_its_gain(count, size, padded):
    x, sigma, v = batch(count)
    found = BatchedDenoiser(PROBLEM, size, padded).derivative(x, sigma, v)
    assert found.shape == x.shape and found.dtype == F64 and not found.requires_grad
    torch.testing.assert_close(found, gain(sigma) * v, rtol=1e-12, atol=1e-14)


def test_padded_calls_make_bits_independent_of_the_batch():
    problem = GaussianMixture(dim=16, components=3)
    x, sigma, v = batch(7, shape=problem.shape)
    network = BatchedDenoiser(problem, padded=True)
    together = network.derivative(x, sigma, v)
    for k in range(7):
        assert torch.equal(network.derivative(x[k : k + 1], sigma[k : k + 1], v[k : k + 1])[0], together[k])


@pytest.mark.parametrize("padded", [False, True])
def test_no_fields_are_no_call(padded):
    def unused(x, sigma):
        pytest.fail("called for nothing")

    found = BatchedDenoiser(unused, padded=padded).derivative(torch.zeros(0, 2, 3), torch.zeros(0), torch.zeros(0, 2, 3))
    assert found.shape == (0, 2, 3)


def test_a_mixture_s_derivative_is_what_differences_give():
    """And, times sigma^2, a covariance: symmetric."""
    problem = GaussianMixture(dim=16, components=3)
    x, sigma, v = batch(4, shape=problem.shape)
    network = BatchedDenoiser(problem)
    found = network.derivative(x, sigma, v)
    step = 1e-6
    differences = (network(x + step * v, sigma) - network(x - step * v, sigma)) / (2 * step)
    torch.testing.assert_close(found, differences, rtol=1e-6, atol=1e-7)
    w = torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=F64)
    left, right = (w * found).flatten(1).sum(1), (network.derivative(x, sigma, w) * v).flatten(1).sum(1)
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


class Single(nn.Module):
    """The Gaussian's denoiser as a module in single precision with a parameter that wants gradients."""

    def __init__(self):
        super().__init__()
        self.variance = nn.Parameter(VARIANCE.float())

    def forward(self, x, sigma):
        assert x.dtype == sigma.dtype == F32
        return MEAN.float() + self.variance / (self.variance + sigma[:, None, None, None] ** 2) * (x - MEAN.float())


@pytest.mark.parametrize("states", [F32, F64])
@pytest.mark.parametrize("padded", [False, True])
def test_a_network_in_single_precision_answers_in_the_states_dtype(states, padded):
    x, sigma, v = batch(3, states)
    found = BatchedDenoiser(Single(), padded=padded).derivative(x, sigma, v)
    assert found.dtype == states and not found.requires_grad
    torch.testing.assert_close(found.double(), gain(sigma) * v.double(), rtol=1e-5, atol=1e-6)


class Scaling(nn.Module):
    """A linear network: its output is `factor` times its input."""

    def __init__(self, factor, dtype):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=dtype))

    def forward(self, x, time):
        return self.factor * x


def slope(kind, factor, sigma, sigma_data=0.7):
    """dD/dx of a wrapper around a network of this factor, from the wrapper's formula."""
    alpha = 1 / (1 + sigma**2).sqrt()
    scale = (sigma**2 + sigma_data**2).sqrt()
    if kind is EDMDenoiser:
        return (sigma_data / scale) ** 2 + sigma * sigma_data / scale * factor / scale
    if kind is EpsilonDenoiser:
        return 1 - sigma * factor * alpha
    return {DataDenoiser: factor * alpha}[kind]


@pytest.mark.parametrize("kind", [EDMDenoiser, EpsilonDenoiser, DataDenoiser])
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("padded", [False, True])
def test_wrapped_networks(kind, dtype, padded):
    x, sigma, v = batch(4)
    options = {"sigma_data": 0.7} if kind is EDMDenoiser else {}
    found = BatchedDenoiser(kind(Scaling(0.3, dtype), **options), padded=padded).derivative(x, sigma, v)
    expected = slope(kind, 0.3, sigma)[:, None, None, None] * v
    exact = 1e-6 if dtype == F32 else 1e-12
    torch.testing.assert_close(found, expected, rtol=exact, atol=exact)


@pytest.mark.parametrize("kind", [EDMDenoiser, EpsilonDenoiser, VelocityDenoiser, DataDenoiser, ScoreDenoiser])
def test_where_nothing_is_left_to_denoise_the_derivative_is_1(kind):
    """D(x, 0) = x, and no NaN comes from where the network is not asked."""
    x, _, v = batch(3)
    found = BatchedDenoiser(kind(Scaling(0.3, F64))).derivative(x, torch.zeros(3, dtype=F64), v)
    torch.testing.assert_close(found, v)


@pytest.mark.parametrize("kind", [EDMDenoiser, EpsilonDenoiser, VelocityDenoiser, DataDenoiser, ScoreDenoiser])
def test_convolutions_behind_a_wrapper_agree_with_differences(kind):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.GroupNorm(2, 4), nn.Conv2d(4, 1, 3, padding=1)).double()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers

        def forward(self, x, time):
            return self.layers(x)

    network = BatchedDenoiser(kind(Net()))
    x, sigma, v = batch(3, shape=(1, 5, 5))
    found = network.derivative(x, sigma, v)
    step = 1e-6
    differences = (network(x + step * v, sigma) - network(x - step * v, sigma)) / (2 * step)
    torch.testing.assert_close(found, differences, rtol=1e-5, atol=1e-6)
    assert all(parameter.grad is None for parameter in layers.parameters())


def test_nothing_is_kept_for_gradients_of_the_parameters():
    """They would cost the memory of all activations."""
    seen = []

    class Watching(Single):
        def forward(self, x, sigma):
            result = super().forward(x, sigma)
            seen.append((torch.is_grad_enabled(), result.requires_grad))
            return result

    BatchedDenoiser(Watching()).derivative(*batch(2, F32))
    assert seen == [(False, False)]


def test_time_is_counted():
    network = BatchedDenoiser(PROBLEM)
    network.derivative(*batch(2))
    once = network.seconds
    network.derivative(*batch(2))
    assert network.seconds > once > 0


def test_a_denoiser_that_returns_another_shape_is_refused():
    with pytest.raises(ConfigError, match=r"returned \(3, 1, 1, 3\) for fields of shape \(3, 1, 2, 3\)"):
        BatchedDenoiser(lambda x, sigma: x[:, :, :1]).derivative(*batch(3))
