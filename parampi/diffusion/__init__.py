"""The diffusion model: noise levels, noise, denoisers, guidance and closed-form problems. No MPI and no files."""

from . import exact, guidance, noise, sigmas
from .denoisers import DataDenoiser, Denoiser, EDMDenoiser, EpsilonDenoiser, ScoreDenoiser, VelocityDenoiser, placement
from .exact import PROBLEMS, FieldMixture, Gaussian, GaussianMixture, Problem
from .guidance import ClassifierFree, Conditioned
from .noise import normal
from .piadm_grid import PIADMGrid, block_grid, piadm
from .posterior import DiffusionPosterior, MomentMatching
from .sigmas import VPTimes

__all__ = [
    "PROBLEMS",
    "ClassifierFree",
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
