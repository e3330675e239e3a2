"""Solvers: how a window of points is iterated until it agrees. The names below are what configurations use."""

from parampi.solvers.base import SOLVERS, Solver, alias, check_bound, check_solver, check_solver_type, lookup, register
from parampi.solvers.linear_models import Guess, LinearModel
from parampi.solvers.linear_sweeps import LinearSweeps, linear_correction
from parampi.solvers.newton import Newton
from parampi.solvers.parareal import Parareal
from parampi.solvers.parataa import ParaTAA
from parampi.solvers.piadm import PIADM
from parampi.solvers.piadm_parameters import Corrector, PIADMParameters, piadm_parameters
from parampi.solvers.picard import ParaSolver, Picard
from parampi.solvers.serial import Serial
from parampi.solvers.share_rule.rule import ShareRule
from parampi.solvers.spectral.solver import Spectral
from parampi.solvers.stop_rules import FixedSweeps, RoundMeasures, Rule, StopRule, Verdict
from parampi.solvers.sweep import GuessContext, Iteration, Sweep

__all__ = [
    "PIADM",
    "SOLVERS",
    "Corrector",
    "FixedSweeps",
    "Guess",
    "GuessContext",
    "Iteration",
    "LinearModel",
    "LinearSweeps",
    "Newton",
    "PIADMParameters",
    "ParaSolver",
    "ParaTAA",
    "Parareal",
    "Picard",
    "RoundMeasures",
    "Rule",
    "Serial",
    "ShareRule",
    "Solver",
    "Spectral",
    "StopRule",
    "Sweep",
    "Verdict",
    "alias",
    "check_bound",
    "check_solver",
    "check_solver_type",
    "linear_correction",
    "lookup",
    "piadm_parameters",
    "register",
]  # fmt: skip
