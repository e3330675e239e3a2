"""Samplers: step maps as coefficients. Each is one small file; the names below are what configurations use."""

from parampi.samplers.base import SAMPLERS, Sampler, StepMap, check_grid, register
from parampi.samplers.ddim import DDIM, DDPM

__all__ = ["DDIM", "DDPM", "SAMPLERS", "Sampler", "StepMap", "check_grid", "register"]
