"""Secants point by point: a denoiser that answers more here than there."""

import pytest
import torch

from parampi import sigmas
from parampi.basis import make_basis
from parampi.samplers import DDIM, DDPM, Collocation
from parampi.solvers import Serial, Spectral
from parampi.solvers.spectral.local_secants import LocalSecants
from tests.engines import chain, engine, relative_errors

F64 = torch.float64
SHAPE = (1, 32, 32)


def waves(low, high):
    """A field between two values, varying over half the domain."""
    y = torch.linspace(0, 2 * torch.pi, 33, dtype=F64)[:-1]
    return low + (high - low) * (1 + torch.sin(y)[:, None] * torch.cos(y)) / 2


class Varying:
    """Independent Gaussian data whose variance differs from place to place, bent a little: no number per mode describes it."""

    shape, sigma_data = SHAPE, 1.0
    variance = waves(0.05, 2.0)

    def __call__(self, x, sigma):
        linear = self.variance / (self.variance + sigma.to(F64).view(-1, 1, 1, 1) ** 2) * x.to(F64)
        return (linear + 0.1 * torch.tanh(linear)).to(x.dtype)


def test_shares_that_vary_slowly_are_found():
    basis, share = make_basis("fourier", SHAPE), waves(0.3, 1.5)
    expected = torch.randn(2, 3, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(1))
    local = LocalSecants(basis)
    square = expected.flatten(2).square().sum(2, keepdim=True)
    local.beyond = local.learned(basis.forward(expected), share * expected, square, torch.zeros(2, 3, 1, dtype=F64))
    beyond = local.scaled(torch.ones(2, 3, *SHAPE, dtype=F64))
    error = (beyond + 1 - share).abs()
    assert error.mean() < 0.07 and error.max() < 0.2  # shares of cells of two by two points
    answer = torch.randn(2, 3, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(2))
    extra = basis.inverse(local.extra(basis.forward(answer)))
    assert torch.allclose(extra, beyond * answer, atol=1e-12)


def test_the_model_is_left_where_nothing_has_moved():
    basis = make_basis("fourier", SHAPE)
    local, nothing = LocalSecants(basis), torch.zeros(1, 1, basis.modes, dtype=F64)
    local.beyond = local.learned(
        nothing, torch.zeros(1, 1, *SHAPE, dtype=F64), torch.zeros(1, 1, 1, dtype=F64), torch.full((1, 1, 1), 1e-20, dtype=F64)
    )
    assert not local.beyond.any()


@pytest.mark.parametrize("basis", ["identity", "eof"])
def test_bases_without_neighbours_have_none(basis):
    options = {"vectors": torch.eye(64, dtype=F64)[:3].reshape(3, 1, 8, 8)} if basis == "eof" else {}
    local = LocalSecants(make_basis(basis, (1, 8, 8), **options))
    assert local.average is None and not local.known


def first_within(sampling, local, target, reference):
    run, rounds = engine(sampling, Spectral(local=local), tolerance=1e-10), 0
    while (relative_errors(run.tail, reference) > target).any():
        run.advance()
        rounds += 1
    return rounds


@pytest.mark.parametrize("sampler", [DDIM(), DDPM()], ids=["ddim", "ddpm"])
def test_they_save_rounds_where_the_answer_is_local(sampler):
    sampling = chain(Varying(), sampler, sigmas.vp_linear(40), members=2)
    reference = engine(sampling, Serial()).run()
    assert first_within(sampling, True, 1e-4, reference) < first_within(sampling, False, 1e-4, reference)


def test_they_save_rounds_of_collocation_too():
    sampling = chain(Varying(), Collocation(), sigmas.log_uniform(24, 0.02, 40.0), members=2)
    reference = engine(sampling, Spectral(), tolerance=1e-13).run()
    assert first_within(sampling, True, 1e-4, reference) < first_within(sampling, False, 1e-4, reference)
