"""The schedulers of diffusers, made to run in double precision and with given noise, and the samplers that equal them.

A scheduler computes its noise levels, and rounds its state, in single precision. Its module is therefore given stand-ins for
`torch` and `numpy` whose float32 is float64; its code stays its own.
"""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from unittest import mock

import numpy as np
import torch

from parampi.samplers import (
    DDIM,
    DDPM,
    SAMPLERS,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp2S,
    DPMpp3M,
    DPMppSDE,
    Euler,
    EulerAncestral,
    Heun,
    Sampler,
    UniPC,
)
from parampi.samplers.churn import Churn
from tests.samplers.walk import walk

F64 = torch.float64


class Double:
    """A module whose single precision is double."""

    def __init__(self, module):
        self._module, self.float32 = module, module.float64

    def __getattr__(self, name):
        return getattr(self._module, name)


class Noises:
    """The standard normal fields of a run, one per step; `step` is the one that is being taken."""

    def __init__(self, fields):
        self.fields, self.step = fields, 0

    def draw(self, *_, **__):
        return self.fields[self.step]


@contextlib.contextmanager
def doubled(scheduler_class, noises=None):
    """While this lasts the scheduler's module computes in double precision and draws these noises."""
    module = sys.modules[scheduler_class.__module__]
    stand_ins = {"torch": Double(torch), "np": Double(np), "randn_tensor": (noises or Noises([])).draw}
    known = {name: stand_in for name, stand_in in stand_ins.items() if hasattr(module, name)}
    with mock.patch.multiple(module, **known):
        yield


@dataclass(frozen=True)
class Case:
    """`peer`: a scheduler by name and its options. `scaled`: its state is alpha x, not x. `alias`: the sampler's
    name where it is not that of its class."""

    sampler: Sampler
    peer: str
    steps: int
    options: dict[str, Any] = field(default_factory=dict)
    scaled: bool = True
    step_options: dict[str, Any] = field(default_factory=dict)
    alias: str = ""

    @property
    def name(self) -> str:
        return self.alias or next(name for name, kind in SAMPLERS.distinct().items() if kind is type(self.sampler))

    @property
    def label(self) -> str:
        return ", ".join([f"{self.steps} steps", *shown({**self.options, **self.step_options})])

    @property
    def row(self) -> tuple[str, str, str]:
        """What the table tells apart: not how many steps there are, nor where they are."""
        options = {name: value for name, value in {**self.options, **self.step_options}.items() if name not in PLACES}
        return self.name, self.peer, ", ".join(shown(options))


PLACES = ("timestep_spacing", "final_sigmas_type", "set_alpha_to_one", "steps_offset", "clip_sample")


def shown(options: dict[str, Any]) -> list[str]:
    return [name if value is True else f"{name}={value}" for name, value in options.items()]


SPACINGS = ("linspace", "leading", "trailing")
ENDS = ("zero", "sigma_min")
GRIDS = ({}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True})
MULTI, SINGLE, UNIPC = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler"
EULER = "EulerDiscreteScheduler"
CHURNS = ({"s_churn": 3.0}, {"s_churn": 40.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003})


def cases() -> list[Case]:
    """Every sampler that has a peer, with every spacing and every last level that the peer has."""
    every = [*ddim(), *euler()]
    for spacing, end in product(SPACINGS, ENDS):
        options = {"timestep_spacing": spacing, "final_sigmas_type": end}
        for steps in (10, 20):
            every += [*multistep(options, steps), *stochastic(options, steps), *unipc(options, steps)]
    for end, steps in product(ENDS, (10, 11)):  # the singlestep scheduler has no spacing but linspace
        every += singlestep({"final_sigmas_type": end}, steps)
    return every


def ddim() -> Iterator[Case]:
    """DDIMScheduler steps beside its own levels with linspace spacing: see test_parity.py."""
    for spacing, one, eta in product(("leading", "trailing"), (True, False), (0.0, 0.5, 1.0)):
        options = {"timestep_spacing": spacing, "set_alpha_to_one": one, "steps_offset": int(spacing == "leading")}
        yield Case(DDIM(eta), "DDIMScheduler", 20, {**options, "clip_sample": False}, step_options={"eta": eta})
    for spacing in SPACINGS:
        yield Case(DDPM(), "DDPMScheduler", 20, {"timestep_spacing": spacing, "clip_sample": False}, alias="ddpm")


def euler() -> Iterator[Case]:
    """The schedulers whose state is x itself."""
    for spacing, grid in product(SPACINGS, GRIDS):
        options = {"timestep_spacing": spacing, **grid}
        for end in ENDS:
            yield Case(Euler(), EULER, 12, {**options, "final_sigmas_type": end}, scaled=False)
        yield Case(Heun(), "HeunDiscreteScheduler", 12, options, scaled=False)
    for spacing in SPACINGS:
        options = {"timestep_spacing": spacing}
        peer = "EulerAncestralDiscreteScheduler"
        yield Case(EulerAncestral(), peer, 12, options, scaled=False, alias="euler_ancestral")
        for churn in CHURNS:
            yield Case(Euler(**churn), EULER, 12, options, scaled=False, step_options=churn)


def multistep(options: dict[str, Any], steps: int) -> Iterator[Case]:
    to_zero = options["final_sigmas_type"] == "zero"
    for form in ("midpoint", "heun"):
        yield Case(DPMpp2M(form), MULTI, steps, {**options, "solver_type": form})
    yield Case(DPMpp3M(), MULTI, steps, {**options, "solver_order": 3})
    for extra in ({"lower_order_final": False}, {"euler_at_final": True}):
        yield Case(DPMpp2M(**extra), MULTI, steps, {**options, **extra})
        yield Case(DPMpp3M(**extra), MULTI, steps, {**options, "solver_order": 3, **extra})
    for grid in GRIDS[1:]:
        # ending at sigma_min, the peer's last step has no length, and it is this one that it takes at lower order
        last = {} if to_zero else {"lower_order_final": False}
        yield Case(DPMpp2M(**last), MULTI, steps, {**options, **grid, **last})


def stochastic(options: dict[str, Any], steps: int) -> Iterator[Case]:
    sde = {**options, "algorithm_type": "sde-dpmsolver++"}
    yield Case(DPMppSDE(), MULTI, steps, {**sde, "solver_order": 1}, alias="dpmpp_sde")
    for form in ("midpoint", "heun"):
        yield Case(DPMpp2MSDE(form), MULTI, steps, {**sde, "solver_type": form})
    yield Case(DPMpp2MSDE(euler_at_final=True), MULTI, steps, {**sde, "euler_at_final": True})


def unipc(options: dict[str, Any], steps: int) -> Iterator[Case]:
    to_zero = options["final_sigmas_type"] == "zero"
    for variant in ("bh2",) if to_zero else ("bh1", "bh2"):  # see test_parity.py
        yield Case(UniPC(variant), UNIPC, steps, {**options, "solver_type": variant})
        uncorrected = {"solver_type": variant, "disable_corrector": "all"}
        yield Case(UniPC(variant, corrector=False), UNIPC, steps, {**options, **uncorrected})
        if not to_zero:
            lower = {"solver_type": variant, "lower_order_final": False}
            yield Case(UniPC(variant, lower_order_final=False), UNIPC, steps, {**options, **lower})
    if to_zero:  # at sigma_min its last step has no length: see test_parity.py
        for grid in GRIDS[1:]:
            yield Case(UniPC(), UNIPC, steps, {**options, **grid})


def singlestep(options: dict[str, Any], steps: int) -> Iterator[Case]:
    for form in ("midpoint", "heun"):
        for lower in (True, False):  # it sets it to True itself where it has to
            extra = {"solver_type": form, "lower_order_final": lower}
            yield Case(DPMpp2S(form, "grid", lower), SINGLE, steps, {**options, **extra})


def scheduler(case: Case):
    """The peer, ready to step, in double precision; within `doubled`."""
    import diffusers

    options = dict(case.options)
    if options.get("disable_corrector") == "all":
        options["disable_corrector"] = list(range(case.steps))
    made = getattr(diffusers, case.peer)(**options)
    made.set_timesteps(case.steps)
    return made


def levels(made) -> torch.Tensor:
    """The distinct noise levels that a scheduler goes through, the last included."""
    if hasattr(made, "sigmas"):
        sigmas = torch.as_tensor(made.sigmas, dtype=F64)
        # a stage's level stands twice, and so may the last one: a step of no length, but for rounding
        return sigmas[torch.cat([torch.tensor([True]), sigmas[1:] < (1 - 1e-12) * sigmas[:-1]])]
    kept, times = made.alphas_cumprod.to(F64), made.timesteps
    final = made.final_alpha_cumprod if hasattr(made, "final_alpha_cumprod") else made.one
    alphas = torch.cat([kept[times], torch.as_tensor(final, dtype=F64).reshape(1)])
    return ((1 - alphas) / alphas).sqrt()


def alpha(sigma):
    return 1 / (1 + torch.as_tensor(sigma, dtype=F64) ** 2).sqrt()


def run_peer(case: Case, denoise, start, noises, churned=True):
    """Noise levels, and the final state in EDM coordinates, of the peer's own loop.

    `churned`: the network sees the state with the noise of the churn, which the peer's step adds after it was asked.
    """
    import diffusers

    drawn = Noises(noises)
    with doubled(getattr(diffusers, case.peer), drawn):
        made = scheduler(case)
        grid = levels(made)
        x = start * alpha(grid[0]) if case.scaled else start
        for k, t in enumerate(made.timesteps):
            drawn.step = k
            made.scale_model_input(x, t)  # sets the step's index
            sigma = grid[k] if case.scaled else torch.as_tensor(made.sigmas[made.step_index], dtype=F64)
            state = x / alpha(sigma) if case.scaled else x
            if isinstance(case.sampler, Churn) and churned:
                raised, added, _ = case.sampler.raised(grid)
                state, sigma = state + added[k] * noises[k], raised[k]
            noise = (state - denoise(state, sigma)) / sigma
            x = made.step(noise, t, x, **case.step_options).prev_sample
    return grid, x / alpha(grid[-1]) if case.scaled else x


def run_ours(case: Case, denoise, grid, start, noises):
    """The final state. Churn's noises are those of the steps that make raised points; the first of them is in the start."""
    if isinstance(case.sampler, Churn):
        start, noises = start + case.sampler.raised(grid)[1][0] * noises[0], noises[1:]
    return walk(case.sampler.steps(grid), denoise, start, noises)[-1]


def difference(case: Case, denoise, shape, seed=0, churned=True) -> float:
    """Relative L2 difference of the two final states."""
    generator = torch.Generator().manual_seed(seed)
    start, *noises = torch.randn(61, *shape, generator=generator, dtype=F64)
    start = 10 * start
    if case.peer == "DDPMScheduler":
        noises[case.steps - 1] = torch.zeros(shape, dtype=F64)  # it adds 1e-10 of noise, its least, where the variance is 0
    grid, theirs = run_peer(case, denoise, start, noises, churned)
    ours = run_ours(case, denoise, grid, start, noises)
    return float((ours - theirs).norm() / theirs.norm())
