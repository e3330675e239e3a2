"""The cheapest parameters that meet a divergence: horizon, step, then sweeps, each from its share of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch

from parampi.diffusion import PIADMGrid, block_grid
from parampi.samplers import StepMap
from scaling_law.corrector import Langevin, corrector_maps
from scaling_law.problems import Modes
from scaling_law.steps import exponential_steps
from scaling_law.sweeps import Affine, Model, carried, exact_flow, split, sweep_maps

EARLY_STOP = 1e-3
START_SHARE, STEPS_SHARE = 0.25, 0.75
"""Of the divergence: what the start may cost without any steps, and start and steps together in the serial sampler."""
MOST_SWEEPS = 400
SETTLED = 3
"""So many more sweeps must stay within the divergence, too: on their way down sweeps can pass by a better value."""


def level(time: float) -> float:
    """Noise level sigma at a time of the variance-preserving process."""
    return math.sqrt(math.expm1(time))


def bisected(meets: Callable[[float], bool], low: float, high: float) -> float:
    """The least number between `low` and `high`, which does, that meets something monotonic, to a relative 1e-6."""
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high


def least_count(meets: Callable[[int], bool]) -> int:
    """The least whole number that meets something monotonic."""
    high = 1
    while not meets(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high


def horizon_for(problem: Modes, target: float, stochastic: bool) -> float:
    """T at which the start alone, carried on by the reverse process itself, costs its share."""

    def meets(time: float) -> bool:
        first, last = level(time), level(EARLY_STOP)
        flow = exact_flow(problem, first, last, stochastic)
        return float(problem.divergence(*carried([flow], problem, first), last)) <= START_SHARE * target

    return bisected(meets, 0.5, 100.0)


@dataclass(frozen=True)
class Plan:
    """A grid of blocks for a Gaussian problem, and what PIADM, Picard and the serial sampler make of it."""

    problem: Modes
    stochastic: bool
    horizon: float
    blocks: int
    steps_per_block: int
    step: Callable[[torch.Tensor, bool], StepMap] = exponential_steps

    @cached_property
    def grid(self) -> PIADMGrid:
        return block_grid(self.blocks, self.steps_per_block, self.horizon, EARLY_STOP)

    @cached_property
    def steps(self) -> StepMap:
        return self.step(self.grid.sigmas, self.stochastic)

    @cached_property
    def parts(self) -> list[StepMap]:
        return split(self.steps, self.grid.ends)

    @property
    def points(self) -> int:
        """Of the longest block."""
        return max(part.steps for part in self.parts)

    @cached_property
    def langevin(self) -> Langevin:
        """The theorem's corrector with constants of 1: time L^(-1/2), friction L^(1/2), steps as long as the predictor's."""
        root = math.sqrt(1 / (1 / self.problem.lipschitz + EARLY_STOP))
        step = self.horizon / self.blocks / self.steps_per_block
        return Langevin(1 / root, max(1, math.ceil(1 / root / step)), root)

    def divergence(self, maps: Sequence[Affine]) -> float:
        first, last = float(self.grid.sigmas[0]), float(self.grid.sigmas[-1])
        return float(self.problem.divergence(*carried(maps, self.problem, first), last))

    def serial(self) -> float:
        return self.divergence([next(sweep_maps(self.steps, self.problem, "exact"))])

    def corrected(self) -> float:
        """The serial sampler with a corrector, solved serially too, after every block."""
        maps = [next(sweep_maps(part, self.problem, "exact")) for part in self.parts]
        return self.divergence(interleaved(maps, [settled(maps) for maps in self.correctors()]))

    def sweeps(self) -> Iterator[list[Affine]]:
        """All blocks after 1, 2, ... sweeps each."""
        for maps in zip(*(sweep_maps(part, self.problem, "noise") for part in self.parts), strict=True):
            yield list(maps)

    def correctors(self) -> list[Iterator[Affine]]:
        return [corrector_maps(self.langevin, self.problem, float(part.sigmas[-1])) for part in self.parts]

    def window(self, model: Model) -> Iterator[float]:
        """Divergence after 1, 2, ... Picard sweeps over all points."""
        guess: Model = "gaussian" if model == "gaussian" else "identity"
        for block in sweep_maps(self.steps, self.problem, model, guess):
            yield self.divergence([block])


def interleaved(predictors: Sequence[Affine], correctors: Sequence[Affine]) -> list[Affine]:
    return [block for pair in zip(predictors, correctors, strict=True) for block in pair]


def settled(maps: Iterator[Affine]) -> Affine:
    """The map after so many sweeps that it no longer changes."""
    before = next(maps)
    for block in islice(maps, MOST_SWEEPS):
        if bool(
            ((block.gain - before.gain).abs() <= 1e-13).all() and ((block.variance / before.variance - 1).abs() <= 1e-13).all()
        ):
            break
        before = block
    return block


def finest(problem: Modes, target: float, stochastic: bool, horizon: float, blocks: int, corrector: bool = False,
           step: Callable[[torch.Tensor, bool], StepMap] = exponential_steps) -> Plan:  # fmt: skip
    """The fewest steps per block with which the serial sampler stays within its share."""

    def plan(steps_per_block: int) -> Plan:
        return Plan(problem, stochastic, horizon, blocks, steps_per_block, step)

    def meets(steps_per_block: int) -> bool:
        candidate = plan(steps_per_block)
        return (candidate.corrected() if corrector else candidate.serial()) <= STEPS_SHARE * target

    return plan(least_count(meets))


def first_settled(values: Iterator[float], target: float, most: int = MOST_SWEEPS) -> tuple[int, float] | None:
    """After how many sweeps the divergence is met for good, and what it is then; None if not within `most`."""
    recent: list[float] = []
    for number, value in enumerate(islice(values, most + SETTLED), 1):
        recent = [*recent, value] if value <= target else []
        if len(recent) > SETTLED:
            return number - SETTLED, recent[0]
    return None


def block_sweeps(plan: Plan, target: float, most: int = MOST_SWEEPS) -> tuple[int, float] | None:
    """PIADM-SDE's K and its divergence."""
    return first_settled((plan.divergence(maps) for maps in plan.sweeps()), target, most)


def both_sweeps(plan: Plan, target: float, most: int = MOST_SWEEPS) -> tuple[int, int, float] | None:
    """PIADM-ODE's K and K' with the least sum, and the divergence: all of their successors must meet it as well."""
    blocks, correctors = plan.sweeps(), zip(*plan.correctors(), strict=True)
    swept: list[list[Affine]] = []
    corrected: list[Sequence[Affine]] = []
    met: dict[tuple[int, int], float] = {}
    for total in range(2, most + 1):
        swept.append(next(blocks))
        corrected.append(next(correctors))
        for k in range(1, total):
            value = plan.divergence(interleaved(swept[k - 1], corrected[total - k - 1]))
            met[k, total - k] = value if value <= target else math.inf
        found = [pair for pair in met if sum(pair) == total - SETTLED and all(v < math.inf for v in successors(met, pair))]
        if found:
            best = min(found, key=lambda pair: met[pair])
            return *best, met[best]
    return None


def successors(met: dict[tuple[int, int], float], pair: tuple[int, int]) -> list[float]:
    """Divergences of all (K + a, K' + b) with a + b up to SETTLED."""
    return [met[pair[0] + a, pair[1] + b] for a in range(SETTLED + 1) for b in range(SETTLED + 1 - a)]
