"""A standard deviation of the data for each channel, wherever one is read."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch

from parampi import ConfigError, check_denoiser, sample, sigmas
from parampi.basis import make_basis
from parampi.diffusion.channel_scales import ChannelScales, as_scale, check_channels
from parampi.diffusion.denoisers import EDMDenoiser, EpsilonDenoiser, scale_of
from parampi.diffusion.noise import normal
from parampi.engine.coefficients import Coefficients
from parampi.engine.problem import SamplingProblem
from parampi.run.config import load
from parampi.run.job import run
from parampi.samplers import DDIM, DDPM
from parampi.solvers import SOLVERS, Picard, Serial, Spectral
from parampi.solvers.spectral.prior import SpectralPrior
from tests.small import write_project

F64 = torch.float64
SCALES = [0.02, 1.0, 5.0]
SHAPE = (3, 8, 8)
GRID = sigmas.karras(10, 0.01, 80.0)


def nothing(x, time):
    """F of normal data in EDM's preconditioning."""
    return torch.zeros_like(x)


DENOISER = EDMDenoiser(nothing, sigma_data=SCALES)


def test_preconditioning_is_that_of_each_channel():
    network = torch.nn.Conv2d(3, 3, 3, padding=1, dtype=F64)
    x, sigma = torch.randn(2, *SHAPE, dtype=F64), torch.tensor([0.3, 4.0], dtype=F64)
    inputs = []

    def outer(y, time):
        inputs.append(y)
        return torch.tanh(network(y))

    with torch.no_grad():
        denoised = EDMDenoiser(outer, sigma_data=torch.tensor(SCALES))(x, sigma)
        for c, s in enumerate(torch.tensor(SCALES).double()):
            level = sigma.view(-1, 1, 1)
            root = (level**2 + s**2).sqrt()
            torch.testing.assert_close(inputs[0][:, c], x[:, c] / root)
            want = s**2 / root**2 * x[:, c] + level * s / root * torch.tanh(network(inputs[0]))[:, c]
            torch.testing.assert_close(denoised[:, c], want)


def test_the_start_is_that_of_each_channel():
    drawn = sample(DENOISER, SHAPE, [4], GRID, DDIM(), Serial(), seed=3)
    start = normal(3, [4], [0], SHAPE)[0, 0]
    for c, s in enumerate(SCALES):
        # normal data of this spread: the product of the steps' slopes
        slopes = [b / a + (1 - b / a) * s**2 / (s**2 + a**2) for a, b in itertools.pairwise(GRID.tolist())]
        end = start[c] * (80.0**2 + s**2) ** 0.5 * torch.tensor(slopes, dtype=F64).prod()
        torch.testing.assert_close(drawn.fields[0, c], end, rtol=1e-9, atol=0)


def test_spectral_without_statistics_knows_the_spread_of_each_channel():
    """Of normal data it is then exact: one round, as for one channel."""
    for sampler in (DDIM(), DDPM()):
        alone = sample(EDMDenoiser(nothing, sigma_data=1.0), (1, 8, 8), 2, GRID, sampler, Spectral(), tol=1e-6)
        drawn = sample(DENOISER, SHAPE, 2, GRID, sampler, Spectral(), tol=1e-6)
        assert drawn.report.rounds == alone.report.rounds
        serial = sample(DENOISER, SHAPE, 2, GRID, sampler, Serial())
        for c in range(3):
            torch.testing.assert_close(drawn.fields[:, c], serial.fields[:, c], rtol=0, atol=1e-5 * SCALES[c])


@pytest.mark.parametrize("name", [name for name in SOLVERS.distinct() if name not in ("serial", "piadm")])
def test_every_solver_is_within_tolerance(name):
    def network(x, time):
        return 0.1 * torch.tanh(x.roll(1, 1))

    denoiser, sampler = EDMDenoiser(network, sigma_data=SCALES), DDIM()
    drawn = sample(denoiser, SHAPE, 2, GRID, sampler, SOLVERS[name](), tol=1e-4)
    serial = sample(denoiser, SHAPE, 2, GRID, sampler, Serial())
    assert ((drawn.fields - serial.fields).flatten(1).norm(dim=1) <= 1e-4 * serial.fields.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize("basis", ["fourier", "cosine", "identity"])
def test_modes_have_the_variance_of_their_channel(basis):
    made = make_basis(basis, SHAPE)
    variance = SpectralPrior(basis=basis).spread(made, as_scale(SCALES))
    fields = torch.randn(4000, *SHAPE, dtype=F64) * torch.tensor(SCALES).view(3, 1, 1)
    measured = made.forward(fields).square().mean(0)
    where = made.noise > 0
    torch.testing.assert_close((measured[where] / made.noise[where]).sqrt(), variance[where].sqrt(), rtol=0.15, atol=0)


def test_norms_and_scalar_models_read_the_root_mean_square():
    one = (sum(s**2 for s in SCALES) / 3) ** 0.5
    scale = as_scale(np.array(SCALES))
    assert scale == pytest.approx(one) and copy.deepcopy(scale).channels == pickle.loads(pickle.dumps(scale)).channels
    problem = [
        SamplingProblem(None, DDIM().steps(GRID), torch.tensor([0]), SHAPE, sigma_data=number)
        for number in (scale, float(scale))
    ]
    first, second = (Coefficients.of(p, Picard()) for p in problem)
    assert torch.equal(first.scale, second.scale) and torch.equal(first.slopes, second.slopes)


def test_equal_numbers_are_one_number():
    one = sample(EDMDenoiser(nothing, sigma_data=0.5), SHAPE, 2, GRID, seed=1, solver=Serial())
    three = sample(EDMDenoiser(nothing, sigma_data=[0.5] * 3), SHAPE, 2, GRID, seed=1, solver=Serial())
    torch.testing.assert_close(one.fields, three.fields, rtol=1e-12, atol=0)
    assert scale_of(EpsilonDenoiser(nothing), None) == 1.0


def test_the_probe_starts_at_the_size_of_each_channel():
    seen = []

    def denoiser(x, sigma):
        seen.append(x)
        return DENOISER(x, sigma)

    check_denoiser(denoiser, (3, 40, 40), [0.5, 0.1], sigma_data=SCALES)
    spread = seen[0].flatten(2).std(2)[0]
    torch.testing.assert_close(spread, (0.25 + torch.tensor(SCALES, dtype=F64) ** 2).sqrt(), rtol=0.1, atol=0)


@pytest.mark.parametrize("wrong", [[], [1.0, -1.0], 0.0, "1", [1.0, float("nan")], True, [1.0, None]], ids=str)
def test_refuses_what_is_no_standard_deviation(wrong):
    with pytest.raises(ConfigError, match="must be positive and finite: a number, or a list with one for each channel"):
        as_scale(wrong)


def test_refuses_another_number_of_channels(tmp_path):
    with pytest.raises(ConfigError, match=r"has 3 numbers, and fields of shape .2, 8, 8. have 2 channels"):
        sample(DENOISER, (2, 8, 8), 1, GRID)
    with pytest.raises(ConfigError, match=r"give one for each, or one for all"):
        check_channels(ChannelScales([1.0, 2.0]), (3, 4))
    with pytest.raises(ConfigError, match=r"model.sigma_data has 2 numbers, and fields of shape .1, 8, 8. have 1 channels"):
        run(load(write_project(tmp_path, model__sigma_data=[1.0, 2.0])))


def test_a_list_in_a_configuration(tmp_path):
    run(load(write_project(tmp_path, model__sigma_data=[1.0])))
    with pytest.raises(ConfigError, match=r"model.sigma_data"):
        load(write_project(tmp_path, model__sigma_data=[]))
