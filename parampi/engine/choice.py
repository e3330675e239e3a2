"""The engine that a solver runs on."""

from parampi.engine.blocks import Wavefront
from parampi.engine.history import Watch
from parampi.engine.problem import SamplingProblem
from parampi.engine.windows import Engine
from parampi.parallel import Group, Mode
from parampi.solvers import Solver


def engine_for(
    chain: SamplingProblem, solver: Solver, group: Group, window: int | None = None, tolerance: float = 1e-3,
    mode: Mode = "fast", watch: Watch | None = None,
) -> Engine | Wavefront:  # fmt: skip
    """Windows that are swept, or for a solver that solves blocks step by step (`wavefront`) a front that runs through them."""
    kind = Wavefront if solver.wavefront else Engine
    return kind(chain, solver, group, window, tolerance, mode, watch)
