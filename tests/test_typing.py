"""A user's script passes `mypy --strict`: all public modules are typed, and `sample` takes what the documentation says."""

import os
import subprocess
import sys

import pytest

from tests.ranks.launch import ROOT

SCRIPT = """
from dataclasses import dataclass

import torch
from torch import Tensor

import parampi
from parampi.basis import make_basis
from parampi.denoisers import EpsilonDenoiser
from parampi.exact import PROBLEMS
from parampi.guidance import ClassifierFree, Conditioned
from parampi.noise import normal
from parampi.posterior import DiffusionPosterior
from parampi.samplers import DDIM, DDPM, StepMap, check_grid, register
from parampi.sigmas import karras
from parampi.solvers import ParaSolver, Picard, Spectral


class Net(torch.nn.Module):
    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return x * time.view(-1, 1, 1, 1)


def plain(x: Tensor, sigma: Tensor) -> Tensor:
    return x / (1 + sigma.view(-1, 1, 1, 1) ** 2)


def conditional(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
    return x + condition


def condition(numbers: list[int]) -> Tensor:
    return torch.zeros(len(numbers), 1, 8, 8)


@register("mine")
@dataclass(frozen=True)
class Mine:
    order = 1

    def steps(self, sigmas: Tensor) -> StepMap:
        return DDIM().steps(check_grid(sigmas))


shape = (1, 8, 8)
first = parampi.sample(plain, shape, 4, karras(8), Mine(), Picard(), tol=1e-3)
wrapped = parampi.sample(EpsilonDenoiser(Net()), shape, [1, 2], parampi.sigmas.vp_linear(8), DDPM(), ParaSolver())
conditioned = parampi.sample(conditional, shape, range(4), karras(8), condition=condition)
listed = parampi.sample(plain, shape, 4, [10.0, 1.0, 0.0])
exact = parampi.sample(PROBLEMS["gmm64"](), shape, 4, karras(8), solver=Spectral(basis=make_basis("fourier", shape)))
assert first.fields is not None
print(first.fields.shape, first.report.summary(), first.members)
kinds: list[type] = [ClassifierFree, Conditioned, DiffusionPosterior, parampi.errors.ConfigError, parampi.registry.Registry]
grid: Tensor = parampi.sigmas.karras(8)
"""
WRONG = """
import parampi
from parampi.sigmas import karras

parampi.sample("net.py", (1, 8, 8), 4, karras("8"))
"""


@pytest.mark.slow
def test_a_users_script_passes_and_a_wrong_one_does_not(tmp_path):
    """In one process, which keeps nothing for a second: most of its time goes into torch."""
    scripts = {"right.py": SCRIPT, "wrong.py": WRONG}
    for name, script in scripts.items():
        (tmp_path / name).write_text(script)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={os.devnull}", *scripts]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    report = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600).stdout
    assert "right.py" not in report and "Found 2 errors in 1 file (checked 2 source files)" in report, report
    assert 'has incompatible type "str"' in report, report
