"""Solvers: how a window of points is iterated until it agrees. The names below are what configurations use."""

from parampi.solvers.base import SOLVERS, AffineSteps, Solver, register
from parampi.solvers.picard import Picard
from parampi.solvers.serial import Serial
from parampi.solvers.stop import StopRule, Verdict

__all__ = ["SOLVERS", "AffineSteps", "Picard", "Serial", "Solver", "StopRule", "Verdict", "register"]
