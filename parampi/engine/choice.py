"""The engine that a solver runs on."""

from parampi.engine.alternating import AlternatingHalves
from parampi.engine.base import Engine, RoundEngine
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
    roll-out such a solver goes from one lead time to the next. Where rounds overlap, of several members, one of two halves."""
    if solver.wavefront and problem.leads:
        return LeadRelay(problem, solver, group, options)
    kind: type[WindowEngine] | type[BlockEngine] = BlockEngine if solver.wavefront else WindowEngine

    def make(part: SamplingProblem, own: EngineOptions) -> RoundEngine:
        return kind(part, solver, group, own)

    overlaps = options.overlap and len(problem.members) > 1
    return AlternatingHalves(problem, group, options, make) if overlaps else make(problem, options)
