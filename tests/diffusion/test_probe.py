"""The probe: faults of a denoiser that it refuses, and denoisers that it must not refuse."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import parampi
from parampi import check_denoiser, sample, sigmas
from parampi.diffusion.denoisers import EDMDenoiser, EpsilonDenoiser, ScoreDenoiser, VelocityDenoiser
from parampi.diffusion.exact import PROBLEMS, FieldMixture, Gaussian, GaussianMixture
from parampi.diffusion.guidance import ClassifierFree
from parampi.diffusion.posterior import DiffusionPosterior, MomentMatching
from parampi.errors import ConfigError
from parampi.solvers import ParaTAA, Picard, Serial
from tests.engines import MIXTURE

SHAPE = MIXTURE.shape
GRID = sigmas.karras(12)
GRIDS = {
    "karras": sigmas.karras(18),
    "log_uniform": sigmas.log_uniform(16, 0.03, 40.0),
    "vp_linear": sigmas.vp_linear(50),
    "vp_linear of few": sigmas.vp_linear(2),
    "vp_cosine": sigmas.vp_cosine(10),
    "piadm": sigmas.piadm(10, 20, 10.0),
    "explicit": sigmas.explicit([80.0, 10.0, 1.0, 0.0]),
    "one level": sigmas.explicit([5.0, 0.0]),
    "little noise": sigmas.explicit([0.3, 0.1, 0.01]),
    "coarse": sigmas.explicit([40.0, 4.0, 1.0]),
}


def column(sigma, x):
    return sigma.view(-1, *[1] * (x.ndim - 1))


def between(low, high, rare):
    """Independent values, the upper one with probability `rare`: far apart where the noise is small."""

    def denoiser(x, sigma):
        levels = column(sigma, x)
        odds = ((x - low) ** 2 - (x - high) ** 2) / (2 * levels**2) + math.log(rare / (1 - rare))
        return low + (high - low) * torch.sigmoid(odds)

    denoiser.shape, denoiser.sigma_data = (1, 8, 8), math.hypot(low * (1 - rare) ** 0.5, high * rare**0.5)
    return denoiser


def scaled(problem, factor):
    def denoiser(x, sigma):
        return factor * problem(x / factor, sigma / factor)

    denoiser.shape, denoiser.sigma_data = problem.shape, factor * problem.sigma_data
    return denoiser


WHITE = Gaussian(torch.zeros(1, 8, 8), 1.0)
HEALTHY = {
    **{name: make() for name, make in PROBLEMS.items()},
    "white": WHITE,
    "far from zero": Gaussian(torch.full((1, 8, 8), 50.0), 1.0),
    "steep": FieldMixture(32, slope=6.0),
    "narrow": GaussianMixture(variance=1e-4),
    "signs": between(-1.0, 1.0, 0.5),
    "rain": between(0.0, 1.0, 0.1),
    "large": scaled(MIXTURE, 80.0),
    "tiny": scaled(MIXTURE, 1e-3),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", HEALTHY)
def test_no_exact_denoiser_is_refused(name, grid):
    problem = HEALTHY[name]
    assert 9 <= check_denoiser(problem, problem.shape, GRIDS[grid]) <= 12
    if hasattr(problem, "sample"):
        example = problem.sample(1, seed=3)[0]
        assert check_denoiser(problem, problem.shape, GRIDS[grid], sigma_data=problem.sigma_data, example=example) == 9


@pytest.mark.parametrize("factor", [80.0, 1e-3])
@pytest.mark.parametrize("name", ["gmm64", "grf64", "white"])
def test_data_of_another_size_than_said_are_no_mistake(name, factor):
    denoiser = scaled(HEALTHY[name], factor)
    del denoiser.sigma_data
    check_denoiser(denoiser, denoiser.shape, GRIDS["karras"])
    check_denoiser(denoiser, denoiser.shape, GRIDS["vp_linear"])


def test_guidance_is_not_refused():
    observe = lambda x: x[..., ::2]  # noqa: E731
    seen = observe(MIXTURE.sample(1, seed=4))[0]
    for guided in (
        ClassifierFree(Gaussian(torch.zeros(SHAPE), 1.0), MIXTURE, 4.0),
        MomentMatching(MIXTURE, observe, seen, 0.01),
        DiffusionPosterior(MIXTURE, observe, seen),
        DiffusionPosterior(MIXTURE, observe, seen, 0.5),
    ):
        for grid in GRIDS.values():
            assert check_denoiser(guided, SHAPE, grid)


def test_a_condition_and_single_and_half_precision():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, x, time, condition):
            return 0.3 * self.gain * torch.tanh(x + condition)

    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        wrapped = EDMDenoiser(Shifted().to(dtype))
        assert check_denoiser(wrapped, (1, 8, 8), GRID, condition=torch.ones(1, 8, 8), dtype=torch.float32) == 9


# What is no denoiser


def right_hand_side(problem):
    return lambda x, sigma: (x - problem(x, sigma)) / column(sigma, x)


def score(problem):
    return lambda x, sigma: (problem(x, sigma) - x) / column(sigma, x) ** 2


def at(problem, clock):
    return lambda x, sigma: problem(x, clock(sigma))


WRONG = {
    "the right-hand side of the ODE": right_hand_side(MIXTURE),
    "the noise": lambda x, sigma: right_hand_side(MIXTURE)(x, sigma),
    "the score": score(MIXTURE),
    "what it is given": lambda x, sigma: x.clone(),
    "a clock that runs backwards": at(MIXTURE, lambda sigma: 1 / sigma),
}
KNOWN_WRONG = {
    "the velocity": lambda x, sigma: (x - MIXTURE(x, sigma)) / column(sigma, x) - MIXTURE(x, sigma),
    "the index of a time for sigma": at(MIXTURE, lambda sigma: sigmas.VPTimes()(sigma) + 1e-6),
    "the logarithm for sigma": at(MIXTURE, lambda sigma: sigma.log().abs()),
    "times from 0 to 1 for sigma": at(WHITE, lambda sigma: (sigmas.VPTimes()(sigma) + 1) / 1000),
}


@pytest.mark.parametrize("grid", ["karras", "log_uniform", "vp_linear", "piadm"])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_denoiser_is_refused(name, grid):
    with pytest.raises(ConfigError, match=r"the denoiser is none: D\(x, .*it was called with x .*, sigma") as refusal:
        sample(WRONG[name], SHAPE, 1, GRIDS[grid])
    assert "\n" not in str(refusal.value) and "probe=False, or model.probe: false" in str(refusal.value)


@pytest.mark.parametrize("name", KNOWN_WRONG)
def test_with_a_field_of_the_data_more_is_refused(name):
    problem = WHITE if "0 to 1" in name else MIXTURE
    with pytest.raises(ConfigError, match="the denoiser is none"):
        check_denoiser(
            KNOWN_WRONG[name], problem.shape, GRIDS["vp_linear"], sigma_data=1.0, example=problem.sample(1, seed=3)[0]
        )


class Mixing(nn.Module):
    """Takes the mean over the batch off, as batch normalisation does that was left in training mode."""

    def forward(self, x, time):
        return torch.tanh(3 * (x - x.mean(0)))


def leaking(x, sigma):
    """Right for finite fields; NaN in one goes into all."""
    return MIXTURE(x, sigma) + 0.0 * x.sum()


def compiled_for_one(x, sigma):
    if len(x) != 1:
        raise RuntimeError("expected a batch of 1")
    return MIXTURE(x, sigma)


@pytest.mark.parametrize(
    ("denoiser", "message"),
    [
        (EDMDenoiser(Mixing()), r"another field in a batch of 3 than alone, by .* of its size .*\(3, 1, 8, 8\) float64"),
        (leaking, "NaN in one of three fields comes into another one"),
        (compiled_for_one, r"fails with RuntimeError: expected a batch of 1 in a batch of 3, and not for one field"),
        (lambda x, sigma: x * torch.nan, r"returned NaN or Inf for finite fields; it was called with x \(1, 1, 8, 8\) float64"),
        (lambda x, sigma: x[..., :4], r"returned \(1, 1, 8, 4\) for fields of shape \(1, 1, 8, 8\)"),
    ],
)
def test_certain_faults(denoiser, message):
    with pytest.raises(ConfigError, match=message):
        sample(denoiser, SHAPE, 2, GRID)


def test_one_field_at_a_time_is_no_mistake_where_it_is_asked_for():
    assert sample(compiled_for_one, SHAPE, 2, GRID, network_batch=1).members == [0, 1]
    check_denoiser(EDMDenoiser(Mixing()), SHAPE, GRID, network_batch=1)


def test_networks_may_refuse_nan():
    def careful(x, sigma):
        assert x.isfinite().all()
        return MIXTURE(x, sigma)

    assert check_denoiser(careful, SHAPE, GRID) == 9


def test_the_calls_are_counted_apart_and_can_be_left_out():
    calls = []

    def counted(x, sigma):
        calls.append(len(x))
        return MIXTURE(x, sigma)

    probed = sample(counted, SHAPE, 2, GRID)
    assert sum(calls) == probed.report.evaluations + probed.report.probe_evaluations and probed.report.probe_evaluations == 9
    calls.clear()
    plain = sample(counted, SHAPE, 2, GRID, probe=False)
    assert sum(calls) == plain.report.evaluations == probed.report.evaluations and plain.report.probe_evaluations == 0
    assert torch.equal(plain.fields, probed.fields) and probed.report.rounds == plain.report.rounds


# Networks that write into what they are given


def writing(x, sigma):
    denoised = MIXTURE(x, sigma)
    x.mul_(0.5)
    sigma.fill_(1.0)
    return denoised


@pytest.mark.parametrize(("name", "index"), [("x", 0), ("sigma", 1)])
def test_a_network_that_writes_into_its_arguments_is_refused(name, index):
    def denoiser(*arguments):
        denoised = MIXTURE(*arguments)
        arguments[index].zero_()
        return denoised

    with pytest.raises(ConfigError, match=rf"writes into {name}, which others read; .* \({name}.clone\(\)\)"):
        sample(denoiser, SHAPE, 2, GRID)


@pytest.mark.parametrize("options", [{}, {"network_batch": 3}, {"mode": "bitwise"}, {"dtype": torch.float32}], ids=str)
@pytest.mark.parametrize("solver", [Picard(), Serial()], ids=str)
def test_without_the_probe_it_spoils_nothing_all_the_same(solver, options):
    """As one could that writes in large batches alone, which the probe does not see."""
    expected = sample(MIXTURE, SHAPE, 2, GRID, solver=solver, sigma_data=1.0, **options)
    drawn = sample(writing, SHAPE, 2, GRID, solver=solver, sigma_data=1.0, probe=False, **options)
    assert torch.equal(drawn.fields, expected.fields)


def test_a_network_that_writes_spoils_no_wrapper():
    def network(x, time):
        output = torch.tanh(x)
        x.zero_()
        time.zero_()
        return output

    x, levels = torch.randn(3, *SHAPE, dtype=torch.float64), torch.tensor([5.0, 1.0, 0.1], dtype=torch.float64)
    same = {"time": lambda level: level}
    plain = [lambda net, kind=kind: kind(net, scaled_input=False, **same) for kind in (EpsilonDenoiser, VelocityDenoiser)]
    for make in (EDMDenoiser, *plain, lambda net: ScoreDenoiser(net, scaled_input=False, **same)):
        expected = make(lambda y, time: torch.tanh(y))(x, levels)
        before = x.clone(), levels.clone()
        assert torch.equal(make(network)(x, levels), expected)
        assert torch.equal(x, before[0]) and torch.equal(levels, before[1])
    guided = ClassifierFree(writing, MIXTURE, 2.0)
    assert torch.equal(guided(x.clone(), levels.clone()), ClassifierFree(MIXTURE, MIXTURE, 2.0)(x, levels))


def test_the_engine_does_not_write_into_the_network():
    """A result that is the network's own memory, the same in every call."""
    field = torch.full(SHAPE, 0.5, dtype=torch.float64)
    kept = {}

    def denoiser(x, sigma):
        return kept.setdefault(len(x), field.expand(len(x), *SHAPE).clone())

    for solver in (Picard(), ParaTAA()):
        kept.clear()
        sample(denoiser, SHAPE, 2, sigmas.karras(12, sigma_min=0.05), solver=solver)
        assert all(torch.equal(memory, field.expand_as(memory)) for memory in kept.values())


def test_the_shipped_networks_pass(monkeypatch):
    from parampi.run.condition_source import condition_source
    from parampi.run.config import load
    from parampi.run.inputs import read_inputs
    from parampi.run.model_loading import load_denoiser, probe_denoiser

    examples = Path(parampi.__file__).parent.parent / "examples"
    for name in ("01_turbulence", "02_downscaling", "04_forecast"):
        inputs = read_inputs(load(examples / name / "run.yaml", ["output.directory=/nonexistent"]))
        assert probe_denoiser(inputs, load_denoiser(inputs, 0), condition_source(inputs, None)) == 9
