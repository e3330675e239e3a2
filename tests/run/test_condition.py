"""Conditional sampling: every member is given what belongs to it, whatever the solver, the batches and the ranks."""

import pytest
import torch

from parampi import ConfigError, sample, sigmas
from parampi.diffusion.denoisers import (
    DataDenoiser,
    EDMDenoiser,
    EpsilonDenoiser,
    ScoreDenoiser,
    VelocityDenoiser,
)
from parampi.samplers import DDIM, DDPM, Heun
from parampi.solvers import SOLVERS, Newton, Serial

pytestmark = pytest.mark.usefixtures("hostile")

F64 = torch.float64
SHAPE = (1, 4, 4)
GRID = sigmas.vp_linear(8)


class Given:
    """Data that are normal about the condition, bent a little."""

    sigma_data = 1.0

    def __call__(self, x, sigma, condition):
        response = 0.3 / (0.3 + sigma.view(-1, 1, 1, 1) ** 2)
        linear = condition + response * (x - condition)
        return linear + 0.05 * torch.tanh(linear)


def of(member):
    return torch.full(SHAPE, float(member % 5) - 2.0, dtype=F64) + torch.arange(16, dtype=F64).view(SHAPE) / 16


def condition(numbers):
    return torch.stack([of(number) for number in numbers])


class Fixed:
    """The same for one condition, as a denoiser of two arguments."""

    sigma_data = 1.0

    def __init__(self, member):
        self.condition = of(member)

    def __call__(self, x, sigma):
        return Given()(x, sigma, self.condition.expand_as(x))


@pytest.mark.parametrize("name", SOLVERS.distinct())
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "bitwise", "network_batch": 4},
        *(pytest.param(o, marks=pytest.mark.slow) for o in ({"network_batch": 3}, {"batch": 2})),
    ],
    ids=str,
)
def test_every_member_has_its_own(name, options):
    solver = SOLVERS[name]()
    sampler = Heun() if name not in ("parareal", "piadm") else DDPM()
    drawn = sample(Given(), SHAPE, [3, 0, 7], GRID, sampler, solver, tol=1e-8, condition=condition, **options)
    for k, member in enumerate((3, 0, 7)):
        alone = sample(Fixed(member), SHAPE, [member], GRID, sampler, solver, tol=1e-8, **options)
        assert torch.allclose(drawn.fields[k], alone.fields[0], rtol=1e-9, atol=1e-9)


def test_derivatives_are_conditional_too():
    drawn = sample(Given(), SHAPE, [1, 2], GRID, DDIM(), Newton(jacobian="exact"), tol=1e-9, condition=condition)
    serial = sample(Given(), SHAPE, [1, 2], GRID, DDIM(), Serial(), condition=condition)
    assert torch.allclose(drawn.fields, serial.fields, atol=1e-7)
    assert drawn.report.rounds < 8


@pytest.mark.parametrize("kind", [EDMDenoiser, EpsilonDenoiser, VelocityDenoiser, DataDenoiser, ScoreDenoiser])
def test_wrappers_hand_the_condition_on_in_the_networks_dtype(kind):
    seen = []

    def network(x, time, condition):
        seen.append((condition.dtype, condition.clone()))
        return 0.1 * x + condition

    given = torch.randn(2, *SHAPE, dtype=F64)
    made = kind(network, network_dtype=torch.float32)(torch.randn(2, *SHAPE, dtype=F64), torch.ones(2, dtype=F64), given)
    assert made.shape == (2, *SHAPE) and seen[0][0] == torch.float32 and torch.equal(seen[0][1], given.float())


def test_classes_are_whole_numbers():
    def network(x, time, condition):
        assert condition.dtype == torch.int64
        return x

    EpsilonDenoiser(network)(torch.zeros(2, *SHAPE), torch.ones(2), torch.tensor([1, 2]))


def test_too_few_conditions():
    for probe in (True, False):
        with pytest.raises(ConfigError, match="condition gave 2 conditions for 3 members; it must give one for each"):
            sample(Given(), SHAPE, 3, GRID, DDIM(), condition=lambda numbers: torch.zeros(2, *SHAPE), probe=probe)
