"""Options of an engine."""

from dataclasses import dataclass

from parampi.engine.history import Watch
from parampi.parallel import Mode


@dataclass(frozen=True)
class EngineOptions:
    """Options of an engine: points swept at once (None for all), relative error of the final field, mode of the scan, what is
    called after each round on the rank that drives, most lead times of a roll-out that are swept at once (None for as many as
    the window reaches), and whether rounds of two halves of the members alternate."""

    window: int | None = None
    tolerance: float = 1e-3
    mode: Mode = "fast"
    watch: Watch | None = None
    flight: int | None = None
    overlap: bool = False
