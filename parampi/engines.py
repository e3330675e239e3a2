"""The engine that a solver runs on."""

from parampi.account import Watch
from parampi.driver import Engine
from parampi.parallel import Group, Mode
from parampi.samplers.chain import Chain
from parampi.solvers import Solver
from parampi.wavefront import Wavefront


def engine_for(
    chain: Chain, solver: Solver, group: Group, window: int | None = None, tolerance: float = 1e-3,
    mode: Mode = "fast", watch: Watch | None = None,
) -> Engine | Wavefront:  # fmt: skip
    """Windows that are swept, or for a solver that solves blocks step by step (`wavefront`) a front that runs through them."""
    kind = Wavefront if solver.wavefront else Engine
    return kind(chain, solver, group, window, tolerance, mode, watch)
