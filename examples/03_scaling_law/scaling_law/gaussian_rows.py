"""The rows of Gaussian data, exactly, and those of the theorem's formulas."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from parampi.diffusion import block_grid
from parampi.solvers import piadm_parameters
from scaling_law.path import path_divergence, start_divergence, swept_path_divergence
from scaling_law.plan import EARLY_STOP, BlockPlan, noise_level
from scaling_law.problems import PROBLEMS, GaussianAxes
from scaling_law.rows import KINDS, WINDOW_MODELS, ScalingCase, ScalingRow, require
from scaling_law.search import (
    START_SHARE,
    STEPS_SHARE,
    bisect,
    fewest_steps,
    find_horizon,
    least_count,
    predictor_and_corrector_sweeps,
    predictor_sweeps,
    settled_sweeps,
)
from scaling_law.steps import ddim_steps, exponential_steps

COARSE, FINE = 32, 1024
"""Steps per block with which sweeps are counted for whole paths, and most steps per block that are summed for them."""


def gaussian_rows(name: str, dim: int, tolerance: float) -> Iterator[ScalingRow]:
    """Yield the rows of all methods for one of PROBLEMS."""
    problem = PROBLEMS[name](dim)
    for case in (ScalingCase(name, kind, dim, tolerance) for kind in KINDS):
        horizon = find_horizon(problem, case.target, case.stochastic)
        blocks = math.ceil(horizon)
        yield piadm_row(case, problem, horizon, blocks)
        yield replace(piadm_row(case, problem, horizon, 1), method="PIADM, one block")
        yield from window_rows(case, problem, horizon, blocks)
        yield from serial_rows(case, problem, horizon, blocks)
    if name == "spectrum":
        yield path_row(ScalingCase(name, "sde", dim, tolerance), problem)


def piadm_row(case: ScalingCase, problem: GaussianAxes, horizon: float, blocks: int) -> ScalingRow:
    """Return PIADM's row for a number of blocks, with the fewest steps and then the fewest sweeps."""
    plan = fewest_steps(problem, case.target, case.stochastic, horizon, blocks, corrector=not case.stochastic)
    if case.stochastic:
        sweeps, divergence = require(predictor_sweeps(plan, case.target))
        return case.row("PIADM", plan, rounds=sweeps * blocks, points=plan.points, sweeps=sweeps, divergence=divergence)
    sweeps, corrector_sweeps, divergence = require(predictor_and_corrector_sweeps(plan, case.target))
    return case.row(
        "PIADM", plan, rounds=(sweeps + corrector_sweeps) * blocks, points=max(plan.points, plan.langevin.steps),
        sweeps=sweeps, corrector_sweeps=corrector_sweeps, divergence=divergence,
    )  # fmt: skip


def window_rows(case: ScalingCase, problem: GaussianAxes, horizon: float, blocks: int) -> Iterator[ScalingRow]:
    """Yield the rows of Picard and ParaDiGMS over all points of the exponential integrator's grid at once."""
    plan = fewest_steps(problem, case.target, case.stochastic, horizon, blocks)
    for method, model in WINDOW_MODELS.items():
        sweeps, divergence = require(settled_sweeps(plan.window_divergences(model), case.target))
        yield case.row(method, plan, rounds=sweeps, points=plan.steps.steps, sweeps=sweeps, divergence=divergence)


def serial_rows(case: ScalingCase, problem: GaussianAxes, horizon: float, blocks: int) -> Iterator[ScalingRow]:
    """Yield the rows of serial samplers, which spend the share of the sweeps on longer steps."""
    factories = {"serial": exponential_steps, "serial DDPM" if case.stochastic else "serial DDIM": ddim_steps}
    for method, factory in factories.items():
        target = case.target / STEPS_SHARE
        plan = fewest_steps(problem, target, case.stochastic, horizon, blocks, step_factory=factory)
        yield case.row(method, plan, rounds=plan.steps.steps, points=1, divergence=plan.serial_divergence())


def theorem_rows(dim: int, tolerance: float) -> Iterator[ScalingRow]:
    """Yield the rows of the theorem's formulas with all constants 1, which hold for any problem."""
    kinds: tuple[Literal["sde"], Literal["ode"]] = ("sde", "ode")
    for kind in kinds:
        p = piadm_parameters(dim, tolerance, kind, early_stop=EARLY_STOP)
        corrector_sweeps = p.corrector.sweeps if p.corrector else 0
        yield ScalingRow(
            "any", kind, "theorem, constants 1", dim, p.rounds, p.points, p.stored_states, p.horizon, p.blocks,
            p.steps_per_block, p.sweeps, corrector_sweeps, None, None,
        )  # fmt: skip


def path_row(case: ScalingCase, problem: GaussianAxes) -> ScalingRow:
    """Return the row of PIADM-SDE for the divergence of the joint law of all points, in blocks of length 1 at most.

    The steps' part is summed up to FINE steps per block; beyond, it is taken to fall as one over their number, which is right
    to a relative 1e-3. Sweeps are counted with COARSE steps per block: the sweeps' part is that of the continuous process.
    """

    def start_fits(time: float) -> bool:
        return start_divergence(problem, noise_level(time)) <= START_SHARE * case.target

    horizon = bisect(start_fits, 0.5, 100.0)
    blocks = math.ceil(horizon)
    fine, coarse = (BlockPlan(problem, True, horizon, blocks, steps) for steps in (FINE, COARSE))
    steps = least_count(lambda count: steps_part(fine, count) <= STEPS_SHARE * case.target)
    serial = path_divergence(coarse.steps, problem)

    def sweeps_fit(sweeps: int) -> bool:
        swept = swept_path_divergence(coarse.steps, coarse.grid.ends, problem, sweeps)
        return swept - serial <= (1 - STEPS_SHARE) * case.target

    sweeps, plan = least_count(sweeps_fit), replace(fine, steps_per_block=steps)
    # the last block is the longest; the grid of all blocks would not fit into memory
    last_block = len(block_grid(1, steps, horizon / blocks, EARLY_STOP).sigmas) - 1
    return case.row("PIADM, whole path", plan, rounds=sweeps * blocks, points=max(last_block, steps), sweeps=sweeps)


def steps_part(plan: BlockPlan, steps_per_block: int) -> float:
    """Return the divergence of the serial sampler's path, with its start, for a number of steps per block."""
    summed = replace(plan, steps_per_block=min(steps_per_block, plan.steps_per_block))
    start = start_divergence(plan.problem, float(summed.steps.sigmas[0]))
    return start + (path_divergence(summed.steps, plan.problem) - start) * summed.steps_per_block / steps_per_block
