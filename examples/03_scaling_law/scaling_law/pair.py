"""What the mixture needs: exact across the means, estimated along them."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from scaling_law.mixture import Draws, Pair
from scaling_law.rows import WINDOWS, Case, Row, needed
from scaling_law.search import (
    SETTLED,
    START_SHARE,
    STEPS_SHARE,
    Plan,
    bisected,
    block_sweeps,
    both_sweeps,
    finest,
    first_settled,
    interleaved,
)
from scaling_law.sweeps import Model


def mixture_rows(dim: int, tolerance: float) -> Iterator[Row]:
    """All methods for a pair of components. The plans are of the axes across, which know nothing of the one along."""
    pair, kinds = Pair(dim), ("sde", "ode")
    draws = Draws(pair)
    for case in (Case("mixture", kind, dim, tolerance) for kind in kinds):
        plan = pair_plan(pair, case, STEPS_SHARE)
        yield blocked_row(case, plan, draws)
        yield replace(blocked_row(case, pair_plan(pair, case, STEPS_SHARE, 1), draws), method="PIADM, one block")
        for method, model in WINDOWS.items():
            yield window_row(case, method, plan, draws, model)
        yield serial_row(case, pair_plan(pair, case, 1.0), draws)


def pair_plan(pair: Pair, case: Case, share: float, blocks: int | None = None) -> Plan:
    """Horizon for the start's share of the mixture itself, steps for one component from its own start.

    Start and steps together have that share of the divergence; blocks are of length 1 at most unless their number is given.
    """
    horizon = bisected(lambda time: pair.start_divergence(time) <= START_SHARE * case.target, 0.5, 100.0)
    blocks, left = blocks or math.ceil(horizon), (share - START_SHARE) / STEPS_SHARE * case.target
    corrector = not case.stochastic and share < 1
    component = finest(pair.component, left, case.stochastic, horizon, blocks, corrector)
    return Plan(pair.across, case.stochastic, horizon, blocks, component.steps_per_block)


def serial_row(case: Case, plan: Plan, draws: Draws) -> Row:
    """The serial sampler, with more steps where the axis along needs them."""
    while True:
        across, along = plan.serial(), draws.serial(plan.steps)
        if across + along <= case.target:
            return case.row("serial", plan, plan.steps.steps, 1, divergence=across + along, estimated=along)
        plan = replace(plan, steps_per_block=math.ceil(1.05 * plan.steps_per_block))


def blocked_row(case: Case, plan: Plan, draws: Draws) -> Row:
    """PIADM with the fewest sweeps of the axes across, or as many more as the axis along needs."""
    if case.stochastic:
        (sweeps, _), again, langevin = needed(block_sweeps(plan, case.target)), 0, None
    else:
        (sweeps, again, _), langevin = needed(both_sweeps(plan, case.target)), plan.langevin
    while True:
        across, along = across_divergence(plan, sweeps, again), draws.blocks(plan.parts, sweeps, langevin, again)
        if across + along <= case.target:
            break
        sweeps += 1
    points = max(plan.points, langevin.steps if langevin else 0)
    return case.row("PIADM", plan, (sweeps + again) * plan.blocks, points, sweeps, again, across + along, along)


def across_divergence(plan: Plan, sweeps: int, corrector_sweeps: int) -> float:
    maps = next(islice(plan.sweeps(), sweeps - 1, None))
    if not corrector_sweeps:
        return plan.divergence(maps)
    return plan.divergence(interleaved(maps, [next(islice(c, corrector_sweeps - 1, None)) for c in plan.correctors()]))


def window_row(case: Case, method: str, plan: Plan, draws: Draws, model: Model) -> Row:
    """Picard over all points at once, in windows of growing numbers of sweeps."""
    most = 16
    while True:
        along = draws.window(plan.steps, model, most)
        both = (across + estimated for across, estimated in zip(plan.window(model), along, strict=False))
        found = first_settled(both, case.target, most - SETTLED)
        if found is not None:
            sweeps, divergence = found
            return case.row(method, plan, sweeps, plan.steps.steps, sweeps, 0, divergence, along[sweeps - 1])
        most *= 2
