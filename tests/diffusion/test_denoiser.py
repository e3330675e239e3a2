"""Every parametrisation against closed-form data: the exact network of each kind must give back the exact denoiser."""

import pytest
import torch
from torch import nn

from parampi.diffusion.denoisers import DataDenoiser, EDMDenoiser, EpsilonDenoiser, ScoreDenoiser, VelocityDenoiser, placement
from parampi.diffusion.exact import Gaussian, GaussianMixture
from parampi.diffusion.noise import normal
from parampi.diffusion.sigmas import VPTimes, vp_cosine_alphas_cumprod
from parampi.errors import ConfigError

F64 = torch.float64
SHAPE = (2, 4, 3)
SIGMAS = torch.tensor([0.0123, 0.1, 0.77, 2.5, 11.0, 140.0], dtype=F64)
GAUSSIAN = Gaussian(normal(1, [0], [0], SHAPE)[0, 0], 0.1 + normal(1, [0], [1], SHAPE)[0, 0] ** 2)
MIXTURE = GaussianMixture(dim=24, components=3)
SCALED = [EpsilonDenoiser, VelocityDenoiser, DataDenoiser, ScoreDenoiser]


class Exact(nn.Module):
    """The perfect network of one kind for a known problem, in float64 inside, seeing what such a network sees."""

    def __init__(self, kind, problem, clock=None, scaled=True, sigma_data=0.5):
        super().__init__()
        self.kind, self.problem, self.clock, self.scaled, self.sigma_data = kind, problem, clock, scaled, sigma_data
        self.calls = []

    def forward(self, inputs, time):
        self.calls.append((inputs.dtype, time.dtype, tuple(time.shape)))
        return self.predict(inputs.to(F64), time.to(F64)).to(inputs.dtype)

    def predict(self, inputs, time):
        sigma = (4 * time).exp() if self.kind is EDMDenoiser else self.clock.sigma(time)
        level = sigma.reshape(-1, *[1] * (inputs.ndim - 1))
        alpha = (1 + level**2) ** -0.5
        scale = (level**2 + self.sigma_data**2) ** -0.5 if self.kind is EDMDenoiser else alpha if self.scaled else 1
        x = inputs / scale
        clean = self.problem(x, sigma)
        noise = (x - clean) / level
        if self.kind is EDMDenoiser:
            spread = level**2 + self.sigma_data**2
            return (clean - self.sigma_data**2 / spread * x) * spread**0.5 / (level * self.sigma_data)
        score = -noise / level / (alpha if self.scaled else 1)
        return {
            EpsilonDenoiser: noise,
            DataDenoiser: clean,
            ScoreDenoiser: score,
            VelocityDenoiser: alpha * noise - alpha * level * clean,
        }[self.kind]


class LogClock:
    """A clock such as VE networks use: the logarithm of sigma."""

    def __call__(self, sigma):
        return sigma.log()

    def sigma(self, time):
        return time.exp()


def inputs(problem, sigmas=SIGMAS):
    x0, n = problem.sample(len(sigmas), seed=3), normal(4, range(len(sigmas)), [0], problem.shape)[0]
    return x0 + sigmas.reshape(-1, *[1] * len(problem.shape)) * n


def wrapped(kind, problem, **options):
    if kind is EDMDenoiser:
        return EDMDenoiser(Exact(kind, problem, sigma_data=0.5), sigma_data=0.5, **options)
    clock = options.setdefault("time", VPTimes())
    return kind(Exact(kind, problem, clock, options.get("scaled_input", True)), **options)


def agree(actual, expected, x, tolerance):
    """Relative to the size of x, which bounds the rounding errors of every formula here."""
    scale = x.flatten(1).norm(dim=1) + 1
    error = (actual - expected).flatten(1).norm(dim=1) / scale
    assert float(error.max()) < tolerance, error.tolist()


@pytest.mark.parametrize("problem", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("kind", [EDMDenoiser, *SCALED])
def test_exact_network_gives_the_exact_denoiser(kind, problem):
    x = inputs(problem)
    agree(wrapped(kind, problem)(x, SIGMAS), problem(x, SIGMAS), x, 1e-12)


@pytest.mark.parametrize("kind", SCALED)
def test_other_clocks_and_unscaled_inputs(kind):
    x = inputs(GAUSSIAN)
    expected = GAUSSIAN(x, SIGMAS)
    agree(wrapped(kind, GAUSSIAN, time=LogClock(), scaled_input=False)(x, SIGMAS), expected, x, 1e-12)
    agree(wrapped(kind, GAUSSIAN, time=VPTimes(vp_cosine_alphas_cumprod()))(x, SIGMAS), expected, x, 1e-12)


@pytest.mark.parametrize("kind", [EDMDenoiser, *SCALED])
def test_single_precision_network(kind):
    x = inputs(GAUSSIAN)
    denoiser = wrapped(kind, GAUSSIAN, network_dtype=torch.float32)
    actual = denoiser(x, SIGMAS)
    assert denoiser.network.calls == [(torch.float32, torch.float32, (6,))] and actual.dtype == F64
    agree(actual, GAUSSIAN(x, SIGMAS), x, 3e-5)


def test_skip_connection_is_formed_in_the_precision_of_x():
    """At small noise D is nearly x, and a single-precision network must not cost it digits."""
    x, sigma = inputs(GAUSSIAN)[:1], SIGMAS[:1] / 1e3
    actual = wrapped(EDMDenoiser, GAUSSIAN, network_dtype=torch.float32)(x, sigma)
    agree(actual, GAUSSIAN(x, sigma), x, 1e-10)


@pytest.mark.parametrize(
    ("parameter", "override", "x_dtype", "network", "time"),
    [
        (None, None, torch.float64, torch.float64, torch.float64),
        (None, None, torch.float32, torch.float32, torch.float32),
        (torch.float32, None, torch.float64, torch.float32, torch.float32),
        (torch.float64, None, torch.float32, torch.float64, torch.float64),
        (torch.bfloat16, None, torch.float64, torch.bfloat16, torch.float32),
        (torch.float32, torch.float16, torch.float64, torch.float16, torch.float32),
    ],
)
@pytest.mark.parametrize("kind", [EDMDenoiser, EpsilonDenoiser])
def test_dtype_the_network_runs_in(kind, parameter, override, x_dtype, network, time):
    inner = Exact(kind, GAUSSIAN, VPTimes())
    if parameter:
        inner.register_parameter("index", nn.Parameter(torch.zeros(1, dtype=torch.int64), requires_grad=False))
        inner.register_parameter("weight", nn.Parameter(torch.zeros(1, dtype=parameter)))
    denoiser = kind(inner, network_dtype=override)
    assert denoiser(inputs(GAUSSIAN).to(x_dtype), SIGMAS).dtype == x_dtype
    assert inner.calls == [(network, time, (6,))]


@pytest.mark.parametrize("kind", [EDMDenoiser, *SCALED])
def test_no_noise_means_x_itself(kind):
    sigmas = torch.tensor([0.0, 1.0, 0.0], dtype=F64)
    x = inputs(GAUSSIAN, sigmas)
    actual = wrapped(kind, GAUSSIAN)(x, sigmas)
    assert torch.equal(actual[[0, 2]], x[[0, 2]])
    agree(actual, GAUSSIAN(x, sigmas), x, 1e-12)
    broken = kind(lambda y, t: torch.full_like(y, torch.nan))
    assert torch.equal(broken(x[:1], sigmas[:1]), x[:1])
    assert bool(broken(x, sigmas)[1].isnan().all())


@pytest.mark.parametrize("kind", [EDMDenoiser, *SCALED])
def test_network_is_a_submodule(kind):
    denoiser = kind(nn.Linear(3, 3))
    assert [name for name, _ in denoiser.named_parameters()] == ["network.weight", "network.bias"]
    assert not denoiser.eval().network.training and denoiser.double().network.weight.dtype == F64


def test_sigma_data():
    assert EDMDenoiser(nn.Identity()).sigma_data == 0.5 and EDMDenoiser(nn.Identity(), sigma_data=2).sigma_data == 2.0
    assert EpsilonDenoiser(nn.Identity()).sigma_data == 1.0 and ScoreDenoiser(nn.Identity(), sigma_data=3).sigma_data == 3.0


@pytest.mark.parametrize(
    ("network", "actual"),
    [(lambda y, t: y[:, :1], r"returned \(6, 1, 4, 3\)"), (lambda y, t: (y,), "returned tuple")],
)
def test_wrong_output_is_refused(network, actual):
    with pytest.raises(ConfigError, match=actual):
        EpsilonDenoiser(network)(inputs(GAUSSIAN), SIGMAS)


def test_wrong_arguments_are_refused():
    with pytest.raises(ConfigError, match="callable"):
        DataDenoiser("weights.safetensors")
    with pytest.raises(ConfigError, match="sigma_data = 0"):
        EDMDenoiser(nn.Identity(), sigma_data=0)
    with pytest.raises(ConfigError, match=r"each of the 6 fields; got shape \(\)"):
        DataDenoiser(lambda y, t: y)(inputs(GAUSSIAN), torch.tensor(1.0))


class Placed:
    """Something that is not a module but says where it lives."""

    def __init__(self, device, dtype=None):
        self.device, self.dtype = device, dtype

    def __call__(self, x, sigma):
        return x


def with_buffers(*buffers):
    module = nn.Module()
    for i, buffer in enumerate(buffers):
        module.register_buffer(f"b{i}", buffer)
    return module


META, CPU = torch.device("meta"), torch.device("cpu")


@pytest.mark.parametrize(
    ("denoiser", "expected"),
    [
        (nn.Linear(2, 2, device="meta", dtype=torch.float16), (META, torch.float16)),
        (EpsilonDenoiser(nn.Linear(2, 2, dtype=F64)), (CPU, F64)),
        (with_buffers(torch.zeros(1, dtype=torch.int64), torch.zeros(1)), (CPU, torch.float32)),
        (with_buffers(torch.zeros(1, dtype=torch.int64, device="meta")), (META, None)),
        (nn.Identity(), (CPU, None)),
        (Placed(META, torch.float32), (META, torch.float32)),
        (Placed("meta"), (META, None)),
        (Placed(None, "float32"), (CPU, None)),
        (EDMDenoiser(Placed("meta")), (META, None)),
        (GAUSSIAN, (CPU, None)),
        (lambda x, sigma: x, (CPU, None)),
    ],
)
def test_placement(denoiser, expected):
    assert placement(denoiser) == expected
