"""A trained network as a problem for benchmarks: what a run's configuration says of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from parampi.bench.known import known_statistics
from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.exact import PROBLEMS
from parampi.run import model_loading
from parampi.run.config import build, load
from parampi.solvers.spectral.prior import SpectralPrior


@dataclass(frozen=True)
class Subject:
    """What a benchmark draws from: a denoiser, and the same in float64; what is known of its data; its range of noise."""

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
    return Subject(name, problem, problem, tuple(problem.shape), known_statistics(problem), 0.002, 80.0, 64)


def trained(config: Path) -> Subject:
    """The network of a run's configuration, its statistics and the range of its noise levels."""
    run = load(config)
    levels = build(run, "sigmas")
    positive = levels[levels > 0]

    def denoiser(dtype: torch.dtype) -> Denoiser:
        network = model_loading.build_network(run.model.network, run.model.arguments)
        model_loading.load_weights(network, Path(run.model.weights))
        return model_loading.build_denoiser(network.to(dtype), run.model.predicts, run.model.sigma_data, torch.device("cpu"))

    statistics, shape = SpectralPrior.from_file(run.data.statistics), tuple(run.model.shape)
    ends = float(positive[-1]), float(positive[0])
    return Subject("network", denoiser(torch.float32), denoiser(torch.float64), shape, statistics, *ends, 16)


def subjects(names: Sequence[str], config: Path | None) -> list[Callable[[], Subject]]:
    """Closed-form problems by name, then a configuration's network."""
    return [*(lambda name=name: closed_form(name) for name in names), *([lambda: trained(config)] if config else [])]
