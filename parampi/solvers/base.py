"""What a solver is: a linear model, a first guess, the way windows move and when they may; and a registry of them."""

from typing import ClassVar

import torch
from torch import Tensor

from parampi.errors import ConfigError
from parampi.registry import Registry
from parampi.samplers import StepMap
from parampi.samplers.collocation import CollocationMap
from parampi.solvers.linear_models import Guess, LinearModel, gaussian_guess, gaussian_response
from parampi.solvers.stop_rules import Rule, StopRule
from parampi.solvers.sweep import Iteration, LinearSweeps


class Solver:
    """How the points of a window are iterated. A solver never sees MPI; one sweep is

        x_new[i+1] = F_i(x_old) + sum_l A[i,l] (x_new[i-l] - x_old[i-l])

    and its fixed point, the serial sampler's trajectory, does not depend on `A`. Solvers are frozen dataclasses, whose fields
    are options; this class has what most of them share, and a new one overrides what it does differently.
    """

    wavefront: ClassVar[bool] = False
    """Whether blocks are solved step by step, as a front that runs through them, rather than swept."""
    two_sided: ClassVar[bool] = False
    """Whether it also solves steps that read later points, those of `Collocation`."""

    def bind(self, shape: tuple[int, ...], sigma_data: float) -> "Solver":
        """The solver for fields of this shape, with what it needs to know of them; the engine calls this first."""
        return self

    def check(self, step_map: StepMap, shape: tuple[int, ...]) -> None:
        """ConfigError, with the reason, for a sampler or fields that the solver is not defined for."""

    def window(self, requested: int | None, step_map: StepMap) -> int:
        """Most points swept together."""
        return check_window(requested, step_map.steps)

    def ends(self, requested: int | None, step_map: StepMap) -> Tensor | None:
        """Ends of the blocks, points that a window does not reach beyond; None for a window that slides freely."""
        return None

    def model(self, step_map: StepMap, sigma_data: float) -> LinearModel:
        """The linear model of the steps; unless a solver says otherwise, theirs for Gaussian data of variance sigma_data^2."""
        return LinearModel.of(step_map, gaussian_response(step_map, sigma_data))

    def first_guess(self, step_map: StepMap, sigma_data: float) -> Guess:
        """How a point that enters the window is guessed from the points before it, without a network call."""
        return gaussian_guess(step_map, sigma_data)

    def rule(self, step_map: StepMap, sigma_data: float, tolerance: float) -> Rule:
        """What accepts points."""
        return StopRule.of(step_map, self.model(step_map, sigma_data).slopes, sigma_data, tolerance)

    def iteration(self, step_map: StepMap, sigma_data: float) -> Iteration:
        """How a sweep makes new states; one object per run, with what it remembers between sweeps."""
        return LinearSweeps()


SOLVERS = Registry("solver")
register = SOLVERS.register
lookup = SOLVERS.lookup
alias = SOLVERS.alias


def check_solver(solver: Solver, step_map: StepMap, shape: tuple[int, ...]) -> None:
    """ConfigError, with the reason, for a solver that is not defined for a sampler's steps or for fields of this shape."""
    if isinstance(step_map, CollocationMap) and not solver.two_sided:
        raise ConfigError(
            f"Collocation's steps read points on both sides, which {type(solver).__name__} cannot solve; take the solver "
            f"Spectral (solver: {{name: spectral}})"
        )
    solver.check(step_map, shape)


def check_window(requested: int | None, steps: int) -> int:
    """The number of points of a window: all of them for None; ConfigError unless it is positive."""
    if requested is not None and requested < 1:
        raise ConfigError(f"window = {requested} has no points; give at least 1, or null for all {steps} points at once")
    return min(requested or steps, steps)


def check_choices(solver: object, choices: dict[str, tuple[str, ...]]) -> None:
    """ConfigError for an option whose value is not among its choices."""
    for option, allowed in choices.items():
        given = getattr(solver, option)
        if given not in allowed:
            names = ", ".join(map(repr, allowed))
            raise ConfigError(f"{type(solver).__name__}'s {option} = {given!r} is not one of {names}")


def equal_blocks(size: int, steps: int) -> Tensor:
    """Ends of blocks of `size` points, the last one as long as what is left."""
    return torch.cat([torch.arange(size, steps, size), torch.tensor([steps])])
