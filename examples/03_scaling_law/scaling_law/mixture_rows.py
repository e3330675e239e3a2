"""The rows of the mixture: exact across its means, estimated along them."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from scaling_law.mixture import TwoGaussians
from scaling_law.mixture_draws import MixtureDraws
from scaling_law.plan import BlockPlan, interleave
from scaling_law.rows import KINDS, WINDOW_MODELS, ScalingCase, ScalingRow, require
from scaling_law.search import (
    SETTLED,
    START_SHARE,
    STEPS_SHARE,
    bisect,
    fewest_steps,
    predictor_and_corrector_sweeps,
    predictor_sweeps,
    settled_sweeps,
)
from scaling_law.sweeps import SlopeModel


def mixture_rows(dim: int, tolerance: float) -> Iterator[ScalingRow]:
    """Yield the rows of all methods. Plans are of the axes across, which are independent of the one along."""
    mixture = TwoGaussians(dim)
    draws = MixtureDraws(mixture)
    for case in (ScalingCase("mixture", kind, dim, tolerance) for kind in KINDS):
        plan = mixture_plan(mixture, case, STEPS_SHARE)
        yield block_row(case, plan, draws)
        yield replace(block_row(case, mixture_plan(mixture, case, STEPS_SHARE, 1), draws), method="PIADM, one block")
        for method, model in WINDOW_MODELS.items():
            yield window_row(case, method, plan, draws, model)
        yield serial_row(case, mixture_plan(mixture, case, 1.0), draws)


def mixture_plan(mixture: TwoGaussians, case: ScalingCase, share: float, blocks: int | None = None) -> BlockPlan:
    """Return the plan in which start and steps have a share of the divergence.

    The horizon is that of the mixture itself, the steps those of one component from its own start. Without a number of blocks
    they are of length 1 at most.
    """
    horizon = bisect(lambda time: mixture.start_divergence(time) <= START_SHARE * case.target, 0.5, 100.0)
    blocks, rest = blocks or math.ceil(horizon), (share - START_SHARE) / STEPS_SHARE * case.target
    corrector = not case.stochastic and share < 1
    component = fewest_steps(mixture.component, rest, case.stochastic, horizon, blocks, corrector=corrector)
    return BlockPlan(mixture.across, case.stochastic, horizon, blocks, component.steps_per_block)


def serial_row(case: ScalingCase, plan: BlockPlan, draws: MixtureDraws) -> ScalingRow:
    """Return the serial sampler's row, with more steps where the axis along needs them."""
    while True:
        across, along = plan.serial_divergence(), draws.serial_divergence(plan.steps)
        if across + along <= case.target:
            return case.row("serial", plan, rounds=plan.steps.steps, points=1, divergence=across + along, estimated=along)
        plan = replace(plan, steps_per_block=math.ceil(1.05 * plan.steps_per_block))


def block_row(case: ScalingCase, plan: BlockPlan, draws: MixtureDraws) -> ScalingRow:
    """Return PIADM's row with the fewest sweeps of the axes across, or as many more as the axis along needs."""
    if case.stochastic:
        (sweeps, _), corrector_sweeps, langevin = require(predictor_sweeps(plan, case.target)), 0, None
    else:
        sweeps, corrector_sweeps, _ = require(predictor_and_corrector_sweeps(plan, case.target))
        langevin = plan.langevin
    while True:
        across = across_divergence(plan, sweeps, corrector_sweeps)
        along = draws.block_divergence(plan.block_steps, sweeps, langevin, corrector_sweeps)
        if across + along <= case.target:
            break
        sweeps += 1
    return case.row(
        "PIADM", plan, rounds=(sweeps + corrector_sweeps) * plan.blocks,
        points=max(plan.points, langevin.steps if langevin else 0), sweeps=sweeps, corrector_sweeps=corrector_sweeps,
        divergence=across + along, estimated=along,
    )  # fmt: skip


def across_divergence(plan: BlockPlan, sweeps: int, corrector_sweeps: int) -> float:
    """Return the divergence of the axes across after these numbers of sweeps."""
    predictors = next(islice(plan.predictor_maps(), sweeps - 1, None))
    if not corrector_sweeps:
        return plan.divergence(predictors)
    correctors = [next(islice(maps, corrector_sweeps - 1, None)) for maps in plan.corrector_maps()]
    return plan.divergence(interleave(predictors, correctors))


def window_row(case: ScalingCase, method: str, plan: BlockPlan, draws: MixtureDraws, model: SlopeModel) -> ScalingRow:
    """Return the row of a solver that sweeps all points at once, trying more and more sweeps."""
    most = 16
    while True:
        along = draws.window_divergences(plan.steps, model, most)
        both = (across + estimate for across, estimate in zip(plan.window_divergences(model), along, strict=False))
        counts = settled_sweeps(both, case.target, most - SETTLED)
        if counts is not None:
            sweeps, divergence = counts
            return case.row(
                method, plan, rounds=sweeps, points=plan.steps.steps, sweeps=sweeps, divergence=divergence,
                estimated=along[sweeps - 1],
            )  # fmt: skip
        most *= 2
