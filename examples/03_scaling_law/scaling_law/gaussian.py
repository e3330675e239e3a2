"""What Gaussian data need, exactly."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from parampi.diffusion import block_grid
from parampi.solvers import piadm_parameters
from scaling_law.path import path_divergence, start_divergence, swept_path_divergence
from scaling_law.problems import PROBLEMS, Modes
from scaling_law.rows import WINDOWS, Case, Row, needed
from scaling_law.search import (
    EARLY_STOP,
    START_SHARE,
    STEPS_SHARE,
    Plan,
    bisected,
    block_sweeps,
    both_sweeps,
    finest,
    first_settled,
    horizon_for,
    least_count,
    level,
)
from scaling_law.steps import ddim_steps

COARSE, FINE = 32, 1024
"""Steps per block with which sweeps are counted for whole paths, and most steps per block that are summed for them."""


def gaussian_rows(name: str, dim: int, tolerance: float) -> Iterator[Row]:
    """All methods for one of PROBLEMS."""
    problem, kinds = PROBLEMS[name](dim), ("sde", "ode")
    for case in (Case(name, kind, dim, tolerance) for kind in kinds):
        horizon = horizon_for(problem, case.target, case.stochastic)
        blocks = math.ceil(horizon)
        yield piadm_row(case, problem, horizon, blocks)
        yield replace(piadm_row(case, problem, horizon, 1), method="PIADM, one block")
        yield from window_rows(case, problem, horizon, blocks)
        yield from serial_rows(case, problem, horizon, blocks)
    if name == "spectrum":
        yield path_row(Case(name, "sde", dim, tolerance), problem)


def piadm_row(case: Case, problem: Modes, horizon: float, blocks: int) -> Row:
    """PIADM with a number of blocks, with the fewest steps and then the fewest sweeps."""
    plan = finest(problem, case.target, case.stochastic, horizon, blocks, corrector=not case.stochastic)
    if case.stochastic:
        sweeps, divergence = needed(block_sweeps(plan, case.target))
        return case.row("PIADM", plan, sweeps * blocks, plan.points, sweeps, 0, divergence)
    sweeps, corrector_sweeps, divergence = needed(both_sweeps(plan, case.target))
    points, rounds = max(plan.points, plan.langevin.steps), (sweeps + corrector_sweeps) * blocks
    return case.row("PIADM", plan, rounds, points, sweeps, corrector_sweeps, divergence)


def window_rows(case: Case, problem: Modes, horizon: float, blocks: int) -> Iterator[Row]:
    """Picard over all points of the exponential integrator's grid at once."""
    plan = finest(problem, case.target, case.stochastic, horizon, blocks)
    for method, model in WINDOWS.items():
        sweeps, divergence = needed(first_settled(plan.window(model), case.target))
        yield case.row(method, plan, sweeps, plan.steps.steps, sweeps, 0, divergence)


def serial_rows(case: Case, problem: Modes, horizon: float, blocks: int) -> Iterator[Row]:
    """Serial samplers, which spend the share of the sweeps on longer steps."""
    whole = case.target / STEPS_SHARE
    plan = finest(problem, whole, case.stochastic, horizon, blocks)
    yield case.row("serial", plan, plan.steps.steps, 1, divergence=plan.serial())
    plan = finest(problem, whole, case.stochastic, horizon, blocks, step=ddim_steps)
    name = "serial DDPM" if case.stochastic else "serial DDIM"
    yield case.row(name, plan, plan.steps.steps, 1, divergence=plan.serial())


def theorem_rows(dim: int, tolerance: float) -> Iterator[Row]:
    """The theorem's formulas with all constants 1, for whatever problem."""
    kinds: tuple[Literal["sde"], Literal["ode"]] = ("sde", "ode")
    for kind in kinds:
        p = piadm_parameters(dim, tolerance, kind, early_stop=EARLY_STOP)
        again = p.corrector.sweeps if p.corrector else 0
        yield Row("any", kind, "theorem, constants 1", dim, p.rounds, p.points, p.stored_states, p.horizon, p.blocks,
                  p.steps_per_block, p.sweeps, again, None, None)  # fmt: skip


def path_row(case: Case, problem: Modes) -> Row:
    """PIADM-SDE in blocks of length 1 at most, for the divergence of the law of all points together.

    The steps' part is summed up to FINE steps per block; beyond, it is taken to fall as one over their number, which is right
    to a relative 1e-3. Sweeps are counted with COARSE steps per block: what sweeps leave is that of the continuous process.
    """
    horizon = bisected(lambda time: start_part(problem, time) <= START_SHARE * case.target, 0.5, 100.0)
    blocks = math.ceil(horizon)
    plan, coarse = (Plan(problem, True, horizon, blocks, steps) for steps in (FINE, COARSE))
    steps = least_count(lambda n: steps_part(plan, n) <= STEPS_SHARE * case.target)
    serial = path_divergence(coarse.steps, problem)

    def meets(sweeps: int) -> bool:
        left = swept_path_divergence(coarse.steps, coarse.grid.ends, problem, sweeps) - serial
        return left <= (1 - STEPS_SHARE) * case.target

    sweeps, plan = least_count(meets), replace(plan, steps_per_block=steps)
    last = len(block_grid(1, steps, horizon / blocks, EARLY_STOP).sigmas) - 1
    return case.row("PIADM, whole path", plan, sweeps * blocks, max(last, steps), sweeps)


def start_part(problem: Modes, time: float) -> float:
    return float(problem.divergence(*problem.start(level(time)), level(time)))


def steps_part(plan: Plan, steps_per_block: int) -> float:
    """Divergence of the serial sampler's path, with its start, by as many steps per block."""
    summed = replace(plan, steps_per_block=min(steps_per_block, plan.steps_per_block))
    start = start_divergence(summed.steps, plan.problem)
    return start + (path_divergence(summed.steps, plan.problem) - start) * summed.steps_per_block / steps_per_block
