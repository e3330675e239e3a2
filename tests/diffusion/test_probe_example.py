"""The probe with a field of the data, and the second call: networks that EDM's wrapper holds right at both ends."""

import math

import pytest
import torch
from torch import nn

from parampi import check_denoiser, sigmas
from parampi.diffusion.denoisers import EDMDenoiser
from parampi.diffusion.exact import FieldMixture, Gaussian
from parampi.errors import ConfigError

GRIDS = [sigmas.karras(18), sigmas.vp_linear(50), sigmas.log_uniform(16, 0.03, 40.0)]
FIELDS = FieldMixture(32)
BLURRED = torch.randn(FIELDS.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def column(sigma):
    return sigma.view(-1, 1, 1, 1)


class Trained(nn.Module):
    """F of EDM's preconditioning for data of which D is known: `change` is what is wrong with it."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x, time):
        return self.change(self.right, x, time)

    def right(self, x, time):
        sigma = column(torch.exp(4 * time))
        scale = (1 + sigma**2).sqrt()
        return (FIELDS(x * scale, sigma.flatten()) - x / scale) / (sigma / scale)


WRONG = {
    "sign": lambda net, x, time: -net(x, time),
    "sign of the input": lambda net, x, time: net(-x, time),
    "sigma for its logarithm": lambda net, x, time: net(x, torch.exp(4 * time).clamp(max=5)),
    "a clock that runs backwards": lambda net, x, time: net(x, -time),
    "the noise": lambda net, x, time: x - net(x, time) * column(torch.exp(4 * time)),
}
RIGHT = {
    "right": lambda net, x, time: net(x, time),
    "hardly trained": lambda net, x, time: 0.1 * net(x, time),
    "not trained": lambda net, x, time: 0.0 * x,
    "no fine structure": lambda net, x, time: net(x, time) + 0.15 * BLURRED / column(torch.exp(4 * time)),
}


def probed(change, grid, example=True):
    denoiser = EDMDenoiser(Trained(change), sigma_data=1.0)
    field = FIELDS.sample(1, seed=3)[0] if example else None
    return check_denoiser(denoiser, FIELDS.shape, grid, sigma_data=1.0, example=field)


@pytest.mark.parametrize("grid", GRIDS, ids=range(3))
@pytest.mark.parametrize("name", WRONG)
def test_what_adds_noise_is_refused(name, grid):
    with pytest.raises(
        ConfigError, match=r"it adds noise. D\(x, 0.\d+\) of a field of the data and noise of size 0.\d+ \(root"
    ):
        probed(WRONG[name], grid)
    probed(WRONG[name], grid, example=False)  # both ends are right


@pytest.mark.parametrize("grid", GRIDS, ids=range(3))
@pytest.mark.parametrize("name", RIGHT)
def test_poor_networks_are_no_mistake(name, grid):
    assert probed(RIGHT[name], grid) == 9


@pytest.mark.parametrize("points", [1, 2, 5, 30, 200])
def test_a_field_of_few_points_is_near_by_chance_alone(points):
    white = Gaussian(torch.zeros(1, 1, points), 1.0)
    for seed in range(40):
        example = white.sample(1, seed=seed)[0]
        assert check_denoiser(white, white.shape, GRIDS[0], sigma_data=1.0, example=example) == 9


def test_another_field_in_a_second_call_is_refused():
    calls = []

    def drifting(net, x, time):
        calls.append(len(x))
        return net(x, time) * (1 + 1e-4 * len(calls))

    with pytest.raises(ConfigError, match=r"returns another field when it is called again, by .* training=self.training"):
        probed(lambda net, x, time: nn.functional.dropout(net(x, time), 1e-3), GRIDS[0])
    probed(drifting, GRIDS[0])  # calls in single precision differ by more on some devices
    assert math.isclose(sum(calls), 9)
