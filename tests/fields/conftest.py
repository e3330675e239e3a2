"""A small data set of two channels on a grid that is not square."""

import numpy as np
import pytest

from parampi.fields import DatasetStatistics

SHAPE = (2, 6, 8)


@pytest.fixture
def samples():
    """Fields (20, 2, 6, 8) float32; the channels differ in mean and spread."""
    fields = np.random.default_rng(0).standard_normal((20, *SHAPE))
    return (fields * [[[2.0]], [[0.5]]] + [[[1.0]], [[-3.0]]]).astype(np.float32)


@pytest.fixture
def statistics(samples):
    names, units, long_names = ("u", "T"), ("m s-1", "K"), ("eastward wind", "temperature")
    y, x = np.linspace(75, -75, 6), np.arange(8) * 45.0
    return DatasetStatistics.from_samples(
        samples, names, units, long_names, x=x, y=y, references=5, x_units="degrees_east", y_units="degrees_north"
    )
