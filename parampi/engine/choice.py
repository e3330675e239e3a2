"""The engine that a solver runs on."""

from parampi.engine.base import Engine, EngineOptions
from parampi.engine.blocks import BlockEngine
from parampi.engine.problem import SamplingProblem
from parampi.engine.windows import WindowEngine
from parampi.parallel import Group
from parampi.solvers import Solver

USUAL = EngineOptions()


def engine_for(problem: SamplingProblem, solver: Solver, group: Group, options: EngineOptions = USUAL) -> Engine:
    """Return an engine of windows that slide, or of blocks for a solver that steps through them one by one (`wavefront`)."""
    return (BlockEngine if solver.wavefront else WindowEngine)(problem, solver, group, options)
