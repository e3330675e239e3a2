"""Radial spectra: plane waves, Parseval's theorem, and a shell sum written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parampi.fields import radial_spectrum, wavenumbers


def by_hand(field):
    """Every coefficient of the full transform into its shell, one at a time."""
    height, width = field.shape
    coefficients = np.fft.fft2(field) / (height * width)
    spectrum = {}
    for i, ly in enumerate(np.fft.fftfreq(height, 1 / height)):
        for j, lx in enumerate(np.fft.fftfreq(width, 1 / width)):
            shell = round(float(np.hypot(ly, lx)))
            spectrum[shell] = spectrum.get(shell, 0.0) + abs(coefficients[i, j]) ** 2
    return np.array([spectrum[k] for k in sorted(spectrum)])


GRIDS = st.tuples(st.integers(1, 12), st.integers(1, 12))
FIELDS = GRIDS.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.floats(-100, 100, width=32)))


@given(FIELDS)
def test_shell_sums_are_those_of_the_full_transform_and_add_up_to_the_mean_square(field):
    spectrum = radial_spectrum(field)
    scale = (field**2).mean() + 1e-300
    np.testing.assert_allclose(spectrum / scale, by_hand(field) / scale, rtol=0, atol=1e-12)
    assert spectrum.sum() / scale == pytest.approx((field**2).mean() / scale, abs=1e-12)
    assert len(wavenumbers(*field.shape)) == len(spectrum)


@pytest.mark.parametrize(("ly", "lx", "shell"), [(0, 0, 0), (3, 4, 5), (-2, 2, 3), (8, 0, 8), (0, 8, 8), (8, 8, 11)])
def test_a_plane_wave_is_in_one_shell(ly, lx, shell):
    y, x = np.mgrid[:16, :16] * 2 * np.pi / 16
    wave = 3 * np.cos(ly * y + lx * x)
    expected = np.zeros(len(wavenumbers(16, 16)))
    expected[shell] = (wave**2).mean()
    np.testing.assert_allclose(radial_spectrum(wave), expected, atol=1e-14)


def test_leading_axes_are_independent_and_single_precision_is_summed_in_double():
    fields = np.random.default_rng(1).standard_normal((3, 2, 8, 10)).astype(np.float32)
    spectra = radial_spectrum(fields)
    assert spectra.shape == (3, 2, len(wavenumbers(8, 10))) and spectra.dtype == np.float64
    np.testing.assert_array_equal(spectra[1, 0], radial_spectrum(fields[1, 0].astype(np.float64)))
