"""The engine that a solver runs on."""

from parampi.engine.base import Engine
from parampi.engine.blocks import BlockEngine
from parampi.engine.lead_relay import LeadRelay
from parampi.engine.options import EngineOptions
from parampi.engine.problem import SamplingProblem
from parampi.engine.windows import WindowEngine
from parampi.parallel import Group
from parampi.solvers import Solver

USUAL = EngineOptions()


def engine_for(problem: SamplingProblem, solver: Solver, group: Group, options: EngineOptions = USUAL) -> Engine:
    """Return an engine of windows that slide, or of blocks for a solver that steps through them one by one (`wavefront`); in a
    roll-out such a solver goes from one lead time to the next."""
    if not solver.wavefront:
        return WindowEngine(problem, solver, group, options)
    return (LeadRelay if problem.leads else BlockEngine)(problem, solver, group, options)
