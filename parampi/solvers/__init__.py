"""Solvers: how a window of points is iterated until it agrees. The names below are what configurations use."""

from parampi.solvers.base import SOLVERS, Solver, check_solver, register
from parampi.solvers.models import Guess, LinearModel
from parampi.solvers.newton import Newton
from parampi.solvers.parareal import Parareal
from parampi.solvers.parasolver import ParaSolver
from parampi.solvers.parataa import ParaTAA
from parampi.solvers.piadm import PIADM
from parampi.solvers.picard import Picard
from parampi.solvers.serial import Serial
from parampi.solvers.spectral import Spectral
from parampi.solvers.stop import FixedSweeps, Rule, StopRule, Verdict
from parampi.solvers.sweep import Entry, Iteration, LinearSweeps, Sweep, answered
from parampi.solvers.theorem import Corrector, PIADMParameters, piadm_parameters

__all__ = [
    "PIADM", "SOLVERS", "Corrector", "Entry", "FixedSweeps", "Guess", "Iteration", "LinearModel", "LinearSweeps", "Newton",
    "PIADMParameters", "ParaSolver", "ParaTAA", "Parareal", "Picard", "Rule", "Serial", "Solver", "Spectral", "StopRule",
    "Sweep", "Verdict", "answered", "check_solver", "piadm_parameters", "register",
]  # fmt: skip
