"""Solvers: how a window of points is iterated until it agrees. The names below are what configurations use."""

from parampi.solvers.base import SOLVERS, Solver, register
from parampi.solvers.models import Guess, LinearModel
from parampi.solvers.newton import Newton
from parampi.solvers.parasolver import ParaSolver
from parampi.solvers.parataa import ParaTAA
from parampi.solvers.piadm import PIADM
from parampi.solvers.picard import Picard
from parampi.solvers.serial import Serial
from parampi.solvers.stop import FixedSweeps, Rule, StopRule, Verdict
from parampi.solvers.sweep import Entry, Iteration, LinearSweeps, Sweep, answered

__all__ = [
    "PIADM", "SOLVERS", "Entry", "FixedSweeps", "Guess", "Iteration", "LinearModel", "LinearSweeps", "Newton", "ParaSolver",
    "ParaTAA", "Picard", "Rule", "Serial", "Solver", "StopRule", "Sweep", "Verdict", "answered", "register",
]  # fmt: skip
