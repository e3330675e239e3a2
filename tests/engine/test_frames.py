"""Frames between a user's call and a user's denoiser: what a traceback shows of parampi."""

import traceback
from pathlib import Path

import pytest
import torch
from torch import nn

import parampi
from parampi import sample, sigmas
from parampi.diffusion.denoisers import EDMDenoiser
from parampi.solvers import Parareal, Picard

PACKAGE = str(Path(parampi.__file__).parent)
MOST = 7
"""From `sample` to a wrapped network, both included: sample, drawing, group, round, evaluation, batch, wrapper. The
probe has two more: what it checks, and the witness around the denoiser."""


class Traced(nn.Module):
    """A network that notes the frames of parampi that it is called from."""

    def __init__(self):
        super().__init__()
        self.frames = set()

    def forward(self, x, noise):
        self.frames.add(tuple(frame.name for frame in traceback.extract_stack() if frame.filename.startswith(PACKAGE)))
        return torch.zeros_like(x)


@pytest.mark.parametrize("solver", [Picard(), Parareal()], ids=["windows", "blocks"])
@pytest.mark.parametrize("mode", ["fast", "bitwise"])
def test_few_frames_from_sample_to_the_denoiser(solver, mode):
    network = Traced()
    sample(EDMDenoiser(network), (1, 2, 2), 2, sigmas.karras(8), solver=solver, mode=mode)
    assert network.frames
    for frames in network.frames:
        assert frames[0] == "sample" and len(frames) <= MOST + 2 * ("probe" in frames), frames
