"""Cases on which the law of an ensemble is judged: families in few dimensions, the modes of their members, and how members
are drawn, many of them, serially and in parallel."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.basis import Identity
from parampi.bench.draws import SAMPLERS, SOLVERS, TWO_STAGES
from parampi.bench.families import (
    DEVELOP,
    HALVES,
    SAMPLES,
    in_one_direction,
    scaled,
    scattered,
    steps_along,
)
from parampi.bench.oracle import serial_ends
from parampi.bench.rounds import chosen
from parampi.bench.subject import Subject, exactly
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.mixtures import DiagonalMixture, PixelMixture
from parampi.diffusion.sigmas import karras
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel import SerialGroup
from parampi.solvers.spectral.prior import SpectralPrior

F64 = torch.float64
DIMENSIONS, POINTS = 8, 20
LAST, HIGHEST = 2e-2, 80.0
COHORT = 1000
"""Members that are drawn at a time."""
Mixture = DiagonalMixture | PixelMixture

SMALL: dict[str, Callable[[], Mixture]] = {
    "far modes, every direction": lambda: PixelMixture((DIMENSIONS,), (-5.0, 5.0), (0.01, 0.01), (0.5, 0.5)),
    "heavy vectors": lambda: scaled((DIMENSIONS,), torch.ones(DIMENSIONS), 9.0, 4, False),
    "near modes, unlike weights": lambda: in_one_direction(DIMENSIONS, 2.0, 0.1, torch.tensor([0.9, 0.1])),
    "square waves": lambda: steps_along(DIMENSIONS),
    "far modes, one direction": lambda: in_one_direction(DIMENSIONS, 8.0, 0.25),
    "few components, narrow": lambda: scattered(DIMENSIONS, 3, 0.01, 1),
    "few components, wide": lambda: scattered(DIMENSIONS, 4, 0.5, 2),
    "heavy pixels": lambda: PixelMixture((DIMENSIONS,), (0.0, 0.0, 0.0), (0.1, 1.0, 10.0), (0.6, 0.35, 0.05)),
    "rare pixels": lambda: PixelMixture((DIMENSIONS,), (0.0, 4.0), (0.01, 0.01), (0.95, 0.05)),
    "unequal variances": lambda: scattered(DIMENSIONS, 8, torch.logspace(-2, 0, 8, dtype=F64) / 2, 6),
}
"""The families of `parampi.bench.families` that have modes or heavy tails and a closed form that is cheap in DIMENSIONS
dimensions, in so many: the same laws, with as many numbers."""
LAW_SAMPLERS = ("ddim", "ddpm", "edm", "unipc")
LAW_SOLVERS = ("picard", "spectral", "spectral, nothing known")
LAW_WINDOWS: tuple[int | None, ...] = (4, 16, None)
LAW_TOLERANCES = (1e-1, 1e-2)


@dataclass(frozen=True)
class LawCase:
    """A family, and how its members are drawn; `window` is None where it has all points."""

    family: str
    sampler: str
    solver: str
    window: int | None
    tolerance: float

    @property
    def half(self) -> str:
        """Half of the families that this one is from."""
        return "develop" if self.family in DEVELOP else "judge"

    def problem(self, seed: int) -> SamplingProblem:
        """Return the steps, without members. Other families and samplers have other noise."""
        subject = of_small_family(self.family)
        steps = POINTS // 2 if self.sampler in TWO_STAGES else POINTS
        return SamplingProblem(
            network=BatchedDenoiser(subject.denoiser, batch=subject.batch),
            equations=SAMPLERS[self.sampler]().steps(karras(steps, LAST, HIGHEST)),
            members=torch.empty(0),
            shape=subject.shape,
            seed=random.Random(f"{seed} {self.family} {self.sampler}").getrandbits(63),
            sigma_data=float(getattr(subject.denoiser, "sigma_data", 1.0)),
        )

    def parallel(self, problem: SamplingProblem, members: range) -> "DrawnInParallel":
        """Return members by the solver."""
        solver, options = SOLVERS[self.solver](of_small_family(self.family)), EngineOptions(self.window, self.tolerance)
        parts = []
        for cohort in cohorts(problem, members):
            engine = engine_for(cohort, solver, SerialGroup(), options)
            fields, history = engine.run(), engine.history
            parts.append((fields, torch.from_numpy(history.rounds), torch.from_numpy(history.bistable > 0)))
        return DrawnInParallel(*(torch.cat(part) for part in zip(*parts, strict=True)))


@dataclass(frozen=True)
class DrawnInParallel:
    """Members as a solver left them: `fields` (m, *shape), `rounds` (m,), and which are `flagged` (m,) as having stood between
    two outcomes."""

    fields: Tensor
    rounds: Tensor
    flagged: Tensor


def cases_of(
    half: str = "develop",
    *,
    families: Sequence[str] = (),
    samplers: Sequence[str] = (),
    solvers: Sequence[str] = (),
    tolerances: Sequence[float] = (),
) -> list[LawCase]:
    """Return cases of the families of a half, or of those named: each with each solver and tolerance.

    Samplers and windows go round, so that each is met with each family, solver and tolerance somewhere, but not with all of
    them at once. Raises ConfigError for other names.
    """
    known = [name for name in SMALL if half == "both" or name in HALVES[half]]
    names = chosen("family" if half == "both" else f"family in the half to {half}", families, known)
    samplers, solvers = chosen("sampler", samplers or LAW_SAMPLERS, SAMPLERS), chosen("solver", solvers or LAW_SOLVERS, SOLVERS)
    cases = []
    for name in names:
        place = known.index(name)
        for s, solver in enumerate(solvers):
            for t, tolerance in enumerate(tolerances or LAW_TOLERANCES):
                sampler = samplers[(place + s + 2 * t) % len(samplers)]
                window = LAW_WINDOWS[(place + s + t) % len(LAW_WINDOWS)]
                cases.append(LawCase(name, sampler, solver, window, tolerance))
    return cases


@cache
def of_small_family(name: str) -> Subject:
    """Return a family in few dimensions, with statistics from as many samples as a family of any size has."""
    problem = SMALL[name]()
    statistics = SpectralPrior.from_samples(problem.sample(SAMPLES, seed=77), Identity(problem.shape))
    return exactly(name, problem, statistics, lowest=LAST, batch=4096)


def cohorts(problem: SamplingProblem, members: range) -> Iterator[SamplingProblem]:
    """Yield the problem with COHORT of the members after the other."""
    for begin in range(0, len(members), COHORT):
        part = members[begin : begin + COHORT]
        yield replace(problem, members=torch.arange(part.start, part.stop))


def serially(problem: SamplingProblem, members: range) -> Tensor:
    """Return the fields (m, *shape) of members by the serial sampler."""
    fields = []
    for cohort in cohorts(problem, members):
        start, count = cohort.start(), len(cohort.members)
        before = torch.zeros_like(start)
        states = torch.stack([before] * (problem.equations.taps - 1) + [start], dim=1)
        points, columns = np.zeros(count, np.int64), torch.arange(count)
        fields.append(serial_ends(cohort, states, torch.zeros_like(states[:, 1:]), points, columns))
    return torch.cat(fields)


def modes_of(family: str, fields: Tensor) -> NDArray[np.int64]:
    """Return the mode (n,) of each of n fields: the likeliest component of a mixture; where all entries are independent
    mixtures, how many of them are of their last component."""
    problem = of_small_family(family).denoiser
    if isinstance(problem, DiagonalMixture):
        return likeliest(fields, problem.means, problem.variances, problem.weights)
    assert isinstance(problem, PixelMixture)
    components = likeliest(fields.reshape(-1, 1), problem.means[:, None], problem.variances[:, None], problem.weights)
    last = components.reshape(len(fields), -1) == len(problem.means) - 1
    counts: NDArray[np.int64] = last.sum(1)
    return counts


def likeliest(x: Tensor, means: Tensor, variances: Tensor, weights: Tensor) -> NDArray[np.int64]:
    """Return the likeliest component (n,) of vectors x (n, d), of those with means and variances (K, d)."""
    scores = [
        weight.log() - 0.5 * ((x - mean) ** 2 / variance + variance.log()).sum(1)
        for mean, variance, weight in zip(means, variances, weights, strict=True)
    ]
    modes: NDArray[np.int64] = torch.stack(scores, 1).argmax(1).numpy()
    return modes
