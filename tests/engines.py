"""Engines for tests: one process, closed-form problems. In bitwise mode; `fast_engine` for tolerances, in the mode that runs
have by default, which takes a fraction of the time."""

from functools import partial

import torch
from torch import Tensor

from parampi import sigmas
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import FieldMixture, Gaussian, GaussianMixture
from parampi.engine import Engine, EngineOptions, SamplingProblem, engine_for
from parampi.parallel import Mode, SerialGroup
from parampi.samplers import SAMPLERS, Sampler
from parampi.solvers import Serial, Solver

GAUSSIAN = Gaussian(torch.linspace(-1, 1, 12, dtype=torch.float64).view(1, 3, 4), 0.3)
MIXTURE = GaussianMixture()
FIELDS = FieldMixture(n=16)
REGIMES = FieldMixture(n=16, components=3)
CAUSAL = {name: kind for name, kind in SAMPLERS.distinct().items() if kind().steps(sigmas.vp_linear(10)).causal}
"""Samplers that can be run one step after another."""


def chain(
    problem, sampler: Sampler, grid: Tensor, members=3, mode: Mode = "bitwise", seed=0, dtype=torch.float64
) -> SamplingProblem:
    """`members` is a number of members or a list of their numbers."""
    numbers = torch.arange(members) if isinstance(members, int) else torch.tensor(members)
    network = BatchedDenoiser(problem, padded=mode == "bitwise")
    return SamplingProblem(network, sampler.steps(grid), numbers, problem.shape, seed, problem.sigma_data, dtype)


def engine(
    chain: SamplingProblem, solver: Solver, window: int | None = None, tolerance=1e-3, mode: Mode = "bitwise", group=None
) -> Engine:
    return engine_for(chain, solver, group or SerialGroup(), EngineOptions(window, tolerance, mode))


fast_chain, fast_engine = partial(chain, mode="fast"), partial(engine, mode="fast")


def trajectory(chain: SamplingProblem, mode: Mode = "bitwise") -> Tensor:
    """All states (N + 1, m, *shape) of the serial solver."""
    serial = engine(chain, Serial(), mode=mode)
    states = [serial.result.clone()]
    while not serial.finished:
        serial.advance()
        states.append(serial.result.clone())
    return torch.stack(states)


def relative_errors(fields: Tensor, reference: Tensor) -> Tensor:
    """Relative L2 errors (m,) of fields (m, *shape)."""
    return (fields - reference).flatten(1).norm(dim=1) / reference.flatten(1).norm(dim=1)


def swept(engine: Engine) -> Tensor:
    """Evaluate and sweep without a verdict; returns what that showed, (2 + E, position, m)."""
    return torch.from_numpy(engine.step(engine.evaluate(engine.collect())))


def states(engine: Engine) -> Tensor:
    """States (n + 1, m, *shape) of the windows of an engine on one rank, from the frozen points on."""
    return engine.slice.window.x[engine.slice.window.taps - 1 :]
