"""Fields of other frameworks' own samplers, and ours with the same network, start and noise, drawn serially and in parallel, as
the table of the documentation: `python -m tests.frameworks.parity`."""

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from parampi import clocks, denoisers, sample, sigmas
from parampi.bench.table import markdown
from parampi.samplers import DDIM, DDPM, EDM, DPMpp2M, Heun
from parampi.solvers import Picard, Serial, Spectral
from tests.frameworks.installed import framework

PAGE = Path(__file__).resolve().parents[2] / "docs" / "generated" / "framework_parity.md"
COLUMNS = ("serial, float64", "parallel, float64", "serial, float32", "parallel, float32")
HEADER = ("framework", "network", "its sampler", "ours", *COLUMNS)
SHAPE, STEPS = (2, 8, 8), 10
BARS = {torch.float64: 1e-10, torch.float32: 1e-6}
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-7}
PARALLEL = {"Picard, window 5": (Picard(), 5), "Picard": (Picard(), None), "Spectral": (Spectral(), None)}


class Net(nn.Module):
    """A small convolution network of a field and a time, its weights random."""

    def __init__(self, dtype, channels=SHAPE[0]):
        super().__init__()
        self.inward, self.outward = nn.Conv2d(channels + 1, 8, 3, padding=1), nn.Conv2d(8, SHAPE[0], 3, padding=1)
        random_weights(self, 0.25).to(dtype)

    def forward(self, x, time):
        times = time.reshape(-1, 1, 1, 1).to(x).expand(len(x), 1, *x.shape[2:])
        return self.outward(torch.nn.functional.silu(self.inward(torch.cat([x, torch.sin(times)], 1))))


@dataclass(frozen=True)
class Case:
    """One comparison. `theirs(dtype, noises)` returns the framework's field in EDM coordinates; `ours(dtype)` the denoiser, the
    grid and the start's scale, or a start made of the noises; `point` says which noise is that of a point."""

    framework: str
    network: str
    peer: str
    sampler: object
    theirs: Callable
    ours: Callable
    point: Callable = lambda point: point

    @property
    def row(self):
        return self.framework, self.network, self.peer, f"`{type(self.sampler).__name__}`"


def noises(dtype):
    return torch.randn(2 * STEPS + 2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(7)).to(dtype)


def draw(case, dtype, solver, window):
    """Our field."""
    denoiser, grid, start = case.ours(dtype)
    table = noises(dtype)
    return sample(
        denoiser, SHAPE, 1, grid, case.sampler, solver, window=window, tol=TOLERANCES[dtype], dtype=dtype, probe=False,
        start=start(table) if callable(start) else start * table[:1], noise=lambda member, point: table[case.point(point)],
    ).fields[0]  # fmt: skip


def field_of(case, dtype):
    """The framework's field. Numbers that it makes of the default type on its way, such as physicsnemo's churn, are double in
    the comparison in double precision."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return case.theirs(dtype, noises(dtype)).double()
    finally:
        torch.set_default_dtype(default)


def difference(case, dtype, theirs, solver, window=None):
    """Relative L2 difference of our field and the framework's."""
    ours = draw(case, dtype, solver, window).double()
    return float((ours - theirs).norm() / theirs.norm())


# ---------------------------------------------------------------------- diffusers


SCHEDULERS = {
    "DDIMScheduler": (DDIM(), {"clip_sample": False}),
    "DDPMScheduler": (DDPM(), {"clip_sample": False}),
    "DPMSolverMultistepScheduler": (DPMpp2M(), {"final_sigmas_type": "zero"}),
}


def diffusers_cases():
    framework("diffusers")
    for kind, (sampler, options) in SCHEDULERS.items():
        yield Case("diffusers", "UNet2DModel, noise", kind, sampler, partial(diffusers_field, kind, options), epsilon_of_unet)


def unet(dtype):
    import diffusers

    blocks = {"down_block_types": ("DownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "UpBlock2D")}
    sizes = {"sample_size": 8, "in_channels": 2, "out_channels": 2, "block_out_channels": (8, 8)}
    return random_weights(diffusers.UNet2DModel(**sizes, **blocks, layers_per_block=1, norm_num_groups=4), 0.1).to(dtype).eval()


def random_weights(network, size):
    """The network with normal weights of this size, the same whatever the default type is."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


@torch.no_grad()
def diffusers_field(kind, options, dtype, table):
    import diffusers

    from tests.samplers.peers import Noises, doubled

    noise, network, scheduler_class = Noises(table[1:, None]), unet(dtype), getattr(diffusers, kind)
    module = sys.modules[scheduler_class.__module__]
    own = mock.patch.object(module, "randn_tensor", noise.draw) if dtype == torch.float32 else doubled(scheduler_class, noise)
    with own:
        scheduler = scheduler_class(timestep_spacing="trailing", **options)
        scheduler.set_timesteps(STEPS)
        y = table[:1]
        for step, t in enumerate(scheduler.timesteps):
            noise.step = step
            y = scheduler.step(network(y, t).sample, t, y).prev_sample
    return y[0]


def epsilon_of_unet(dtype):
    denoiser = denoisers.EpsilonDenoiser(Rounded(unet(dtype)), time=clocks.linear())
    grid = sigmas.vp_linear(STEPS)
    return denoiser, grid, math.sqrt(1 + float(grid[0]) ** 2)


class Rounded(nn.Module):
    """A network of diffusers: whole times, and a field in `sample`."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, time):
        return self.network(x, time.round()).sample


# ---------------------------------------------------------------------- azula


def azula_cases():
    framework("azula")
    from azula.denoise import KarrasDenoiser
    from azula.noise import VPSchedule
    from azula.sample import DDIMSampler, DDPMSampler

    def theirs(kind, **options):
        def run(dtype, table):
            schedule = VPSchedule()
            sampler = kind(KarrasDenoiser(Net(dtype), schedule), steps=STEPS, silent=True, dtype=dtype, **options)
            left = iter(table[1:, None])
            scale = grid(dtype)[0].square().add(1).sqrt() * schedule.alpha(torch.ones((), dtype=dtype))
            with mock.patch("torch.randn_like", lambda x: next(left)):
                return sampler(scale * table[:1])[0]

        return run

    def grid(dtype):
        t = torch.linspace(1, 0, STEPS + 1, dtype=dtype)
        return VPSchedule().sigma(t) / VPSchedule().alpha(t)

    def ours(dtype):
        levels = grid(torch.float64)
        return denoisers.EDMDenoiser(Net(dtype), 1.0, time=clocks.log_sigma()), levels, math.sqrt(1 + float(levels[0]) ** 2)

    yield Case("azula", "KarrasDenoiser", "DDIMSampler, eta=0", DDIM(), theirs(DDIMSampler), ours)
    yield Case("azula", "KarrasDenoiser", "DDIMSampler, eta=0.5", DDIM(0.5, "variance"), theirs(DDIMSampler, eta=0.5), ours)
    yield Case("azula", "KarrasDenoiser", "DDPMSampler", DDPM(), theirs(DDPMSampler), ours)


# ---------------------------------------------------------------------- physicsnemo


def karras_grid():
    return sigmas.karras(STEPS, 0.02, 50.0)


def edm(dtype):
    return denoisers.EDMDenoiser(Net(dtype), 0.5)


def physicsnemo_cases():
    framework("physicsnemo")
    from physicsnemo.diffusion.noise_schedulers import EDMNoiseScheduler
    from physicsnemo.diffusion.samplers import sample as nemo_sample
    from physicsnemo.diffusion.samplers import stochastic_sampler

    def new(solver, **options):
        @torch.no_grad()
        def run(dtype, table):
            scheduler, predictor = EDMNoiseScheduler(sigma_min=0.02, sigma_max=50.0), edm(dtype)
            left = iter(table[1:, None])
            with mock.patch("torch.randn_like", lambda x: next(left)):
                denoiser = scheduler.get_denoiser(x0_predictor=lambda x, t: predictor(x, t))
                start = 50.0 * table[:1]
                return nemo_sample(denoiser, start, scheduler, STEPS, solver=solver, solver_options=options or None)[0]

        return run

    def legacy(**options):
        @torch.no_grad()
        def run(dtype, table):
            predictor, left = edm(dtype), iter(table[1:, None])

            class Network(nn.Module):
                sigma_min, sigma_max = 0.0, math.inf
                round_sigma = staticmethod(lambda sigma: torch.as_tensor(sigma, dtype=dtype))

                def forward(self, x, x_lr, t, labels):
                    return predictor(x, torch.as_tensor(t).to(x).expand(len(x)))

            return stochastic_sampler(
                Network(), table[:1], torch.zeros_like(table[:1]), randn_like=lambda x: next(left), num_steps=STEPS,
                sigma_min=0.02, sigma_max=50.0, **options,
            )[0]  # fmt: skip

        return run

    def ours(sampler):
        def made(dtype):
            grid = karras_grid()
            added = float(sampler.raised(grid)[1][0]) if isinstance(sampler, EDM) else 0.0
            return edm(dtype), grid, lambda table: 50.0 * table[:1] + added * table[1:2]

        return made

    def churn(point):
        return point // 2 + 1

    network = "EDM preconditioning"
    capped, free = EDM(s_churn=2.0, s_noise=1.003), EDM(s_churn=12.0, s_noise=1.003, capped=False)
    yield Case("physicsnemo", network, "heun", Heun(), new("heun"), ours(Heun()))
    peer = new("edm_stochastic_heun", S_churn=2.0, S_noise=1.003, num_steps=STEPS)
    yield Case("physicsnemo", network, "edm_stochastic_heun, below the cap", capped, peer, ours(capped), churn)
    bound = EDM(s_churn=12.0, s_noise=1.003)
    peer = new("edm_stochastic_heun", S_churn=12.0, S_noise=1.003, num_steps=STEPS)
    yield Case("physicsnemo", network, "edm_stochastic_heun, at the cap", bound, peer, ours(bound), churn)
    peer = legacy(S_churn=12.0, S_noise=1.003)
    yield Case("physicsnemo", network, "stochastic_sampler, no cap", free, peer, ours(free), churn)


# ---------------------------------------------------------------------- flow matching


def flow_cases():
    times = torch.linspace(0.999, 0.0, STEPS + 1, dtype=torch.float64)

    @torch.no_grad()
    def theirs(dtype, table):
        network, x = Net(dtype), table[:1]
        for t, following in zip(times[:-1].to(dtype), times[1:].to(dtype), strict=True):
            x = x + (following - t) * network(x, t.expand(1))
        return x[0]

    def ours(dtype):
        return denoisers.FlowDenoiser(Net(dtype)), times / (1 - times), 1 / (1 - 0.999)

    yield Case("a flow matching loop", "velocity", "x += (t' - t) v", DDIM(), theirs, ours)


FRAMEWORKS = {"diffusers": diffusers_cases, "azula": azula_cases, "physicsnemo": physicsnemo_cases, "flow": flow_cases}


def main() -> None:
    rows = []
    for name, cases in FRAMEWORKS.items():
        try:
            found = list(cases())
        except pytest.skip.Exception as error:
            raise SystemExit(f"{name}: {error}; the table needs all frameworks") from None
        for case in found:
            row = list(case.row)
            for dtype in BARS:
                theirs = field_of(case, dtype)
                serial = difference(case, dtype, theirs, Serial())
                worst = max(difference(case, dtype, theirs, *how) for how in PARALLEL.values())
                row += [f"{serial:.1e}", f"{worst:.1e}"]
            rows.append(row)
            print(row, flush=True)
    PAGE.write_text(markdown(HEADER, rows) + "\n")


if __name__ == "__main__":
    main()
