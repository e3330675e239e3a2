"""Functions that cannot be called as they will be are refused before anything is drawn."""

import functools

import pytest
import torch
from torch import nn

import parampi
from parampi.engine.signatures import check_signature
from parampi.errors import ConfigError

SHAPE, LEVELS = (1, 4, 4), parampi.sigmas.karras(4, 0.02, 10.0)
START = torch.zeros(1, 1, *SHAPE)


class Net(nn.Module):
    def forward(self, x):
        return x


def half(x, sigma, condition):
    return 0.5 * x


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: parampi.sample(lambda x: x, SHAPE, 1, LEVELS),
            r"<lambda>\(x\) is called as denoiser\(x, sigma\): too many",
        ),
        (lambda: parampi.sample(Net(), SHAPE, 1, LEVELS), r"denoiser = Net\(x\) is called as denoiser\(x, sigma\)"),
        (lambda: parampi.sample(half, SHAPE, 1, LEVELS), r"half\(x, sigma, condition\).*or condition= for a third argument"),
        (
            lambda: parampi.sample(half, SHAPE, 1, LEVELS, condition=lambda: START),
            r"condition = <lambda>\(\) is called as condition\(numbers\).*give a function of \(numbers\)",
        ),
        (
            lambda: parampi.rollout(half, START, SHAPE, 2, sigmas=LEVELS, condition=lambda states: states),
            r"is called as condition\(states, lead, numbers\)",
        ),
        (
            lambda: parampi.rollout(half, START, SHAPE, 2, sigmas=LEVELS, update=lambda state, drawn: drawn),
            r"is called as update\(state, drawn, lead, numbers\)",
        ),
        (lambda: parampi.rollout(lambda x, sigma: x, START, SHAPE, 2, sigmas=LEVELS), r"denoiser\(x, sigma, condition\)"),
    ],
    ids=["one argument", "module", "no condition", "condition", "condition of states", "update", "denoiser of a rollout"],
)
def test_other_arguments_are_refused(draw, message):
    with pytest.raises(ConfigError, match=message):
        draw()


@pytest.mark.parametrize(
    "function",
    [functools.partial(half, condition=None), lambda *a: a, torch.add, max],
    ids=["partial", "any number", "torch's", "built in"],
)
def test_what_can_be_called_or_hides_its_signature_is_believed(function):
    check_signature("denoiser", function, ("x", "sigma"))
