"""The diffusion model: noise levels, noise, denoisers, guidance and closed-form problems. No MPI and no files."""

from parampi.diffusion import exact, guidance, noise, sigmas
from parampi.diffusion.denoisers import (
    ConditionalDenoiser,
    DataDenoiser,
    Denoiser,
    EDMDenoiser,
    EpsilonDenoiser,
    ScoreDenoiser,
    VelocityDenoiser,
    placement,
)
from parampi.diffusion.exact import PROBLEMS, FieldMixture, Gaussian, GaussianMixture, Problem
from parampi.diffusion.guidance import ClassifierFree, Conditioned
from parampi.diffusion.noise import normal
from parampi.diffusion.piadm_grid import PIADMGrid, block_grid, piadm
from parampi.diffusion.posterior import DiffusionPosterior, MomentMatching
from parampi.diffusion.sigmas import VPTimes

__all__ = [
    "PROBLEMS",
    "ClassifierFree",
    "ConditionalDenoiser",
    "Conditioned",
    "DataDenoiser",
    "Denoiser",
    "DiffusionPosterior",
    "EDMDenoiser",
    "EpsilonDenoiser",
    "FieldMixture",
    "Gaussian",
    "GaussianMixture",
    "MomentMatching",
    "PIADMGrid",
    "Problem",
    "ScoreDenoiser",
    "VPTimes",
    "VelocityDenoiser",
    "block_grid",
    "exact",
    "guidance",
    "noise",
    "normal",
    "piadm",
    "placement",
    "sigmas",
]
