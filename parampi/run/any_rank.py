"""Fields of any number of axes beside files of fields (channels, y, x): all axes but the first and the last count as y
there."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parampi.fields import DatasetStatistics

Floats = NDArray[np.floating[Any]]


def in_files(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape (channels, y, x) that fields have in files."""
    return shape[0], math.prod(shape[1:-1]), shape[-1]


def physical(statistics: DatasetStatistics, state: Tensor) -> Floats:
    """Return a normalised field (*shape) in physical units, as files have it."""
    return statistics.restore(state.cpu().double().numpy().reshape(statistics.shape))


def as_drawn(fields: Tensor, shape: Sequence[int]) -> Tensor:
    """Return fields (m, c, y, x) of files with the axes that the network's fields have after the channels."""
    return fields.reshape(*fields.shape[:2], *shape[1:]) if fields.shape[2:] == in_files(shape)[1:] else fields
