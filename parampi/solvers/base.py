"""Solvers: a linear model, a first guess, how windows move, and when points are accepted; and their registry."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from parampi.errors import ConfigError, blamed
from parampi.registry import Registry, require_object
from parampi.samplers import Equations, StepMap
from parampi.solvers.linear_models import Guess, LinearModel, gaussian_guess, gaussian_response
from parampi.solvers.linear_sweeps import LinearSweeps
from parampi.solvers.stop_rules import Rule, StopRule
from parampi.solvers.sweep import Iteration


class Solver:
    """Base of the solvers, which iterate the points of a window. A solver never sees MPI; one sweep is

        x_new[i+1] = F_i(x_old) + sum_l A[i,l] (x_new[i-l] - x_old[i-l])

    and its fixed point, the serial sampler's trajectory, does not depend on `A`. Solvers are frozen dataclasses, whose fields
    are options; this class has what most of them share, and a new one overrides what it does differently.
    """

    wavefront: ClassVar[bool] = False
    """Whether blocks are solved step by step, as a front that runs through them, rather than swept."""
    solves: ClassVar[tuple[type[Equations], ...]] = (StepMap,)
    """Kinds of equations that the solver solves; those that are no `StepMap` read later points too, as `Collocation`'s do."""

    def bind(self, shape: tuple[int, ...], sigma_data: float) -> "Solver":
        """Return the solver for fields of this shape, with what it needs to know of them; the engine calls this first."""
        return self

    def check(self, equations: Equations, shape: tuple[int, ...], window: int | None = None) -> None:
        """Raise ConfigError, with the reason, for a sampler, fields or a window that the solver is not defined for."""

    def window(self, requested: int | None, equations: Equations) -> int:
        """Return how many points are swept at once, at most."""
        return check_window(requested, equations.steps)

    def ends(self, requested: int | None, equations: Equations) -> Tensor | None:
        """Return the ends of the blocks, points that a window does not reach beyond; None for a window that slides freely."""
        return None

    def model(self, step_map: StepMap, sigma_data: float) -> LinearModel:
        """Return the linear model of the steps; by default their own slopes for Gaussian data of variance sigma_data^2."""
        return LinearModel.of(step_map, gaussian_response(step_map, sigma_data))

    def first_guess(self, step_map: StepMap, sigma_data: float) -> Guess:
        """Return how points that enter the window are guessed from the points before them, without a network call."""
        return gaussian_guess(step_map, sigma_data)

    def rule(self, equations: Equations, sigma_data: float, tolerance: float) -> Rule:
        """Return the rule that accepts points."""
        step_map = equations.step_map
        return StopRule.of(step_map, self.model(step_map, sigma_data).slopes, sigma_data, tolerance)

    def iteration(self, equations: Equations, sigma_data: float) -> Iteration:
        """Return the object that makes new states in each sweep of one run, with what it keeps between sweeps."""
        return LinearSweeps()


SOLVERS = Registry("solver")
register = SOLVERS.register
lookup = SOLVERS.lookup
alias = SOLVERS.alias


def check_solver_type(solver: Any) -> Solver:
    """Return a solver. Raises ConfigError, with what to give instead, for what is none: a class, a name, a sampler."""
    give = require_object("solver", solver, "parampi.solvers.Picard()")
    if not isinstance(solver, Solver):
        raise ConfigError(f"solver = {solver!r} is no solver, which derives from parampi.solvers.Solver; {give}")
    return solver


def check_solver(solver: Solver, equations: Equations, shape: tuple[int, ...], window: int | None) -> None:
    """Raise ConfigError, with the reason, for a solver that does not solve a sampler's equations, fields of this shape, or in
    this window."""
    if not isinstance(equations, solver.solves):
        raise ConfigError(equations.refusal.format(solver=type(solver).__name__))
    with blamed(type(solver).__name__):
        solver.check(equations, shape, window)
        solver.window(window, equations)


def check_bound(solver: Solver, shape: tuple[int, ...], sigma_data: float) -> None:
    """Raise UserError for a solver whose basis or files do not fit fields of this shape."""
    with blamed(type(solver).__name__):
        solver.bind(shape, sigma_data)


def check_window(requested: int | None, steps: int) -> int:
    """Return the number of points of a window: all of them for None. Raises ConfigError unless it is positive."""
    if requested is not None and requested < 1:
        raise ConfigError(f"window = {requested} has no points; give at least 1, or null for all {steps} points at once")
    return min(requested or steps, steps)


def check_choices(solver: object, choices: dict[str, tuple[str, ...]]) -> None:
    """Raise ConfigError for an option whose value is not among its choices."""
    for option, allowed in choices.items():
        value = getattr(solver, option)
        if value not in allowed:
            names = ", ".join(map(repr, allowed))
            raise ConfigError(f"{type(solver).__name__}'s {option} = {value!r} is not one of {names}")


def equal_blocks(size: int, steps: int) -> Tensor:
    """Return the ends (B,) of blocks of `size` points; the last block has the points that remain."""
    return torch.cat([torch.arange(size, steps, size), torch.tensor([steps])])
