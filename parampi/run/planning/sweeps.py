"""How many rounds windows of some length take: from a pilot, else from a table of the solvers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from parampi.errors import ConfigError

WHOLE: dict[str, tuple[int, int]] = {
    "Spectral": (8, 11),
    "Picard": (9, 16),
    "ParaTAA": (9, 20),
    "ParaSolver": (16, 20),
    "PIADM": (20, 40),
    "Parareal": (30, 30),
    "Newton": (6, 8),
}
"""Rounds of 100 steps in one window, without and with noise, to a tolerance of 1e-2 (`parampi bench windows --config`)."""
TABLE_TOLERANCE, PER_DECADE = 1e-2, 0.15
"""Tolerance of the table, and by how much of itself rounds grow when the tolerance is a tenth."""
POWER = 0.85
"""Sweeps beyond the first that a point takes grow with this power of the window's share of the chain."""


@dataclass(frozen=True)
class Chain:
    """The rounds of a member in windows of one length: points that the window has in each; `evaluated`: evaluations per
    point."""

    window: int
    lengths: Sequence[float]
    evaluated: float = 1.0

    @property
    def rounds(self) -> int:
        return len(self.lengths)

    @property
    def evaluations(self) -> float:
        return sum(self.lengths) * self.evaluated


Sweeps = Callable[[int], Chain]
"""Expected rounds by the length of windows."""


def from_table(solver: str, steps: int, *, noisy: bool, tolerance: float, evaluated: float = 1.0) -> Sweeps:
    """Return what the table says of a solver. Raises ConfigError for one that is not in it."""
    if solver not in WHOLE:
        raise ConfigError(f"nothing is known of the rounds of {solver} (known: {', '.join(WHOLE)}); ask for a pilot (--pilot)")
    whole = WHOLE[solver][noisy] * (1 + PER_DECADE * max(0.0, math.log10(TABLE_TOLERANCE / tolerance)))

    def chain(window: int) -> Chain:
        window = min(window, steps)
        share = window / steps
        rounds = max(1, round(steps / window * (1 + (min(whole, steps) - 1) * share**POWER)))
        length = min(window, window * (1 - 0.4 * share))
        return Chain(window, [length if window > 1 else 1] * min(rounds, steps), evaluated)

    return chain


def from_pilot(chains: Sequence[Chain]) -> Sweeps:
    """Return what pilots in windows of some lengths say; in a line between two of them, in the logarithms of window and
    rounds."""
    known = sorted(chains, key=lambda chain: chain.window)

    def chain(window: int) -> Chain:
        exact = [one for one in known if one.window == window]
        if exact:
            return exact[0]
        below = [one for one in known if one.window < window] or known[:1]
        above = [one for one in known if one.window > window] or known[-1:]
        low, high = below[-1], above[0]
        if low is high:
            return low
        at = math.log(window / low.window) / math.log(high.window / low.window)
        rounds = round(low.rounds ** (1 - at) * high.rounds**at)
        mean = (low.evaluations / low.rounds) ** (1 - at) * (high.evaluations / high.rounds) ** at / low.evaluated
        return Chain(window, [min(mean, window)] * rounds, low.evaluated)

    return chain
