"""PIADM's parameters from its theorems, for a dimension and a tolerance.

For data of dimension d with unit covariance, a Lipschitz score known well enough and delta the tolerance, Chen, Ren, Ying and
Rotskoff 2024 (arXiv:2405.15986) prove in theorems 3.3 and 3.5

    SDE  KL(p_eta | q)   <~ d e^-T + d eps T + d T e^-K           rounds K N
    ODE  TV(p_eta, q)^2  <~ d e^-T + d eps^2 T^2 + d N^2 e^-K     rounds (K + K' N') N

with p_eta the data at the early stop and q what is sampled. The bounds hold up to constants that depend on the score and that
nobody knows. `piadm_parameters` makes every term delta^2 times a factor of 1, which can be changed:

    T = horizon_factor log(d / delta^2)             N = T / block_length, rounded up
    eps = step_factor delta^2 / (d T)               (SDE),   M = T / (N eps), rounded up
    eps = step_factor delta / (d^(1/2) T)           (ODE)
    K = sweep_factor log(d T / delta^2)             (SDE), rounded up
    K = sweep_factor log(d N^2 / delta^2)           (ODE), rounded up

so that M grows as d (SDE) and as d^(1/2) (ODE), up to logarithms. The ODE's corrector runs for `corrector_time` in
`corrector_blocks` blocks of steps `eps' = corrector_step_factor delta / d^(1/2)`, with
`K' = corrector_sweep_factor log(d / delta^2)` sweeps; time and friction are of order `L^(-1/2)` and `L^(1/2)` for a score of
Lipschitz constant L.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from parampi.diffusion.piadm_grid import PIADMGrid, block_grid, last_block_steps
from parampi.errors import ConfigError

Kind = Literal["sde", "ode"]


@dataclass(frozen=True)
class Corrector:
    """Underdamped Langevin dynamics at the noise level of a block's end, for a total `time` with a `friction`.

    It is cut into `blocks` (N'), solved one after another by `sweeps` (K') Picard sweeps over `steps_per_block` (M') steps.
    """

    time: float
    blocks: int
    steps_per_block: int
    sweeps: int
    friction: float

    @property
    def step(self) -> float:
        """eps', the length of a step."""
        return self.time / (self.blocks * self.steps_per_block)


@dataclass(frozen=True)
class PIADMParameters:
    """Parameters of a run of PIADM; `dataclasses.replace` changes any of them.

    horizon          T, time at which the backward process starts, `sigma_0^2 = e^T - 1`
    blocks           N, blocks of length h = T/N one after another
    steps_per_block  M, steps of eps = h/M; the last block has more, see `parampi.diffusion.piadm_grid`
    sweeps           K, Picard sweeps per block
    early_stop       time at which the backward process ends
    corrector        of PIADM-ODE, after every block; None for PIADM-SDE
    """

    dim: int
    tolerance: float
    horizon: float
    blocks: int
    steps_per_block: int
    sweeps: int
    early_stop: float
    corrector: Corrector | None = None

    @property
    def block_length(self) -> float:
        """h."""
        return self.horizon / self.blocks

    @property
    def step(self) -> float:
        """eps."""
        return self.block_length / self.steps_per_block

    @property
    def rounds(self) -> int:
        """Network evaluations that wait for one another: `K N`, with a corrector `(K + K' N') N`."""
        corrector = self.corrector.sweeps * self.corrector.blocks if self.corrector else 0
        return (self.sweeps + corrector) * self.blocks

    @property
    def points(self) -> int:
        """Most points that are swept together, usually those of the last block."""
        last = sum(last_block_steps(self.block_length, self.step, self.early_stop))
        corrector = self.corrector.steps_per_block if self.corrector else 0
        return max(self.steps_per_block if self.blocks > 1 else 0, last, corrector)

    @property
    def stored_states(self) -> int:
        """Numbers kept at once, the dimension times `points`; velocities of the corrector and copies are not counted."""
        return self.dim * self.points

    @property
    def grid(self) -> PIADMGrid:
        """Noise levels of the points and the points at which blocks end."""
        return block_grid(self.blocks, self.steps_per_block, self.horizon, self.early_stop)

    def sigmas(self) -> Tensor:
        """Return the noise levels of the points, strictly decreasing, float64."""
        return self.grid.sigmas


def piadm_parameters(
    dim: int,
    tolerance: float,
    kind: Kind = "sde",
    *,
    horizon_factor: float = 1.0,
    block_length: float = 1.0,
    step_factor: float = 1.0,
    sweep_factor: float = 1.0,
    early_stop: float = 1e-3,
    corrector_time: float = 1.0,
    corrector_blocks: int = 1,
    corrector_step_factor: float = 1.0,
    corrector_sweep_factor: float = 1.0,
    friction: float = 2.0,
) -> PIADMParameters:
    """Return T, N, M and K of the theorems for fields of `dim` numbers; formulas at the head of this module.

    Raises ConfigError for numbers out of range.
    """
    check_positive(horizon_factor=horizon_factor, block_length=block_length, step_factor=step_factor, sweep_factor=sweep_factor)
    check_positive(corrector_time=corrector_time, corrector_blocks=corrector_blocks)
    check_positive(corrector_step_factor=corrector_step_factor, corrector_sweep_factor=corrector_sweep_factor)
    check_positive(friction=friction)
    check_problem(dim, tolerance, kind)
    ratio, sde = dim / tolerance**2, kind == "sde"
    horizon = horizon_factor * math.log(ratio)
    blocks = rounded_up(horizon / block_length)
    step = step_factor / (horizon * (ratio if sde else math.sqrt(ratio)))
    sweeps = rounded_up(sweep_factor * math.log(ratio * (horizon if sde else blocks**2)))
    steps = rounded_up(corrector_time / corrector_blocks * math.sqrt(ratio) / corrector_step_factor)
    corrections = rounded_up(corrector_sweep_factor * math.log(ratio))
    corrector = None if sde else Corrector(corrector_time, corrector_blocks, steps, corrections, friction)
    check_end(horizon / blocks, early_stop)
    return PIADMParameters(
        dim=dim,
        tolerance=tolerance,
        horizon=horizon,
        blocks=blocks,
        steps_per_block=rounded_up(horizon / blocks / step),
        sweeps=sweeps,
        early_stop=early_stop,
        corrector=corrector,
    )


def rounded_up(number: float) -> int:
    """Return the next whole number, at least 1, whatever rounding errors say."""
    return max(1, math.ceil(number * (1 - 1e-12)))


def check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 < number < math.inf:
            raise ConfigError(f"{name} = {number} must be a positive number")


def check_problem(dim: int, tolerance: float, kind: str) -> None:
    if kind not in ("sde", "ode"):
        raise ConfigError(f"kind = {kind!r} is not one of 'sde', 'ode'")
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
        raise ConfigError(f"dim = {dim!r} must be a whole number, at least 1: how many numbers a field has")
    if not 0 < tolerance < 1:
        raise ConfigError(f"tolerance = {tolerance} must be between 0 and 1: its square bounds the divergence")


def check_end(block_length: float, early_stop: float) -> None:
    if not 0 < early_stop < min(1.0, block_length):
        raise ConfigError(
            f"early_stop = {early_stop} must be positive and inside the last block, which is {block_length:.4g} long; "
            "1e-3 is usual"
        )
