"""Random runs on which the tolerance is judged: how they are drawn, and how they end beside the serial sampler's.

A draw is a function of a seed, its number and what is drawn from. Its members are judged one by one.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from parampi import samplers
from parampi.bench.oracle import oracle_rounds
from parampi.bench.rounds import relative
from parampi.bench.subject import Subject
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.sigmas import karras, log_uniform, vp_cosine, vp_linear
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel import SerialGroup
from parampi.samplers import Sampler
from parampi.solvers import ParaSolver, ParaTAA, Picard, Serial, Solver, Spectral

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "ddim": samplers.DDIM,
    "ddim, eta 0.5": lambda: samplers.DDIM(0.5),
    "ddpm": samplers.DDPM,
    "dpmpp_2m": samplers.DPMpp2M,
    "dpmpp_2m_sde": samplers.DPMpp2MSDE,
    "dpmpp_2s": samplers.DPMpp2S,
    "dpmpp_3m": samplers.DPMpp3M,
    "dpmpp_sde": samplers.DPMppSDE,
    "edm": samplers.EDM,
    "euler": samplers.Euler,
    "euler_ancestral": samplers.EulerAncestral,
    "heun": samplers.Heun,
    "unipc": samplers.UniPC,
}
TWO_STAGES = ("dpmpp_2s", "edm", "heun")
"""Samplers with two points a step, which take half as many steps."""
SOLVERS: dict[str, Callable[[Subject], Solver]] = {
    "picard": lambda subject: Picard(),
    "spectral": lambda subject: Spectral(statistics=subject.statistics),
    "spectral, nothing known": lambda subject: Spectral(),
    "parataa": lambda subject: ParaTAA(),
    "parasolver": lambda subject: ParaSolver(),
}
SPACINGS = ("karras", "log_uniform", "vp_linear", "vp_cosine")
WINDOWS = (4, 16, None)
FEWEST_STEPS = 5
LARGEST_LAST = 2e-2
TENTH = 0.1


@dataclass(frozen=True)
class Choices:
    """Choices that are drawn from, each evenly.

    subjects    by the name of their family
    lowest      smallest of the last positive noise levels of Karras and log-uniform grids; the largest is LARGEST_LAST
    most_steps  steps are drawn from FEWEST_STEPS to these, evenly in their logarithm
    members     of a run
    """

    subjects: Callable[[str], Subject]
    families: tuple[str, ...]
    samplers: tuple[str, ...] = tuple(SAMPLERS)
    solvers: tuple[str, ...] = tuple(SOLVERS)
    spacings: tuple[str, ...] = SPACINGS
    lowest: float = 1e-5
    most_steps: int = 500
    members: int = 4


@dataclass(frozen=True)
class Draw:
    """A run that was drawn: all that it depends on. `last` is the grid's last positive noise level, which the grids of
    variance-preserving models do not use; `window` is None where it has all points; `members` are numbered from 0."""

    seed: int
    family: str
    sampler: str
    solver: str
    spacing: str
    steps: int
    last: float
    final_zero: bool
    window: int | None
    tolerance: float
    members: int

    @classmethod
    def of(cls, choices: Choices, seed: int, number: int) -> "Draw":
        """Return the draw of a number."""
        rng = random.Random(f"{seed} {number}")
        family, sampler, solver = rng.choice(choices.families), rng.choice(choices.samplers), rng.choice(choices.solvers)
        steps = round(log_uniform_number(rng, FEWEST_STEPS, choices.most_steps))
        return cls(
            seed=rng.getrandbits(31),
            family=family,
            sampler=sampler,
            solver=solver,
            spacing=rng.choice(choices.spacings),
            steps=max(3, steps // 2) if sampler in TWO_STAGES else steps,
            last=log_uniform_number(rng, choices.lowest, LARGEST_LAST),
            final_zero=rng.random() < 0.5,
            window=rng.choice(WINDOWS),
            tolerance=log_uniform_number(rng, 1e-5, 1e-1),
            members=choices.members,
        )

    def sigmas(self, highest: float) -> Tensor:
        """Return the grid."""
        if self.spacing == "vp_linear":
            return vp_linear(self.steps)
        if self.spacing == "vp_cosine":
            return vp_cosine(self.steps)
        spaced = karras if self.spacing == "karras" else log_uniform
        return spaced(self.steps, self.last, highest, final_zero=self.final_zero)

    def problem(self, subject: Subject) -> SamplingProblem:
        """Return the members that are drawn, and their steps."""
        return SamplingProblem(
            network=BatchedDenoiser(subject.denoiser, batch=subject.batch),
            equations=SAMPLERS[self.sampler]().steps(self.sigmas(subject.highest)),
            members=torch.arange(self.members),
            shape=subject.shape,
            seed=self.seed,
            sigma_data=float(getattr(subject.denoiser, "sigma_data", 1.0)),
        )


def log_uniform_number(rng: random.Random, lowest: float, highest: float) -> float:
    return math.exp(rng.uniform(math.log(lowest), math.log(max(highest, lowest))))


@dataclass(frozen=True)
class MemberRecord:
    """How one member of a draw ended.

    share     of the draw's tolerance that the solver was given, 1 or a tenth
    error     relative L2 error against the serial run: relative to the member's own norm
    estimate  the run's own estimate of it
    rounds, evaluations   what the member cost
    bistable  noise level at which it stood between two outcomes, None where it was not flagged
    oracle    rounds of an oracle, None where there is none
    """

    draw: Draw
    member: int
    share: float
    error: float
    estimate: float
    rounds: int
    evaluations: int
    bistable: float | None
    oracle: int | None = None

    @property
    def ratio(self) -> float:
        """Error / tolerance, that of the draw whatever the solver was given."""
        return self.error / self.draw.tolerance


@dataclass(frozen=True)
class DrawnRun:
    """A draw, what it is drawn from, and the serial sampler's fields (m, *shape)."""

    draw: Draw
    problem: SamplingProblem
    solver: Solver
    serial: Tensor

    @classmethod
    def of(cls, draw: Draw, subject: Subject) -> "DrawnRun":
        problem = draw.problem(subject)
        serial = engine_for(problem, Serial(), SerialGroup()).run()
        return cls(draw, problem, SOLVERS[draw.solver](subject), serial)

    def records(self, shares: tuple[float, ...] = (1.0,)) -> list[MemberRecord]:
        """Run by the solver's own rule for these shares of the tolerance, the whole first; returns how each member ended.

        An oracle may also stop where the rule did, within the tolerance: it never needs more rounds than that.
        """
        oracle = oracle_rounds(self.problem, self.solver, self.serial, self.draw.window, self.draw.tolerance)
        records = [record for share in shares for record in self.judged(share)]
        if oracle is None:
            return records
        for record in records:
            if record.ratio <= 1:
                oracle[record.member] = min(oracle[record.member], record.rounds)
        return [replace(record, oracle=int(oracle[record.member])) for record in records]

    def judged(self, share: float) -> Iterator[MemberRecord]:
        """Run by the solver's own rule for a share of the tolerance, and yield how each member ended."""
        options = EngineOptions(tolerance=share * self.draw.tolerance, window=self.draw.window)
        engine = engine_for(self.problem, self.solver, SerialGroup(), options)
        errors, history = relative(engine.run(), self.serial).tolist(), engine.history
        for m, (error, level) in enumerate(zip(errors, history.bistable.tolist(), strict=True)):
            yield MemberRecord(
                draw=self.draw,
                member=m,
                share=share,
                error=math.inf if math.isnan(error) else error,
                estimate=float(history.error_estimate[m]),
                rounds=int(history.rounds[m]),
                evaluations=int(history.evaluations[m]),
                bistable=level or None,
            )
