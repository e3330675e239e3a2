"""CorrDiff: physicsnemo's regression step and sampler, and `prepare` and `finish` here."""

import pytest
import torch

from parampi import denoisers, sample, sigmas
from parampi.samplers import EDM
from parampi.solvers import Picard, Serial, Spectral
from tests.frameworks.installed import framework
from tests.frameworks.parity import Net

SHAPE, STEPS = (2, 8, 8), 10


class Regression(torch.nn.Module):
    """A regression network that counts its calls."""

    def __init__(self):
        super().__init__()
        self.layer, self.calls = torch.nn.Conv2d(3, 2, 3, padding=1), 0

    def forward(self, coarse):
        self.calls += 1
        return torch.tanh(self.layer(coarse))


class TheirRegression(torch.nn.Module):
    """As physicsnemo calls one: with a latent of zeros."""

    device = torch.device("cpu")

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, img_lr, **_):
        return self.network(img_lr)


class TheirNetwork(torch.nn.Module):
    """As physicsnemo calls a diffusion network: the mean and the coarse field as one condition."""

    sigma_min, sigma_max = 0.0, float("inf")

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser

    def round_sigma(self, sigma):
        return torch.as_tensor(sigma)

    def forward(self, x, x_lr, sigma, labels, **_):
        return self.denoiser(x, torch.as_tensor(sigma).to(x).reshape(-1).expand(len(x)), x_lr)


class WithCondition(torch.nn.Module):
    """A network that reads a condition of five channels."""

    def __init__(self):
        super().__init__()
        self.network = Net(torch.float32, channels=7)

    def forward(self, x, time, condition):
        return self.network(torch.cat([x, condition], dim=1), time)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("churn", [0.0, 8.0])
def test_the_field_is_that_of_physicsnemo(churn):
    framework("physicsnemo")
    from physicsnemo.diffusion.generate import regression_step
    from physicsnemo.diffusion.samplers import stochastic_sampler

    torch.manual_seed(3)
    regression, coarse = Regression().eval(), torch.randn(1, 3, 8, 8)
    denoiser = denoisers.EDMDenoiser(WithCondition(), 0.5)
    noises = torch.randn(2, STEPS + 2, *SHAPE)
    with torch.no_grad():
        mean = regression_step(TheirRegression(regression), coarse, torch.Size((1, *SHAPE)))
        theirs = []
        for table in noises:
            left = iter(table[1:, None])
            residual = stochastic_sampler(
                TheirNetwork(denoiser), table[:1], coarse, mean_hr=mean, randn_like=lambda x, left=left: next(left),
                num_steps=STEPS, sigma_min=0.02, sigma_max=50.0, S_churn=churn,
            )  # fmt: skip
            theirs.append(mean[0] + residual[0])
    regression.calls = 0

    def prepare(condition):
        mean = regression(condition)
        return torch.cat([mean, condition], dim=1), mean

    sampler, grid = EDM(s_churn=churn, capped=False), sigmas.karras(STEPS, 0.02, 50.0)
    added = float(sampler.raised(grid)[1][0])
    for count, solver in enumerate((Serial(), Picard(), Spectral()), start=1):
        drawn = sample(
            denoiser, SHAPE, 2, grid, sampler, solver, tol=1e-6, probe=False, condition=coarse[0], prepare=prepare,
            finish=lambda field, prepared: prepared[1] + field, start=50.0 * noises[:, 0] + added * noises[:, 1],
            noise=lambda member, point: noises[member, point // 2 + 1],
        )  # fmt: skip
        assert regression.calls == count
        for field, other in zip(drawn.fields, theirs, strict=True):
            assert float((field - other).norm() / other.norm()) < 1e-5
