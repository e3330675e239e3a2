"""A grid of blocks for Gaussian data, and the divergences of PIADM, Picard and the serial sampler on it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from torch import Tensor

from parampi.diffusion import PIADMGrid, block_grid
from parampi.samplers import StepMap
from scaling_law.corrector import Langevin, corrector_maps
from scaling_law.problems import GaussianAxes
from scaling_law.steps import exponential_steps, split_blocks
from scaling_law.sweeps import AffineMap, SlopeModel, propagate, sweep_maps

EARLY_STOP = 1e-3
MOST_SWEEPS = 400
StepFactory = Callable[[Tensor, bool], StepMap]


def noise_level(time: float) -> float:
    """Return sigma at a time of the variance-preserving process."""
    return math.sqrt(math.expm1(time))


@dataclass(frozen=True)
class BlockPlan:
    """Blocks of equal length in time, each with equally many steps but for the last one, which ends at the early stop."""

    problem: GaussianAxes
    stochastic: bool
    horizon: float
    blocks: int
    steps_per_block: int
    step_factory: StepFactory = exponential_steps

    @cached_property
    def grid(self) -> PIADMGrid:
        """Return the noise levels and the points at which blocks end."""
        return block_grid(self.blocks, self.steps_per_block, self.horizon, EARLY_STOP)

    @cached_property
    def steps(self) -> StepMap:
        """Return all steps."""
        return self.step_factory(self.grid.sigmas, self.stochastic)

    @cached_property
    def block_steps(self) -> list[StepMap]:
        """Return the steps of each block."""
        return split_blocks(self.steps, self.grid.ends)

    @property
    def points(self) -> int:
        """Return the number of points of the longest block."""
        return max(block.steps for block in self.block_steps)

    @cached_property
    def langevin(self) -> Langevin:
        """Return the theorem's corrector with constants of 1.

        For a score of Lipschitz constant L: time L^(-1/2), friction L^(1/2), steps as long as the predictor's.
        """
        root = math.sqrt(1 / (1 / self.problem.lipschitz + EARLY_STOP))
        step = self.horizon / self.blocks / self.steps_per_block
        return Langevin(1 / root, max(1, math.ceil(1 / root / step)), root)

    def divergence(self, maps: Sequence[AffineMap]) -> float:
        """Return the divergence of the data at the early stop from the samples that these maps make."""
        first, last = float(self.grid.sigmas[0]), float(self.grid.sigmas[-1])
        return float(self.problem.divergence(*propagate(maps, self.problem, first), last))

    def serial_divergence(self) -> float:
        """Return the serial sampler's divergence."""
        return self.divergence([next(sweep_maps(self.steps, self.problem, "exact"))])

    def corrected_serial_divergence(self) -> float:
        """Return the serial sampler's divergence with a corrector, solved serially too, after every block."""
        predictors = [next(sweep_maps(block, self.problem, "exact")) for block in self.block_steps]
        return self.divergence(interleave(predictors, [converged(maps) for maps in self.corrector_maps()]))

    def predictor_maps(self) -> Iterator[list[AffineMap]]:
        """Yield the maps of all blocks after 1, 2, ... sweeps each."""
        for maps in zip(*(sweep_maps(block, self.problem, "noise") for block in self.block_steps), strict=True):
            yield list(maps)

    def corrector_maps(self) -> list[Iterator[AffineMap]]:
        """Return an iterator per block over the corrector's maps after 1, 2, ... sweeps."""
        return [corrector_maps(self.langevin, self.problem, float(block.sigmas[-1])) for block in self.block_steps]

    def window_divergences(self, model: SlopeModel) -> Iterator[float]:
        """Yield the divergence after 1, 2, ... Picard sweeps over all points."""
        guess: SlopeModel = "gaussian" if model == "gaussian" else "identity"
        for whole in sweep_maps(self.steps, self.problem, model, guess):
            yield self.divergence([whole])


def interleave(predictors: Sequence[AffineMap], correctors: Sequence[AffineMap]) -> list[AffineMap]:
    """Return the maps in the order in which they run: predictor and corrector of each block."""
    return [block for pair in zip(predictors, correctors, strict=True) for block in pair]


def converged(maps: Iterator[AffineMap]) -> AffineMap:
    """Return the map after so many sweeps that it no longer changes."""
    previous = next(maps)
    for block in islice(maps, MOST_SWEEPS):
        gain_change = (block.gain - previous.gain).abs()
        if bool((gain_change <= 1e-13).all() and ((block.variance / previous.variance - 1).abs() <= 1e-13).all()):
            break
        previous = block
    return block
