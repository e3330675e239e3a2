"""All that wraps a network or a denoiser, as `parampi.denoisers`."""

from parampi.diffusion.clipping import Clipped, Thresholded
from parampi.diffusion.denoisers import (
    ConditionalDenoiser,
    DataDenoiser,
    Denoiser,
    EDMDenoiser,
    EpsilonDenoiser,
    FlowDenoiser,
    Network,
    PreconditionedDenoiser,
    ScoreDenoiser,
    VelocityDenoiser,
    placement,
    scale_of,
)
from parampi.diffusion.patches import Patched

__all__ = [
    "Clipped",
    "ConditionalDenoiser",
    "DataDenoiser",
    "Denoiser",
    "EDMDenoiser",
    "EpsilonDenoiser",
    "FlowDenoiser",
    "Network",
    "Patched",
    "PreconditionedDenoiser",
    "ScoreDenoiser",
    "Thresholded",
    "VelocityDenoiser",
    "placement",
    "scale_of",
]
