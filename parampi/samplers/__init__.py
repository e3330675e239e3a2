"""Samplers: step maps as coefficients, and collocation as equations. Each family is one small file."""

from parampi.samplers.base import (
    SAMPLERS,
    Equations,
    Sampler,
    StepMap,
    alias,
    check_grid,
    check_sampler,
    equations_of,
    lookup,
    noise_levels,
    register,
)
from parampi.samplers.collocation import Collocation, CollocationEquations
from parampi.samplers.ddim import DDIM, DDPM
from parampi.samplers.dpmpp import DPMpp2M, DPMpp2MSDE, DPMpp3M, DPMppSDE
from parampi.samplers.dpmpp_2s import DPMpp2S
from parampi.samplers.euler import Euler, EulerAncestral
from parampi.samplers.heun import EDM, Heun
from parampi.samplers.piadm import PIADMODE, PIADMSDE
from parampi.samplers.unipc import UniPC

__all__ = [
    "DDIM", "DDPM", "EDM", "PIADMODE", "PIADMSDE", "SAMPLERS", "Collocation", "CollocationEquations", "DPMpp2M", "DPMpp2MSDE",
    "DPMpp2S", "DPMpp3M", "DPMppSDE", "Equations", "Euler", "EulerAncestral", "Heun", "Sampler", "StepMap", "UniPC", "alias",
    "check_grid", "check_sampler", "equations_of", "lookup", "noise_levels", "register",
]  # fmt: skip
