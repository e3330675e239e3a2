"""Moments read in blocks against the same moments of everything at once."""

import numpy as np
import pytest
from scipy import stats

from parampi.errors import DataError
from parampi.fields import moments, radial_spectrum
from parampi.fields.moments import BLOCK


@pytest.fixture
def fields():
    return np.random.default_rng(2).gamma(2.0, size=(2 * BLOCK + 3, 2, 4, 5)) * [[[1.0]], [[1e-3]]] + [[[50.0]], [[0.0]]]


def test_blocks_give_the_moments_of_the_whole(fields):
    measured = moments(fields)
    whole = np.moveaxis(fields, 1, 0).reshape(2, -1)
    np.testing.assert_allclose(measured.mean, whole.mean(1), rtol=1e-13)
    np.testing.assert_allclose(measured.standard_deviation, whole.std(1), rtol=1e-13)
    np.testing.assert_allclose(measured.kurtosis, stats.kurtosis(whole, axis=1, fisher=False), rtol=1e-12)
    np.testing.assert_allclose(measured.spectrum, radial_spectrum(fields).mean(0), rtol=1e-13)
    assert measured.second.shape == measured.fourth.shape == measured.means.shape == (2 * BLOCK + 3, 2)


def test_never_more_than_a_block_is_read(fields):
    class Lazy:
        shape = fields.shape

        def __getitem__(self, samples):
            assert samples.stop - samples.start <= BLOCK
            return np.ma.asarray(fields[samples], np.float32)

    np.testing.assert_allclose(moments(Lazy()).mean, moments(fields).mean, rtol=1e-6)


def test_a_constant_has_no_kurtosis():
    measured = moments(np.ones((3, 1, 2, 2)))
    assert np.isnan(measured.kurtosis) and measured.standard_deviation == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, "masked"])
def test_a_sample_that_is_not_finite_is_named(fields, bad):
    fields = np.ma.asarray(fields)
    fields[BLOCK + 1, 0, 1, 1] = np.ma.masked if bad == "masked" else bad
    with pytest.raises(DataError, match=f"sample {BLOCK + 1} "):
        moments(fields)


@pytest.mark.parametrize("shape", [(4, 5), (0, 1, 4, 4), (3, 1, 0, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match="samples, channels, y, x"):
        moments(np.zeros(shape))


def test_missing_values_are_left_out():
    rng = np.random.default_rng(3)
    fields = rng.normal(5.0, 2.0, (70, 2, 6, 8))
    land = rng.random((6, 8)) < 0.3
    gappy = np.where(land, np.nan, fields)
    measured = moments(gappy, missing="mean")
    sea = fields[..., ~land]
    assert np.allclose(measured.mean, sea.mean((0, 2))) and np.allclose(measured.standard_deviation, sea.std((0, 2)))
    whole = moments(np.where(land, measured.mean[:, None, None], fields))
    assert np.allclose(measured.spectrum, whole.spectrum)
    with pytest.raises(DataError, match=r"sample 0 of the fields holds NaN, Inf or missing values; .* or use --missing mean"):
        moments(gappy)
    gappy[66, 1] = np.nan
    with pytest.raises(DataError, match=r"sample 66 of the fields has a channel without any value; leave such samples out"):
        moments(gappy, missing="mean")


def test_whole_fields_have_the_same_bits_either_way():
    fields = np.random.default_rng(4).normal(size=(9, 1, 6, 8))
    one, other = moments(fields), moments(fields, missing="mean")
    assert np.array_equal(one.spectra, other.spectra) and np.array_equal(one.second, other.second)
