"""Forecasts to compare with: the truth at the start, fields of other times, or another ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields import Channel, Forecasts, Geometry, Truth, open_ensemble, read_forecasts
from parampi.fields.evenly import evenly
from parampi.fields.inputs.horizontal import Placement, placement
from parampi.verify.field_parts import fair_crps

Floats = NDArray[np.floating[Any]]
CLIMATOLOGY, PERSISTENCE = "climatology", "persistence"
SAMPLES = 31
"""Fields of other times that are the members of a climatology, at most."""


class Reference(Protocol):
    """A forecast to compare with."""

    def read(self, start: int, lead: int) -> Sequence[Floats]:
        """Return the members (R, H, W) of each channel."""


@dataclass(frozen=True, eq=False)
class Persistence:
    """The truth at the start, for all lead times."""

    truth: Truth
    rows: NDArray[np.intp]

    def read(self, start: int, lead: int) -> Sequence[Floats]:
        return [one[None] for one in self.truth.sample(int(self.rows[start]))]


@dataclass(frozen=True, eq=False)
class Climatology:
    """Fields of the truth at times that are spread evenly over all, without the one that is forecast."""

    truth: Truth
    kept: dict[int, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in evenly(self.truth.samples.shape[0], SAMPLES):
            self.kept[row] = self.truth.sample(row).astype(np.float32)

    def read(self, start: int, lead: int) -> Sequence[Floats]:
        others = [one for row, one in self.kept.items() if row != self.truth.rows[start, lead]]
        return list(np.stack(others, 1))


@dataclass(frozen=True, eq=False)
class OtherEnsemble:
    """Another ensemble file with the same channels, starts and lead times."""

    forecasts: Forecasts
    channels: tuple[Channel, ...]
    placed: Placement

    def read(self, start: int, lead: int) -> Sequence[Floats]:
        with open_ensemble(self.forecasts.path) as file:
            return [self.placed(self.forecasts.read(file, channel, start, lead)) for channel in self.channels]


def reference_of(name: str, forecasts: Forecasts, channels: Sequence[Channel], truth: Truth) -> Reference | None:
    """Return the reference of a name, or of a path; None for "". Raise DataError where it does not fit the forecasts."""
    if name == PERSISTENCE:
        if forecasts.leads is None:
            raise DataError(
                f"{forecasts.path} has no lead times, so that nothing persists; take climatology, or another ensemble"
            )
        return Persistence(truth, truth.at_starts())
    if name == CLIMATOLOGY:
        if truth.samples.shape[0] < 3:
            raise DataError(
                f"{truth.name} has {truth.samples.shape[0]} times, too few for a climatology; give files with more, or another "
                f"reference"
            )
        return Climatology(truth)
    return other_ensemble(name, forecasts, channels) if name else None


def other_ensemble(name: str, forecasts: Forecasts, channels: Sequence[Channel]) -> Reference:
    """Return another ensemble as a reference. Raise DataError where it has other channels, points or times."""
    if not Path(name).exists():
        raise DataError(f"the reference {name!r} is no file; give climatology, persistence, or the path of an ensemble")
    other = read_forecasts(name)
    if other.valid.shape != forecasts.valid.shape or other.attributes != forecasts.attributes or not same(other, forecasts):
        raise DataError(
            f"{name} is for other times than {forecasts.path} ({other.when(0, 0)}, and {forecasts.when(0, 0)}; "
            f"{other.valid.size} and {forecasts.valid.size} of them); give an ensemble of the same starts and lead times"
        )
    chosen = other.choose([channel.name for channel in channels])
    for own, one in zip(chosen, channels, strict=True):
        if own.units != one.units:
            raise DataError(f"{own.name} is in {own.units!r} in {name}, in {one.units!r} in {forecasts.path}; give both alike")
    return OtherEnsemble(other, chosen, placement(other.grid, forecasts.grid))


def same(one: Forecasts, other: Forecasts) -> bool:
    """Return whether the valid times of both are the same numbers."""
    return bool(np.allclose(one.valid, other.valid, rtol=0, atol=1e-6))


def reference_parts(others: Floats | None, truth: Floats, members: Floats, geometry: Geometry) -> dict[str, Floats]:
    """Return the mean CRPS, and the mean square error of the mean, of a reference's members (R, H, W), at the points where the
    forecast is scored; zeros where there is none."""
    if others is None:
        return {"reference_crps": np.zeros(()), "reference_square": np.zeros(())}
    valid = np.isfinite(truth) & np.isfinite(members).all(0)
    weight = np.where(valid, geometry.weights()[:, None], 0.0)[valid]
    some, true = others[:, valid].astype(np.float64), truth[valid]
    if not np.isfinite(some).all():
        raise DataError("the reference lacks values where the forecast has them")
    weight = weight / weight.sum()
    square = (some.mean(0) - true) ** 2
    return {"reference_crps": np.asarray(fair_crps(some, true) @ weight), "reference_square": np.asarray(square @ weight)}
