"""Problems for benchmarks: those in closed form by name; commands make one of a trained network."""

from dataclasses import dataclass

from parampi.bench.known import known_statistics
from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.exact import PROBLEMS
from parampi.solvers.spectral.prior import SpectralPrior


@dataclass(frozen=True)
class Subject:
    """The subject of a benchmark: a denoiser, and the same in float64; what is known of its data; its range of noise."""

    name: str
    denoiser: Denoiser
    exact: Denoiser
    shape: tuple[int, ...]
    statistics: SpectralPrior | None
    lowest: float
    highest: float
    batch: int


def closed_form(name: str) -> Subject:
    problem = PROBLEMS[name]()
    return Subject(
        name=name,
        denoiser=problem,
        exact=problem,
        shape=tuple(problem.shape),
        statistics=known_statistics(problem),
        lowest=0.002,
        highest=80.0,
        batch=64,
    )
