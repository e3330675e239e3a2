"""The whole study: every problem, dimension and method, and the fits."""

from collections.abc import Sequence
from dataclasses import dataclass

from parampi import ConfigError
from scaling_law.fits import ScalingFit, fit_rows
from scaling_law.gaussian_rows import gaussian_rows, theorem_rows
from scaling_law.mixture_rows import mixture_rows
from scaling_law.problems import PROBLEMS
from scaling_law.rows import ScalingRow

TOLERANCE = 0.3
DIMS = tuple(2**k for k in range(4, 17))
QUICK_DIMS = (16, 64, 256, 1024)
PROBLEM_NAMES = (*PROBLEMS, "mixture")


@dataclass(frozen=True)
class ScalingStudy:
    """Every method at its cheapest for a KL divergence of `tolerance^2`, and how that grows with the dimension."""

    tolerance: float
    rows: list[ScalingRow]
    fits: list[ScalingFit]


def measure(dims: Sequence[int] = DIMS, problems: Sequence[str] = (), tolerance: float = TOLERANCE) -> ScalingStudy:
    """Measure the named problems, or all; "field" and "mixture", which take longer, in every second dimension only.

    Raises ConfigError for a problem that does not exist, a dimension below 16 and a tolerance outside (0, 1).
    """
    check_arguments(dims, problems, tolerance)
    rows = [row for dim in dims for row in theorem_rows(dim, tolerance)]
    for name in problems or PROBLEM_NAMES:
        for dim in dims if name == "spectrum" else dims[::2]:
            rows += mixture_rows(dim, tolerance) if name == "mixture" else gaussian_rows(name, dim, tolerance)
    return ScalingStudy(tolerance, rows, fit_rows(rows, tolerance))


def check_arguments(dims: Sequence[int], problems: Sequence[str], tolerance: float) -> None:
    """Raise ConfigError for the arguments that `measure` refuses."""
    for name in problems:
        if name not in PROBLEM_NAMES:
            raise ConfigError(f"there is no problem {name!r}; choose from {', '.join(PROBLEM_NAMES)}")
    if not dims or min(dims) < 16:
        raise ConfigError(f"dims = {list(dims)}; give dimensions of at least 16")
    if not 0 < tolerance < 1:
        raise ConfigError(f"tolerance = {tolerance} must be between 0 and 1: its square is the divergence")
