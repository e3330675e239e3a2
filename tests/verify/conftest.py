"""Normal fields with a falling spectrum: what they score against their own statistics is known."""

import numpy as np
import pytest

from parampi.fields import DatasetStatistics

N = 16


@pytest.fixture
def draw():
    """draw(n, seed): fields (n, 1, N, N) with power k^-2 up to the corner, standard deviation near 2."""

    def draw(n, seed):
        k = np.hypot(np.fft.fftfreq(N, 1 / N)[:, None], np.fft.rfftfreq(N, 1 / N))
        amplitude = np.divide(1, k, out=np.zeros_like(k), where=k > 0)
        noise = np.random.default_rng(seed).standard_normal((n, 1, N, N))
        return 2.0 * np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=(N, N)) / 0.35

    return draw


@pytest.fixture
def statistics(draw):
    axis = np.arange(N) * 2 * np.pi / N
    return DatasetStatistics.from_samples(
        draw(2000, 0), ["w"], ["s-1"], ["vorticity"], x=axis, y=axis, x_units="m", y_units="m"
    )
