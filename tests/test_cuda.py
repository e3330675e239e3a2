"""The engine on a GPU: the CPU's fields to rounding with every solver, roll-outs, bits, and ranks that share the GPU."""

import json
import os
import subprocess

import netCDF4
import pytest
import torch
from torch.testing import assert_close

import parampi
from parampi import sigmas
from parampi.samplers import DDIM, DDPM, Collocation, DPMpp2M, Heun
from parampi.solvers import PIADM, Newton, Parareal, ParaSolver, ParaTAA, Picard, Serial, Spectral
from tests import forecasts
from tests.ranks.launch import mpiexec

DEVICE = os.environ.get("PARAMPI_TEST_CUDA", "cuda")
"""`cpu` tries the tests themselves where there is no GPU."""
SHAPE = (2, 16, 16)
WIDTH = 0.3

pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no CUDA device")


class TwoModes:
    """E[x0 | x] where each value is +1 or -1, with a width, and neighbours push one another."""

    shape, sigma_data, dtype = SHAPE, 1.0, torch.float64

    def __init__(self, device):
        self.device = torch.device(device)

    def __call__(self, x, sigma):
        squares = sigma.view(-1, 1, 1, 1) ** 2
        share = WIDTH**2 / (WIDTH**2 + squares)
        pushed = x + 0.3 * x.roll(1, -1)
        return share * x + (1 - share) * torch.tanh(pushed / (WIDTH**2 + squares))


class Forecast:
    """The closed form of tests/forecasts.py, on a device."""

    dtype, sigma_data = torch.float64, 1.0

    def __init__(self, device):
        self.device = torch.device(device)

    def __call__(self, x, sigma, condition):
        assert x.device.type == condition.device.type == self.device.type
        return forecasts.denoise(x, sigma, condition)


def drawn(device, sampler, solver, **options):
    return parampi.sample(TwoModes(device), SHAPE, 3, sigmas.karras(16, 0.05, 10.0), sampler, solver, seed=4, **options)


def rolled(device, solver, **options):
    start = forecasts.starts(2).to(device)
    return parampi.rollout(
        Forecast(device), start, forecasts.SHAPE, 4, sigmas=forecasts.GRID, sampler=DDPM(), solver=solver,
        update=forecasts.update, condition=forecasts.condition, **options,
    )  # fmt: skip


def assert_same(found, expected):
    """Rounding may move a verdict at its edge, and then a state by far less than the tolerance."""
    assert_close(found.fields.cpu(), expected.fields, rtol=0, atol=1e-7)
    assert abs(found.report.rounds - expected.report.rounds) <= 1


SOLVERS = [
    Serial(),
    Picard(),
    Picard(advance="block"),
    ParaSolver(),
    ParaTAA(),
    PIADM(blocks=2),
    Parareal(),
    Newton(),
    Spectral(),
]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__ + getattr(s, "advance", ""))
@pytest.mark.parametrize("sampler", [DDIM(0.0), DDPM(), Heun(), DPMpp2M()], ids=lambda s: type(s).__name__)
def test_cuda_draws_the_fields_of_the_cpu(solver, sampler):
    try:
        expected = drawn("cpu", sampler, solver, tol=1e-8)
    except parampi.errors.ConfigError as refusal:
        pytest.skip(str(refusal))
    assert_same(drawn(DEVICE, sampler, solver, tol=1e-8), expected)


def test_cuda_draws_collocation():
    expected = drawn("cpu", Collocation(), Spectral(), tol=1e-8)
    assert_same(drawn(DEVICE, Collocation(), Spectral(), tol=1e-8), expected)


@pytest.mark.parametrize("solver", [Picard(), Spectral(), ParaTAA()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("options", [{"flight": 1}, {"flight": 2}, {"window": 7}], ids=str)
def test_cuda_rolls_out(solver, options):
    expected = rolled("cpu", solver, tol=1e-8, **options)
    assert_same(rolled(DEVICE, solver, tol=1e-8, **options), expected)


@pytest.mark.parametrize("solver", [Picard(), Spectral()], ids=lambda s: type(s).__name__)
def test_cuda_repeats_bits_whoever_is_in_the_batch(solver):
    both = drawn(DEVICE, DDPM(), solver, mode="bitwise", window=5, network_batch=4)
    again = drawn(DEVICE, DDPM(), solver, mode="bitwise", window=5, network_batch=4, batch=1)
    assert torch.equal(both.fields, again.fields)


def test_cuda_states_in_single_precision():
    expected = drawn("cpu", DDIM(0.0), Spectral(), tol=1e-8)
    found = drawn(DEVICE, DDIM(0.0), Spectral(), tol=1e-4, dtype=torch.float32)
    error = (found.fields.cpu().double() - expected.fields).norm() / expected.fields.norm()
    assert found.fields.dtype == torch.float32 and error < 1e-4


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("solver", ["picard", "spectral"])
def test_cuda_is_shared_by_ranks(ranks, solver, tmp_path):
    called("parampi", "init", "--directory", str(tmp_path / "project"))
    rounds, one = run(tmp_path, 1, solver)
    on_ranks, several = run(tmp_path, ranks, solver)
    assert abs(one - several).max() < 1e-3 * abs(one).max() and abs(rounds - on_ranks) <= 1


def run(folder, ranks, solver):
    """Run the small project of `parampi init` on ranks along time; return its rounds and fields."""
    output = folder / f"on{ranks}"
    overrides = [
        f"sampling.solver.name={solver}",
        f"output.directory={output}",
        f"parallel.device={DEVICE}",
    ]
    command = [mpiexec()[0], "-n", str(ranks), "parampi", "run", str(folder / "project" / "run.yaml"), *overrides]
    called(*command, f"parallel.time_ranks={ranks}")
    with netCDF4.Dataset(output / "ensemble.nc") as file:
        fields = next(v for v in file.variables.values() if v.dimensions[0] == "member" and v.ndim == 3)[:]
    return json.loads((output / "report.json").read_text())["rounds"], fields


def called(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
