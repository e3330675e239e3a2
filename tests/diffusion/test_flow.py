"""Networks of flow matching, networks that are denoisers themselves, and what networks are told of noise levels."""

import itertools

import numpy as np
import pytest
import torch

from parampi.diffusion import clocks
from parampi.diffusion.denoisers import EDMDenoiser, FlowDenoiser, PreconditionedDenoiser
from parampi.diffusion.exact import Gaussian
from parampi.diffusion.sigmas import VPTimes, flow, vp_scaled_linear, vp_scaled_linear_alphas_cumprod
from parampi.ensemble import sample
from parampi.errors import ConfigError, DataError
from parampi.samplers import DDIM, Heun, equations_of
from parampi.samplers.unit_gaussian import drawn_spread
from parampi.solvers import Serial

F64 = torch.float64
SHAPE = (2, 3)
PROBLEM = Gaussian(torch.linspace(-1, 1, 6, dtype=F64).view(SHAPE), torch.linspace(0.2, 2, 6, dtype=F64).view(SHAPE))
SIGMAS = torch.tensor([0.01, 0.5, 3.0, 200.0], dtype=F64)


def exact_flow(data_at: int, scale: float):
    """The network of the straight line from data to noise, or back: E[n - x0 | x_t], or its negative."""

    def network(x_t, time):
        t = time / scale if data_at == 0 else 1 - time / scale
        sigma = t / (1 - t)
        x = x_t * (1 + sigma).view(-1, 1, 1)
        clean = PROBLEM(x, sigma)
        velocity = (x - clean) / sigma.view(-1, 1, 1) - clean
        return velocity if data_at == 0 else -velocity

    return network


@pytest.mark.parametrize(("data_at", "scale"), [(0, 1.0), (0, 1000.0), (1, 1.0)])
def test_a_flow_gives_the_denoiser_back(data_at, scale):
    x = torch.randn(len(SIGMAS), *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(1)) * (1 + SIGMAS.view(-1, 1, 1))
    denoiser = FlowDenoiser(exact_flow(data_at, scale), clocks.flow(scale, data_at), data_at=data_at)
    assert torch.allclose(denoiser(x, SIGMAS), PROBLEM(x, SIGMAS), rtol=1e-9, atol=1e-9)


def test_a_straight_step_of_a_flow_is_one_of_ddim():
    """Euler's step in t, x_t + (t' - t) v, is the step of DDIM in sigma."""
    times = torch.linspace(0.99, 0.0, 12, dtype=F64)
    network = exact_flow(0, 1.0)
    levels = times / (1 - times)
    start = sample(FlowDenoiser(network), SHAPE, members=3, sigmas=levels[:2], sampler=DDIM(0.0), solver=Serial(), probe=False)
    drawn = sample(FlowDenoiser(network), SHAPE, members=3, sigmas=levels, sampler=DDIM(0.0), solver=Serial(), probe=False)
    x_t = start.fields * (1 - times[1])
    for now, then in itertools.pairwise(times[1:]):
        x_t = x_t + (then - now) * network(x_t, now.expand(3))
    assert torch.allclose(x_t, drawn.fields, rtol=1e-9, atol=1e-9)


def test_a_network_that_is_a_denoiser_is_called_as_it_is():
    denoiser = PreconditionedDenoiser(PROBLEM)
    x = torch.ones(4, *SHAPE, dtype=F64)
    assert torch.equal(denoiser(x, SIGMAS), PROBLEM(x, SIGMAS))


def test_edm_takes_another_clock():
    times = []

    def network(x, time):
        times.append(time)
        return x

    EDMDenoiser(network, time=clocks.sigma(2.0))(torch.ones(4, *SHAPE, dtype=F64), SIGMAS)
    EDMDenoiser(network)(torch.ones(4, *SHAPE, dtype=F64), SIGMAS)
    EDMDenoiser(network, time=clocks.log_sigma(0.25))(torch.ones(4, *SHAPE, dtype=F64), SIGMAS)
    assert torch.equal(times[0], 2 * SIGMAS) and torch.allclose(times[1], SIGMAS.log() / 4) and torch.allclose(*times[1:])


def test_times_of_the_grid_of_a_flow():
    levels = flow(10, first=0.95)
    times = levels / (1 + levels)
    assert torch.allclose(times, torch.linspace(0.95, 0.0, 11, dtype=F64)) and levels[-1] == 0
    shifted = flow(10, first=0.95, shift=3.0)
    assert torch.allclose(shifted / (1 + shifted), 3 * times / (1 + 2 * times))
    assert torch.allclose(flow(4, first=0.9, last=0.1, final_zero=False)[-1], torch.tensor(1 / 9, dtype=F64))
    with pytest.raises(ConfigError, match=r"first = 1.0, last = 0.001: expected 0 < last < first < 1"):
        flow(10, first=1.0)


def test_betas_of_the_scaled_linear_schedule():
    kept = vp_scaled_linear_alphas_cumprod()
    betas = 1 - kept / torch.cat([torch.ones(1, dtype=F64), kept[:-1]])
    assert torch.allclose(betas.sqrt().diff(), betas.sqrt().diff()[0].expand(999), atol=1e-9)
    assert torch.allclose(betas[[0, -1]], torch.tensor([8.5e-4, 0.012], dtype=F64))
    assert torch.equal(VPTimes(kept)(vp_scaled_linear(1000)[:-1]).round(), torch.arange(999, -1, -1, dtype=F64))


def test_times_of_a_file(tmp_path):
    kept = vp_scaled_linear_alphas_cumprod(10).numpy()
    np.save(tmp_path / "kept.npy", np.append(kept[:-1], 0.0))
    clock = clocks.alphas_cumprod(str(tmp_path / "kept.npy"))
    levels = torch.from_numpy(((1 - kept) / kept) ** 0.5)[:-1]
    assert torch.allclose(clock(levels), torch.arange(9, dtype=F64))
    assert torch.allclose(clock(torch.tensor([(2.0**24 - 1) ** 0.5], dtype=F64)), torch.tensor([9.0], dtype=F64))
    (tmp_path / "text.npy").write_text("0.1 0.2")
    with pytest.raises(DataError, match=r"text.npy is no NumPy file of numbers .*write one with numpy.save"):
        clocks.alphas_cumprod(str(tmp_path / "text.npy"))
    with pytest.raises(DataError, match="is no NumPy file of numbers"):
        clocks.alphas_cumprod(str(tmp_path / "none.npy"))


@pytest.mark.parametrize("sampler", [DDIM(0.0), DDIM(1.0), Heun()])
def test_the_spread_that_is_reckoned_is_the_one_that_is_drawn(sampler):
    """20,000 numbers; their standard deviation is known to 0.5 %, four times which is allowed."""
    levels = flow(6, first=0.98)
    white = Gaussian(torch.zeros(20000, dtype=F64), torch.full((20000,), 0.25, dtype=F64))
    drawn = sample(white, (20000,), members=1, sigmas=levels, sampler=sampler, solver=Serial(), sigma_data=0.5, probe=False)
    assert float(drawn.fields.std()) == pytest.approx(0.5 * drawn_spread(equations_of(sampler, levels), 0.5), rel=0.02)
