"""Problems for benchmarks: those in closed form by name; commands make one of a trained network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from torch import Tensor, nn

from parampi.bench.families import FAMILIES, statistics_of
from parampi.bench.known import known_statistics
from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.exact import PROBLEMS, Problem
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
    return exactly(name, problem, known_statistics(problem), lowest=0.002, batch=64)


@cache
def of_family(name: str) -> Subject:
    """Return a family on which the tolerance is judged."""
    return exactly(name, FAMILIES[name](), statistics_of(name), lowest=1e-5, batch=256)


def exactly(name: str, problem: Problem, statistics: SpectralPrior | None, *, lowest: float, batch: int) -> Subject:
    """Return a problem whose denoiser is exact as it is."""
    shape = tuple(problem.shape)
    return Subject(name, problem, problem, shape, statistics, lowest=lowest, highest=80.0, batch=batch)


class OneCase(nn.Module):
    """Denoiser of the law under one condition (C, *field)."""

    condition: Tensor

    def __init__(self, denoiser: Callable[..., Tensor], condition: Tensor):
        super().__init__()
        self.denoiser, self.sigma_data = denoiser, float(getattr(denoiser, "sigma_data", 1.0))
        self.register_buffer("condition", condition)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.denoiser(x, sigma, self.condition.expand(len(x), *self.condition.shape))
