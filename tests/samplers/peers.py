"""The schedulers of diffusers, made to run in double precision and with given noise, and the samplers that equal them.

A scheduler computes its noise levels, and rounds its state, in single precision. Its module is therefore given stand-ins for
`torch` and `numpy` whose float32 is float64; its code stays its own.
"""

import contextlib
import sys
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from unittest import mock

import numpy as np
import torch

from parampi.samplers import (
    DDIM,
    DDPM,
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
from tests.samplers.walk import walk

F64 = torch.float64


class Double:
    """A module whose single precision is double."""

    def __init__(self, module):
        self._module, self.float32 = module, module.float64

    def __getattr__(self, name):
        return getattr(self._module, name)


@contextlib.contextmanager
def doubled(scheduler_class, noises):
    """While this lasts the scheduler's module computes in double precision and draws these noises in turn."""
    module = sys.modules[scheduler_class.__module__]
    drawn = iter(noises)
    stand_ins = {"torch": Double(torch), "np": Double(np), "randn_tensor": lambda *args, **options: next(drawn)}
    known = {name: stand_in for name, stand_in in stand_ins.items() if hasattr(module, name)}
    with mock.patch.multiple(module, **known):
        yield


@dataclass(frozen=True)
class Case:
    """`peer`: a scheduler by name and its options. `scaled`: its state is alpha x, not x."""

    sampler: Sampler
    peer: str
    steps: int
    options: dict[str, Any] = field(default_factory=dict)
    scaled: bool = True
    step_options: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        shown = {**self.options, **self.step_options}
        return ", ".join([f"{self.steps} steps", *(f"{name}={value}" for name, value in shown.items())])


SPACINGS = ("linspace", "leading", "trailing")
ENDS = ("zero", "sigma_min")
VE = {"scaled": False}


def cases() -> list[Case]:
    """Every sampler that has a peer, with every spacing and every last level that the peer has."""
    found = []
    for spacing, one in product(("leading", "trailing"), (True, False)):
        options = {"timestep_spacing": spacing, "set_alpha_to_one": one, "clip_sample": False}
        found += [
            Case(
                DDIM(eta),
                "DDIMScheduler",
                20,
                {**options, "steps_offset": int(spacing == "leading")},
                step_options={"eta": eta},
            )
            for eta in (0.0, 0.5, 1.0)
        ]
    found += [Case(DDPM(), "DDPMScheduler", 20, {"timestep_spacing": s, "clip_sample": False}) for s in ("leading", "trailing")]
    for spacing in SPACINGS:
        options = {"timestep_spacing": spacing}
        for end, extra in product(ENDS, ({}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True})):
            found.append(Case(Euler(), "EulerDiscreteScheduler", 12, {**options, "final_sigmas_type": end, **extra}, **VE))
        found.append(Case(EulerAncestral(), "EulerAncestralDiscreteScheduler", 12, options, **VE))
        found += [Case(Heun(), "HeunDiscreteScheduler", 12, {**options, **e}, **VE) for e in ({}, {"use_karras_sigmas": True})]
        for end in ENDS:
            found += multistep({**options, "final_sigmas_type": end})
    return found


def multistep(options: dict[str, Any]) -> list[Case]:
    found = []
    for steps in (10, 20):
        for form in ("midpoint", "heun"):
            kind = {**options, "solver_type": form}
            found.append(Case(DPMpp2M(form), "DPMSolverMultistepScheduler", steps, kind))
            sde = {**kind, "algorithm_type": "sde-dpmsolver++"}
            found.append(Case(DPMpp2MSDE(form), "DPMSolverMultistepScheduler", steps, sde))
        found.append(Case(DPMpp3M(), "DPMSolverMultistepScheduler", steps, {**options, "solver_order": 3}))
        first = {**options, "solver_order": 1, "algorithm_type": "sde-dpmsolver++"}
        found.append(Case(DPMppSDE(), "DPMSolverMultistepScheduler", steps, first))
        variants = ("bh1", "bh2") if options["final_sigmas_type"] == "sigma_min" else ("bh2",)  # see test_parity.py
        found += [Case(UniPC(v), "UniPCMultistepScheduler", steps, {**options, "solver_type": v}) for v in variants]
    # ending at sigma_min, the peer's last step has no length, and it is this one that it takes at lower order
    shortened = options["final_sigmas_type"] == "zero"
    karras = {**options, "use_karras_sigmas": True}
    found.append(Case(DPMpp2M(lower_order_final=shortened), "DPMSolverMultistepScheduler", 12, karras))
    if options["timestep_spacing"] == "linspace":  # the singlestep scheduler has no other spacing
        single = {"final_sigmas_type": options["final_sigmas_type"], "lower_order_final": True}
        found += [
            Case(DPMpp2S(form, "grid"), "DPMSolverSinglestepScheduler", steps, {**single, "solver_type": form})
            for form in ("midpoint", "heun")
            for steps in (10, 11)
        ]
    return found


def scheduler(case: Case):
    """The peer, ready to step, in double precision; within `doubled`."""
    import diffusers

    made = getattr(diffusers, case.peer)(**case.options)
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


def run_peer(case: Case, denoise, start, noises):
    """Noise levels, and the final state in EDM coordinates, of the peer's own loop."""
    import diffusers

    with doubled(getattr(diffusers, case.peer), noises):
        made = scheduler(case)
        grid = levels(made)
        x = start * alpha(grid[0]) if case.scaled else start
        for k, t in enumerate(made.timesteps):
            if not case.scaled:
                made.scale_model_input(x, t)  # sets the step's index
                sigma = torch.as_tensor(made.sigmas[made.step_index], dtype=F64)
            else:
                sigma = grid[k]
            state = x / alpha(sigma) if case.scaled else x
            noise = (state - denoise(state, sigma)) / sigma
            x = made.step(noise, t, x, **case.step_options).prev_sample
    return grid, x / alpha(grid[-1]) if case.scaled else x


def run_ours(case: Case, denoise, grid, start, noises):
    return walk(case.sampler.steps(grid), denoise, start, noises)[-1]


def difference(case: Case, denoise, shape, seed=0) -> float:
    """Relative L2 difference of the two final states."""
    generator = torch.Generator().manual_seed(seed)
    start, *noises = torch.randn(61, *shape, generator=generator, dtype=F64)
    start = 10 * start
    if case.peer == "DDPMScheduler":
        noises[case.steps - 1] = torch.zeros(shape, dtype=F64)  # it adds 1e-10 of noise, its least, where the variance is 0
    grid, theirs = run_peer(case, denoise, start, noises)
    ours = run_ours(case, denoise, grid, start, noises)
    return float((ours - theirs).norm() / theirs.norm())
