"""Guidance against closed forms: classifier-free on mixtures, posteriors of Gaussian data under linear observations."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.denoisers import (
    DataDenoiser,
    EDMDenoiser,
    EpsilonDenoiser,
    placement,
)
from parampi.diffusion.exact import Gaussian, GaussianMixture
from parampi.diffusion.guidance import ClassifierFree, Conditioned
from parampi.diffusion.noise import normal
from parampi.diffusion.posterior import DiffusionPosterior, MomentMatching, conjugate_gradients
from parampi.diffusion.sigmas import log_uniform
from parampi.errors import ConfigError
from parampi.samplers import DDIM
from tests.moments import CorrelatedGaussian

F32, F64 = torch.float32, torch.float64
SHAPE, DIM = (2, 3), 6
SIGMAS = torch.tensor([0.02, 0.3, 1.0, 4.0, 30.0], dtype=F64)
MIXTURE = GaussianMixture(dim=24, components=3)


def draws(*shape, stream=0):
    return normal(5, range(shape[0]), [0], shape[1:], stream=stream)[0]


def fields(count=5, shape=SHAPE, stream=1):
    return draws(count, *shape, stream=stream)


# Classifier-free


def component(k):
    """The denoiser of one component of the mixture: the conditional one."""
    return Gaussian(MIXTURE.means[k].reshape(MIXTURE.shape), MIXTURE.variance)


def mixture_fields():
    return MIXTURE.sample(5, seed=2) + SIGMAS.reshape(-1, 1, 1, 1) * fields(shape=MIXTURE.shape)


@pytest.mark.parametrize("weight", [-1.0, 0.0, 1.0, 2.5])
def test_weights_interpolate_and_extrapolate(weight):
    x = mixture_fields()
    conditional, unconditional = component(1)(x, SIGMAS), MIXTURE(x, SIGMAS)
    guided = ClassifierFree(component(1), MIXTURE, weight)(x, SIGMAS)
    exact = {0.0: unconditional, 1.0: conditional}.get(weight)
    assert exact is None or torch.equal(guided, exact)
    assert torch.allclose(guided, unconditional + weight * (conditional - unconditional), rtol=0, atol=1e-12)


def test_guided_score_is_that_of_the_tilted_density():
    """`(D - x)/sigma^2 = grad [w log p(x | c) + (1 - w) log p(x)]`, here for the mixture, by automatic differentiation."""
    x, weight = mixture_fields().requires_grad_(), 3.0
    total = MIXTURE.variance + SIGMAS**2
    distances = ((x.flatten(1)[:, None] - MIXTURE.means) ** 2).sum(2) / total[:, None]
    tilted = -weight * distances[:, 1] / 2 + (1 - weight) * torch.logsumexp(-distances / 2, dim=1)
    (score,) = torch.autograd.grad(tilted.sum(), x)
    guided = ClassifierFree(component(1), MIXTURE, weight)(x.detach(), SIGMAS)
    level = SIGMAS.reshape(-1, 1, 1, 1)
    assert torch.allclose(guided, x.detach() + level**2 * score, rtol=1e-10, atol=1e-10)


def test_interval_of_noise_levels():
    x = mixture_fields()
    guided = ClassifierFree(component(0), MIXTURE, 2.0, interval=(0.3, 4.0))(x, SIGMAS)
    everywhere = ClassifierFree(component(0), MIXTURE, 2.0)(x, SIGMAS)
    assert torch.equal(guided[[0, 1, 4]], component(0)(x, SIGMAS)[[0, 1, 4]])
    assert torch.equal(guided[[2, 3]], everywhere[[2, 3]])


def test_unconditional_denoiser_is_not_asked_in_vain():
    def refuse(x, sigma):
        raise AssertionError

    x = mixture_fields()
    assert torch.equal(ClassifierFree(MIXTURE, refuse, 2.0, interval=(50.0, 90.0))(x, SIGMAS), MIXTURE(x, SIGMAS))


class Labelled(nn.Module):
    """A network with a condition per row, and a list of the batches it was given."""

    def __init__(self):
        super().__init__()
        self.weight, self.batches = nn.Parameter(torch.ones((), dtype=F64)), []

    def forward(self, x, time, condition):
        self.batches.append((len(x), condition.dtype))
        shift = condition.to(x).reshape(len(x), *(condition.shape[1:] or (1,)))
        return self.weight * torch.tanh(x + shift.reshape(len(x), -1, shift.shape[-1])) * time.reshape(-1, 1, 1)


@pytest.mark.parametrize("wrapper", [EpsilonDenoiser, EDMDenoiser, DataDenoiser])
def test_one_network_is_called_once(wrapper):
    network, condition, none = Labelled(), draws(*SHAPE), torch.zeros(SHAPE, dtype=F64)
    with_condition, without = (wrapper(Conditioned(network, c)) for c in (condition, none))
    expected = ClassifierFree(with_condition, without, 1.7)(fields(), SIGMAS)
    network.batches.clear()
    guided = ClassifierFree(wrapper(Conditioned(network, condition, none)), None, 1.7)
    assert torch.allclose(guided(fields(), SIGMAS), expected, rtol=1e-13, atol=1e-13)
    assert network.batches == [(10, F64)]


def test_conditions_move_with_the_network_and_keep_their_kind():
    network = Labelled()
    labels = Conditioned(network, torch.tensor(3))
    assert labels(fields(), SIGMAS).shape == (5, *SHAPE) and network.batches == [(5, torch.int64)]
    assert not labels.state_dict().keys() - {"network.weight"}
    assert labels.to("meta").condition0.device.type == "meta"
    DataDenoiser(Conditioned(network.to_empty(device="cpu"), torch.zeros(1)))(fields(), SIGMAS)
    assert network.batches[-1] == (5, F64)


# Posteriors


def gaussian_data():
    root = draws(DIM, DIM, stream=2)
    return CorrelatedGaussian(draws(*SHAPE, stream=3), root @ root.T / 3 + 0.05 * torch.eye(DIM, dtype=F64))


DATA = gaussian_data()
OPERATOR = draws(3, DIM, stream=4)
NOISE = torch.tensor([0.1, 0.5, 0.02], dtype=F64)
OBSERVED = OPERATOR @ DATA.mean.flatten() + torch.tensor([0.7, -0.4, 1.1], dtype=F64)


def observe(x):
    return x.flatten(1) @ OPERATOR.T.to(x)


def exact_posterior(noise=NOISE):
    """N(mean, covariance) conditioned on the observations."""
    gain = DATA.covariance @ OPERATOR.T @ torch.linalg.inv(OPERATOR @ DATA.covariance @ OPERATOR.T + torch.diag(noise**2))
    mean = DATA.mean.flatten() + gain @ (OBSERVED - OPERATOR @ DATA.mean.flatten())
    covariance = DATA.covariance - gain @ OPERATOR @ DATA.covariance
    return CorrelatedGaussian(mean.reshape(SHAPE), (covariance + covariance.T) / 2)


@torch.no_grad()
def test_moment_matching_is_the_exact_posterior_of_gaussian_data():
    x = DATA.mean + (1 + SIGMAS.reshape(-1, 1, 1)) * fields()
    guided = MomentMatching(DATA, observe, OBSERVED, NOISE, iterations=6)(x, SIGMAS)
    assert torch.allclose(guided, exact_posterior()(x, SIGMAS), rtol=0, atol=1e-8)
    fewer = MomentMatching(DATA, observe, OBSERVED, NOISE, iterations=1)(x, SIGMAS)
    assert not torch.allclose(fewer, guided, atol=1e-3)


def test_observations_without_error():
    x = DATA.mean + (1 + SIGMAS.reshape(-1, 1, 1)) * fields()
    guided = MomentMatching(DATA, observe, OBSERVED, 0.0, iterations=6)(x, SIGMAS)
    assert torch.allclose(guided, exact_posterior(0 * NOISE)(x, SIGMAS), rtol=0, atol=1e-7)
    assert torch.allclose(observe(guided), OBSERVED.expand(5, 3), atol=1e-8)


def test_no_noise_means_x_itself():
    x, sigma = fields(), torch.zeros(5, dtype=F64)
    wrapped = DataDenoiser(lambda y, t: torch.tanh(y))
    for guided in (MomentMatching(wrapped, observe, OBSERVED, NOISE), DiffusionPosterior(wrapped, observe, OBSERVED)):
        assert torch.equal(guided(x, sigma), x)


@pytest.mark.parametrize(
    "make",
    [
        lambda d: MomentMatching(d, observe, OBSERVED, NOISE, iterations=4),
        lambda d: DiffusionPosterior(d, observe, OBSERVED),
        lambda d: DiffusionPosterior(d, lambda x: observe(x).tanh(), OBSERVED, noise=0.3),
    ],
    ids=["moments", "published", "likelihood"],
)
def test_rows_are_independent(make):
    problem = DataDenoiser(lambda y, t: torch.tanh(y) / (1 + t.reshape(-1, 1, 1)))
    x, guided = fields(), make(problem)
    batched = guided(x, SIGMAS)
    alone = torch.cat([guided(x[k : k + 1], SIGMAS[k : k + 1]) for k in range(5)])
    assert torch.allclose(batched, alone, rtol=1e-12, atol=1e-12)


def test_diffusion_posterior_sampling_follows_the_gradient():
    """`D - strength sigma^2 grad |y - H(D)|` and `D - sigma^2 grad |y - H(D)|^2 / 2 noise^2`."""
    x = fields().requires_grad_()

    def nonlinear(state):
        return observe(state).tanh()

    misfit = (OBSERVED - nonlinear(DATA(x, SIGMAS))).norm(dim=1)
    for options, potential in (({"strength": 0.7}, 0.7 * misfit), ({"noise": 0.5}, misfit**2 / 2 / 0.5**2)):
        (gradient,) = torch.autograd.grad(potential.sum(), x, retain_graph=True)
        expected = DATA(x, SIGMAS).detach() - SIGMAS.reshape(-1, 1, 1) ** 2 * gradient
        with torch.no_grad():
            guided = DiffusionPosterior(DATA, nonlinear, OBSERVED, **options)(x.detach(), SIGMAS)
        assert torch.allclose(guided, expected, rtol=1e-10, atol=1e-12)
    one, sigma = x.detach()[:1], SIGMAS[:1]
    satisfied = DiffusionPosterior(DATA, observe, observe(DATA(one, sigma))[0])
    assert torch.equal(satisfied(one, sigma), DATA(one, sigma))


def test_posterior_of_a_mixture_at_little_noise():
    """A mixture's posterior is a mixture; where the noise is small, moments of the present component are all that matters."""
    operator = draws(4, 24, stream=6)
    truth = MIXTURE.means[2] + 0.5 * draws(1, 24, stream=7)[0]
    x = truth + 0.1 * draws(20, 24, stream=8)
    one = CorrelatedGaussian(MIXTURE.means[2], MIXTURE.variance * torch.eye(24, dtype=F64))
    gain = one.covariance @ operator.T @ torch.linalg.inv(0.25 * operator @ operator.T + 0.04 * torch.eye(4, dtype=F64))
    covariance = one.covariance - gain @ operator @ one.covariance
    exact = CorrelatedGaussian(one.mean + gain @ operator @ (truth - one.mean), (covariance + covariance.T) / 2)
    sigma = torch.full((20,), 0.1, dtype=F64)
    x4 = x.reshape(20, *MIXTURE.shape)
    guided = MomentMatching(MIXTURE, lambda f: f.flatten(1) @ operator.T, operator @ truth, 0.2, iterations=5)(x4, sigma)
    assert torch.allclose(guided.flatten(1), exact(x, sigma), atol=1e-8)


def serial(denoiser, sampler, sigmas, members):
    """One step after another, all members at once."""
    steps = sampler.steps(sigmas)
    scale = math.sqrt(steps.start_level**2 + denoiser.sigma_data**2)
    x = scale * draws(members, *SHAPE, stream=20)
    for i, sigma in enumerate(steps.sigmas[:-1].tolist()):
        denoised = denoiser(x, torch.full((members,), sigma, dtype=F64))
        noise = draws(members, *SHAPE, stream=21 + i)
        x = steps.state[i, 0] * x + steps.denoised_weight[i, 0] * denoised + steps.noise[i, 0] * noise
    return x.flatten(1)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_sampled_posterior_has_the_exact_mean_and_covariance(eta):
    """Of 1500 members: every mean within 4.5 standard errors, every (co)variance too: 27 tests, significance 2e-4 in all.

    Of the 300 steps' own bias, first order in the step, 1 % of each variance is allowed on top.
    """
    members, posterior = 1500, exact_posterior()
    guided = MomentMatching(DATA, observe, OBSERVED, NOISE, iterations=3)
    x = serial(guided, DDIM(eta), log_uniform(300, 0.002, 60.0), members)
    deviation = posterior.covariance.diagonal().sqrt()
    off = (x.mean(0) - posterior.mean.flatten()) / deviation
    assert float(off.abs().max()) < 4.5 / math.sqrt(members) + 0.01
    product = torch.outer(deviation, deviation)
    error = (x.T.cov() - posterior.covariance) / (product**2 + posterior.covariance**2).sqrt()
    assert float(error.abs().max()) < 4.5 / math.sqrt(members) + 0.015


# What is common to all


def guided_denoisers(inner):
    return [
        ClassifierFree(inner, inner, 2.0),
        ClassifierFree(inner, None, 2.0),
        MomentMatching(inner, observe, OBSERVED, NOISE),
        DiffusionPosterior(inner, observe, OBSERVED),
    ]


class Net(nn.Module):
    def __init__(self, dtype=F32):
        super().__init__()
        self.layer = nn.Linear(3, 3, dtype=dtype)
        with torch.no_grad():
            self.layer.weight.copy_(draws(3, 3, stream=10) / 3)

    def forward(self, x, time):
        return torch.tanh(self.layer(x))


@pytest.mark.parametrize("kind", range(4))
def test_place_dtype_and_scale_are_those_of_the_guided_denoiser(kind):
    wrapped = guided_denoisers(EDMDenoiser(Net(), sigma_data=0.7))[kind]
    assert placement(wrapped) == (torch.device("cpu"), F32) and wrapped.any_dtype and wrapped.sigma_data == 0.7
    assert BatchedDenoiser(wrapped)(fields(), SIGMAS).dtype == F64
    bare = guided_denoisers(Net())[kind]
    assert not bare.any_dtype and bare.sigma_data is None and BatchedDenoiser(bare).dtype == F32
    assert BatchedDenoiser(bare)(fields(), SIGMAS).dtype == F64
    assert placement(guided_denoisers(DATA)[kind]) == (torch.device("cpu"), None)
    assert torch.equal(
        BatchedDenoiser(guided_denoisers(DATA)[kind])(fields(), SIGMAS), guided_denoisers(DATA)[kind](fields(), SIGMAS)
    )
    placed = Gaussian(DATA.mean, 1.0)
    placed.device = "meta"
    assert placement(guided_denoisers(placed)[kind])[0].type == "meta"


@pytest.mark.parametrize("kind", range(4))
def test_guided_denoisers_can_be_differentiated(kind):
    """As solvers do that ask for the Jacobian; against central differences."""
    guided = BatchedDenoiser(guided_denoisers(EDMDenoiser(Net(F64)))[kind], batch=2)
    x, v = fields(), fields(stream=9)
    tangent = guided.derivative(x, SIGMAS, v)
    difference = (guided(x + 1e-6 * v, SIGMAS) - guided(x - 1e-6 * v, SIGMAS)) / 2e-6
    assert torch.allclose(tangent, difference, rtol=1e-5, atol=1e-6)


def test_a_guided_denoiser_can_be_guided():
    both = MomentMatching(ClassifierFree(DATA, DATA, 2.0), observe, OBSERVED, NOISE, iterations=6)
    assert torch.allclose(both(fields(), SIGMAS), exact_posterior()(fields(), SIGMAS), atol=1e-8)


def test_conjugate_gradients_leave_rows_that_are_solved():
    target = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]], dtype=F64)
    matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=F64)
    solution = conjugate_gradients(lambda z: z @ matrix, target, 10)
    assert torch.allclose(solution @ matrix, target, atol=1e-14)
    assert torch.equal(conjugate_gradients(lambda z: -z, target, 3), torch.zeros_like(target))


@torch.no_grad()
def no_gradients(x, sigma):
    return torch.tanh(x).detach()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassifierFree("model", None, 1.0), "must be callable as denoiser"),
        (lambda: ClassifierFree(DATA, "model", 1.0), "must be callable as denoiser"),
        (lambda: ClassifierFree(DATA, DATA, math.nan), "weight = nan"),
        (lambda: ClassifierFree(DATA, DATA, 1.0, (3.0, 2.0)), r"interval = \(3.0, 2.0\)"),
        (lambda: Conditioned(Labelled()), "at least one condition"),
        (lambda: DataDenoiser(Conditioned(Labelled(), 0.0, 1.0))(fields(), SIGMAS), "2 conditions was given 5 fields"),
        (lambda: MomentMatching(DATA, None, OBSERVED, NOISE), "observe must be callable"),
        (lambda: MomentMatching(DATA, observe, OBSERVED * math.nan, NOISE), "observations must be finite"),
        (lambda: MomentMatching(DATA, observe, OBSERVED, -NOISE), "noise must not be negative"),
        (lambda: MomentMatching(DATA, observe, OBSERVED, NOISE[:2]), r"noise has shape \(2,\), the observations \(3,\)"),
        (lambda: MomentMatching(DATA, observe, OBSERVED, NOISE, iterations=0), "iterations = 0"),
        (lambda: DiffusionPosterior(DATA, observe, OBSERVED, 0.0), "infinite weight"),
        (lambda: DiffusionPosterior(DATA, observe, OBSERVED, strength=-1.0), "strength = -1.0"),
        (lambda: MomentMatching(DATA, observe, OBSERVED[:2], 1.0)(fields(), SIGMAS), r"observe made \(5, 3\) of 5 fields"),
        (lambda: MomentMatching(DATA, lambda x: observe(x) ** 2, OBSERVED, 1.0)(fields(), SIGMAS), "observe is not linear"),
        (lambda: MomentMatching(DATA, lambda x: observe(x) + 1, OBSERVED, 1.0)(fields(), SIGMAS), "observe is not linear"),
        (lambda: DiffusionPosterior(no_gradients, observe, OBSERVED)(fields(), SIGMAS), "remove torch.no_grad"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_code_on_the_page_runs(capsys):
    """Conditioned and guided draws have the mean that the weight asks for, and posterior draws are near what was observed."""
    page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "guidance.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for number, block in enumerate(blocks):
        exec(compile(block, "howto/guidance.md", "exec"), names)
        if number == 2:
            # white data about 2, the weight times the condition: 256 numbers, four standard errors
            assert float(names["ensemble"].fields.mean()) == pytest.approx(2.0, abs=4 / 16)
    assert float(capsys.readouterr().out.split("(")[1].split(",")[0]) < 0.15
