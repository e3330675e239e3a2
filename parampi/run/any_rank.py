"""Fields of any number of axes in files, and in memory beside them, where all axes but the first and the last count as one."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parampi.errors import ConfigError
from parampi.fields import DatasetStatistics, FieldDimensions
from parampi.fields.geometry import unplaced

Floats = NDArray[np.floating[Any]]


def folded(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape (channels, y, x) that fields have in memory."""
    return shape[0], math.prod(shape[1:-1]), shape[-1]


def described(data: DatasetStatistics, shape: Sequence[int], names: Sequence[str], path: Path) -> DatasetStatistics:
    """Return statistics whose fields have the axes of the network's, (channels, ...): those of the file, else of these names,
    else of usual ones. Raises ConfigError for other axes or another grid."""
    if data.dimensions is not None and names and data.dimensions.names != tuple(names):
        raise ConfigError(
            f"data.field_axes = {list(names)}, but the fields of data.statistics = {path} have the axes "
            f"{list(data.dimensions.names)}; leave data.field_axes out"
        )
    if data.dimensions is None and (len(shape) != 3 or names) and data.shape == folded(shape):
        data = with_dimensions(data, FieldDimensions.usual(tuple(shape[1:]), names))
    own = (len(data.names), *data.sizes)
    if own != tuple(shape):
        axes = ", ".join(("channels", *data.axis_names))
        raise ConfigError(
            f"model.shape = {list(shape)} but the fields of data.statistics = {path} are {list(own)} ({axes}); the two must "
            f"describe the same grid"
        )
    return data


def with_dimensions(data: DatasetStatistics, dimensions: FieldDimensions) -> DatasetStatistics:
    """Return statistics of fields of which only the points in memory are known, with these axes; their spectrum is kept where
    it has the shells of these axes."""
    geometry = unplaced(data.grid, dimensions)
    known = data.geometry.flat and geometry.flat and len(geometry.shells) == data.spectrum.shape[1]
    spectrum = data.spectrum if known else np.full((len(data.names), len(geometry.shells)), np.nan)
    return replace(data, dimensions=dimensions, geometry=geometry, spectrum=spectrum, wavenumber=geometry.shells)


def physical(statistics: DatasetStatistics, state: Tensor) -> Floats:
    """Return a normalised field (*shape) in physical units, as it is in memory beside files."""
    return statistics.restore(state.cpu().double().numpy().reshape(statistics.shape))


def as_drawn(fields: Tensor, shape: Sequence[int]) -> Tensor:
    """Return fields (m, c, y, x) of files with the axes that the network's fields have after the channels."""
    return fields.reshape(*fields.shape[:2], *shape[1:]) if fields.shape[2:] == folded(shape)[1:] else fields
