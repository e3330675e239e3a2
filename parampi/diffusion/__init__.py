"""What is being sampled: noise grids, noise, denoisers and closed-form problems. No MPI and no files."""

from . import exact, noise, sigmas
from .denoiser import Data, Denoiser, Elucidated, Epsilon, Score, Velocity, placement
from .exact import PROBLEMS, FieldMixture, Gaussian, GaussianMixture, Problem
from .noise import normal
from .sigmas import VPTimes

__all__ = [
    "PROBLEMS",
    "Data",
    "Denoiser",
    "Elucidated",
    "Epsilon",
    "FieldMixture",
    "Gaussian",
    "GaussianMixture",
    "Problem",
    "Score",
    "VPTimes",
    "Velocity",
    "exact",
    "noise",
    "normal",
    "placement",
    "sigmas",
]
