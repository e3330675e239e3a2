"""The search for the cheapest parameters that meet a divergence: horizon, steps, then sweeps, each from its share of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from scaling_law.plan import EARLY_STOP, MOST_SWEEPS, BlockPlan, StepFactory, interleave, noise_level
from scaling_law.problems import GaussianAxes
from scaling_law.steps import exponential_steps
from scaling_law.sweeps import AffineMap, propagate, reverse_process

START_SHARE, STEPS_SHARE = 0.25, 0.75
"""Shares of the divergence: for the start without any steps, and for start and steps of the serial sampler."""
SETTLED = 3
"""So many further sweeps must meet the divergence, too: on their way down sweeps can pass by a better value."""


def bisect(condition: Callable[[float], bool], low: float, high: float) -> float:
    """Return the least number for which a monotonic condition holds, to a relative 1e-6; it must hold for `high`."""
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if condition(middle) else (middle, high)
    return high


def least_count(condition: Callable[[int], bool]) -> int:
    """Return the least whole number for which a monotonic condition holds."""
    high = 1
    while not condition(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if condition(middle) else (middle, high)
    return high


def find_horizon(problem: GaussianAxes, target: float, stochastic: bool) -> float:
    """Return T at which the start alone, carried on by the reverse process itself, costs its share."""

    def start_fits(time: float) -> bool:
        first, last = noise_level(time), noise_level(EARLY_STOP)
        flow = reverse_process(problem, first, last, stochastic)
        return float(problem.divergence(*propagate([flow], problem, first), last)) <= START_SHARE * target

    return bisect(start_fits, 0.5, 100.0)


def fewest_steps(
    problem: GaussianAxes, target: float, stochastic: bool, horizon: float, blocks: int, *, corrector: bool = False,
    step_factory: StepFactory = exponential_steps,
) -> BlockPlan:  # fmt: skip
    """Return the plan with the fewest steps per block with which the serial sampler stays within its share."""

    def plan(steps_per_block: int) -> BlockPlan:
        return BlockPlan(problem, stochastic, horizon, blocks, steps_per_block, step_factory)

    def steps_fit(steps_per_block: int) -> bool:
        candidate = plan(steps_per_block)
        divergence = candidate.corrected_serial_divergence() if corrector else candidate.serial_divergence()
        return divergence <= STEPS_SHARE * target

    return plan(least_count(steps_fit))


def settled_sweeps(divergences: Iterator[float], target: float, most: int = MOST_SWEEPS) -> tuple[int, float] | None:
    """Return after how many sweeps the divergence is met for good, and what it is then; None if not within `most`."""
    run: list[float] = []
    for number, divergence in enumerate(islice(divergences, most + SETTLED), 1):
        run = [*run, divergence] if divergence <= target else []
        if len(run) > SETTLED:
            return number - SETTLED, run[0]
    return None


def predictor_sweeps(plan: BlockPlan, target: float, most: int = MOST_SWEEPS) -> tuple[int, float] | None:
    """Return PIADM-SDE's K and its divergence; None if K is above `most`."""
    return settled_sweeps((plan.divergence(maps) for maps in plan.predictor_maps()), target, most)


def predictor_and_corrector_sweeps(plan: BlockPlan, target: float, most: int = MOST_SWEEPS) -> tuple[int, int, float] | None:
    """Return PIADM-ODE's K and K' with the least sum, and the divergence, which all of their successors must meet as well."""
    predictor_maps, corrector_maps = plan.predictor_maps(), zip(*plan.corrector_maps(), strict=True)
    predictors: list[list[AffineMap]] = []
    correctors: list[Sequence[AffineMap]] = []
    met: dict[tuple[int, int], float] = {}
    for total in range(2, most + 1):
        predictors.append(next(predictor_maps))
        correctors.append(next(corrector_maps))
        for k in range(1, total):
            divergence = plan.divergence(interleave(predictors[k - 1], correctors[total - k - 1]))
            met[k, total - k] = divergence if divergence <= target else math.inf
        settled = [pair for pair in met if sum(pair) == total - SETTLED and max(successors(met, pair)) < math.inf]
        if settled:
            best = min(settled, key=lambda pair: met[pair])
            return *best, met[best]
    return None


def successors(met: dict[tuple[int, int], float], pair: tuple[int, int]) -> list[float]:
    """Return the divergences of all (K + a, K' + b) with a + b up to SETTLED."""
    return [met[pair[0] + a, pair[1] + b] for a in range(SETTLED + 1) for b in range(SETTLED + 1 - a)]
