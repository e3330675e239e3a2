"""A network that is a closed form and sleeps: any number of accelerators on a laptop."""

import math
from collections.abc import Sequence

from torch import Tensor

from parampi.bench.known import known_statistics
from parampi.diffusion.exact import FieldMixture, GaussianMixture, Problem
from parampi.engine.clocked_network import BatchSeconds
from parampi.errors import ConfigError
from parampi.solvers.spectral.prior import SpectralPrior

GROWTHS = ("flat", "linear")


class AnyShape:
    """A mixture of Gaussians as a denoiser of fields of any shape whose numbers come in eights."""

    sigma_data, any_dtype = 1.0, True

    def __init__(self, shape: Sequence[int]):
        self.shape = tuple(shape)
        self.mixture = GaussianMixture(math.prod(shape))

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.mixture(x.reshape(len(x), *self.mixture.shape), sigma).reshape(x.shape)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        return self.mixture.sample(n, seed).reshape(n, *self.shape)


def closed_form(shape: Sequence[int]) -> tuple[Problem, SpectralPrior | None]:
    """Return the problem that stands for a network of fields of a shape, and what is known of its data. Raises ConfigError."""
    channels, *grid = shape
    if channels == 1 and len(grid) == 2 and grid[0] == grid[1]:
        problem = FieldMixture(grid[0], components=6)
        return problem, known_statistics(problem)
    if math.prod(shape) % 8:
        raise ConfigError(
            f"model.shape = {list(shape)} has {math.prod(shape)} numbers; --simulate needs one channel on a square grid, or a "
            "multiple of 8 numbers; choose another shape"
        )
    return AnyShape(shape), None


def batch_seconds(one: float, growth: str) -> BatchSeconds:
    """Return the seconds of a simulated call: `flat`, as long for any number of fields (a GPU with room), or `linear`."""
    return (lambda fields: one) if growth == "flat" else (lambda fields: one * fields)


def seconds_of(text: str) -> float:
    """Return the seconds of a text such as 50ms or 0.2s. Raises ConfigError."""
    number, factor = (text[:-2], 1e-3) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
    try:
        value = float(number) * factor
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e4:
        raise ConfigError(f"--simulate {text}: give the time of a network call, such as 50ms or 0.2s")
    return value
