"""Conventions of other libraries that are options here: clipping, thresholds, eta, churn, variances, starts and noise."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from parampi import ConfigError, denoisers, sample, sigmas
from parampi.diffusion.noise import normal
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.wrapping import wrapped
from parampi.samplers import DDIM, DDPM, EDM, SAMPLERS
from parampi.solvers import SOLVERS, Parareal, Picard, Serial
from tests.small import write_project

F64 = torch.float64
SHAPE = (2, 6, 6)
GRID = sigmas.karras(8, 0.05, 20.0)


class Bent:
    """A denoiser that leaves the range of its data."""

    sigma_data = 1.0

    def __call__(self, x, sigma, *condition):
        level = sigma.view(-1, 1, 1, 1)
        shift = condition[0] if condition else 0.0
        return 1.5 * x / (1 + level**2) + 0.3 * torch.tanh(x.roll(1, -1)) + shift


def test_clipped_fields_are_those_of_diffusers():
    """DDPM of diffusers with clip_sample, and DDIM with use_clipped_model_output."""
    for kind, sampler in ((DDPMScheduler, DDPM()), (DDIMScheduler, DDIM())):
        for options, wrap in (
            ({"clip_sample": True, "clip_sample_range": 0.7}, lambda d: denoisers.Clipped(d, 0.7)),
            ({"thresholding": True, "sample_max_value": 1.3, "dynamic_thresholding_ratio": 0.9}, threshold),
        ):
            scheduler = kind(timestep_spacing="trailing", prediction_type="sample", **options)
            scheduler.set_timesteps(8)
            scheduler.alphas_cumprod = sigmas.vp_linear_alphas_cumprod(1000)
            scheduler.one = scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=F64)
            assert_same(scheduler, sampler, wrap(Bent()))


def threshold(denoiser):
    return denoisers.Thresholded(denoiser, 0.9, largest=1.3)


def assert_same(scheduler, sampler, denoiser):
    """The scheduler's own loop, with our noise, in double precision."""
    grid = sigmas.vp_linear(8)
    drawn = sample(denoiser, SHAPE, [3], grid, sampler, Serial(), seed=1).fields[0]
    alphas = scheduler.alphas_cumprod.sqrt()
    y = normal(1, [3], [0], SHAPE)[0]
    for i, t in enumerate(scheduler.timesteps):
        noise = normal(1, [3], [i + 1], SHAPE)[0]
        clean = Bent()(y / alphas[t], grid[i].expand(1))
        if isinstance(scheduler, DDIMScheduler):
            y = scheduler.step(clean, t, y, use_clipped_model_output=True).prev_sample
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, n=noise, **__: n)
                y = scheduler.step(clean, t, y).prev_sample
    torch.testing.assert_close(drawn[None], y, rtol=0, atol=2e-9)


def test_large_variances_are_those_of_diffusers():
    grid = sigmas.vp_linear(8)
    steps, small = DDIM(1.0, variance="large").steps(grid), DDPM().steps(grid)
    scheduler = DDPMScheduler(variance_type="fixed_large", timestep_spacing="trailing")
    scheduler.set_timesteps(8)
    alpha = 1 / (1 + grid**2).sqrt()
    for i, t in enumerate(scheduler.timesteps[:-1]):
        variance = scheduler._get_variance(t) / alpha[i + 1] ** 2
        torch.testing.assert_close(steps.noise[i, 0] ** 2, variance.double(), rtol=2e-5, atol=0)
    assert steps.noise[-1, 0] == 0 and torch.equal(steps.state, small.state)
    drawn = sample(Bent(), SHAPE, 2, grid, DDIM(1.0, variance="large"), Picard(), tol=1e-6)
    serial = sample(Bent(), SHAPE, 2, grid, DDIM(1.0, variance="large"), Serial())
    torch.testing.assert_close(drawn.fields, serial.fields, rtol=0, atol=1e-4)


def test_eta_of_azula_is_ours_squared():
    one, other = DDIM(0.3, eta_scales="variance").steps(GRID), DDIM(math.sqrt(0.3)).steps(GRID)
    for name in ("state", "denoised_weight", "noise"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-12, atol=1e-14)
    ends = DDIM(1.0, eta_scales="variance").steps(GRID), DDPM().steps(GRID)
    assert torch.equal(ends[0].noise, ends[1].noise)


@pytest.mark.parametrize("name", ["edm", "euler"])
def test_churn_without_a_cap(name):
    levels = sigmas.karras(4, 0.5, 20.0, final_zero=False)
    capped, free = (SAMPLERS[name](s_churn=20.0, capped=capped) for capped in (True, False))
    assert free.raised(levels)[0][0] == pytest.approx(20.0 * (1 + 20.0 / 4))
    assert capped.raised(levels)[0][0] == pytest.approx(20.0 * math.sqrt(2))
    few = [SAMPLERS[name](s_churn=1.0, capped=capped).steps(levels) for capped in (True, False)]
    assert torch.equal(few[0].noise, few[1].noise)


@pytest.mark.parametrize(
    ("solver", "window"),
    [(Serial(), None), (Picard(), 7), (Parareal(blocks=2), None), (SOLVERS["spectral"](), 7)],
    ids=str,
)
def test_starts_and_noise_from_outside(solver, window):
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(9, 2, 20, *SHAPE, dtype=F64, generator=generator)
    members, sampler = [5, 2], EDM(s_churn=4.0)
    rows = {5: 0, 2: 1}

    def noise(member, point):
        return table[0, rows[member], point]

    options = {"tol": 1e-10, "noise": noise}
    drawn = sample(Bent(), SHAPE, members, GRID, sampler, solver, window=window, **options)
    steps = sampler.steps(GRID)
    x = [math.hypot(steps.start_level, 1.0) * table[0, :, 0]]
    clean = []
    for i in range(steps.steps):
        clean.append(Bent()(x[i], steps.sigmas[i].expand(2)))
        following = steps.noise[i, 0] * table[0, :, i + 1]
        for tap in range(min(steps.taps, i + 1)):
            following = following + steps.state[i, tap] * x[i - tap] + steps.denoised_weight[i, tap] * clean[i - tap]
        x.append(following)
    torch.testing.assert_close(drawn.fields, x[-1], rtol=0, atol=1e-7)
    for start in (x[0], lambda numbers: torch.stack([x[0][rows[number]] for number in numbers])):
        again = sample(Bent(), SHAPE, members, GRID, sampler, solver, window=window, start=start, **options)
        torch.testing.assert_close(again.fields, drawn.fields, rtol=0, atol=1e-9)
    moved = sample(Bent(), SHAPE, members, GRID, sampler, solver, window=window, start=x[0] + 1.0, **options)
    assert (moved.fields - drawn.fields).abs().max() > 1e-4


def test_a_condition_goes_through():
    x, sigma, shift = torch.randn(3, *SHAPE), torch.tensor([0.0, 1.0, 2.0]), torch.full((3, 1, 1, 1), 9.0)
    clipped = denoisers.Clipped(Bent(), 0.5)(x, sigma, shift)
    assert torch.equal(clipped[0], Bent()(x, sigma, shift)[0]) and (clipped[1:] == 0.5).all()
    assert denoisers.Clipped(Bent()).sigma_data == 1.0


def test_options_of_a_configuration(tmp_path):
    model = load(write_project(tmp_path, model__clip=0.5)).model
    made = wrapped(Bent(), model)
    assert isinstance(made, denoisers.Clipped) and made.limit == 0.5
    made = wrapped(Bent(), load(write_project(tmp_path, model__threshold={"quantile": 0.9, "largest": 2.0})).model)
    assert (made.quantile, made.largest) == (0.9, 2.0)
    run(load(write_project(tmp_path, model__clip=50.0)))
    with pytest.raises(ConfigError, match="clip and threshold both cut fields off; give one of them"):
        load(write_project(tmp_path, model__clip=0.5, model__threshold={"quantile": 0.9}))
    sampler = {"name": "ddim", "eta": 0.5, "eta_scales": "both"}
    with pytest.raises(ConfigError, match="eta_scales"):
        load(write_project(tmp_path, sampling__sampler=sampler))


def right_hand_side(x, t):
    return x


right_hand_side.__module__ = "physicsnemo.diffusion.noise_schedulers.linear_gaussian"
right_hand_side.__qualname__ = "LinearGaussianNoiseScheduler.get_denoiser.<locals>.ode_denoiser"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: denoisers.Clipped(Bent(), 0.0), "limit = 0.0 must be positive and finite: the largest number"),
        (lambda: denoisers.Thresholded(Bent(), 1.5), "quantile = 1.5, largest = 1.0: expected 0 < quantile <= 1"),
        (lambda: denoisers.Clipped(3), r"a denoiser must be callable as denoiser\(x, sigma\); got int"),
        (lambda: DDIM(0.5, variance="large"), "variance = 'large' is of DDPM, and eta = 0.5; give eta = 1"),
        (lambda: DDIM(0.5, variance="small"), "variance = 'small' is neither 'posterior' nor 'large'"),
        (lambda: DDIM(0.5, eta_scales="eta"), "eta_scales = 'eta' is neither 'deviation'"),
        (lambda: sample(right_hand_side, SHAPE, 1, GRID), "is the right-hand side of an equation, .* give the predictor"),
        (lambda: sample(Bent(), SHAPE, 1, GRID, start=3), "start = 3 cannot be called; give states .m, .shape., or a function"),
        (lambda: sample(Bent(), SHAPE, 1, GRID, noise=3), "noise = 3 cannot be called; give a function, or leave it out"),
        (lambda: sample(Bent(), SHAPE, 2, GRID, start=torch.zeros(1, *SHAPE)), "start has 1 states for 2 members; give one"),
        (lambda: sample(Bent(), SHAPE, 2, GRID, start=torch.zeros(2, 3)), r"start gave .* of shape \(2, 3\); it must give"),
        (lambda: sample(Bent(), SHAPE, 2, GRID, noise=lambda m, p: 1.0), "noise gave float; it must give standard normals"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
