"""Fields on the sphere and in regions of it: areas, spectra of known harmonics, statistics and the solver's spectrum."""

import sys

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

import parampi
from parampi.basis.sphere_grid import FAMILIES, latitudes
from parampi.errors import ConfigError, DataError
from parampi.fields import DatasetStatistics, Geometry, geometry_of

RINGS = {"equiangular": 16, "equiangular-poles": 17, "driscoll-healy": 24, "gauss-legendre": 16}
LONGITUDE = np.arange(32) * 11.25
DEGREES = ("degrees_north", "degrees_east")
every_grid = pytest.mark.parametrize("family", FAMILIES)
both_ways = pytest.mark.parametrize("ascending", [False, True], ids=["north first", "south first"])


def rows_of(family, ascending=False):
    return latitudes(family, RINGS[family])[:: -1 if ascending else 1]


def harmonic(latitude, degree, order):
    """A real harmonic whose mean square over the sphere is 1."""
    theta, phi = np.deg2rad(90 - latitude)[:, None], np.deg2rad(LONGITUDE)
    field = sph_harm_y(degree, order, theta, phi).real
    return field * np.sqrt(4 * np.pi * (2 if order else 1))


def described(fields, latitude, **options):
    units = {"y_units": DEGREES[0], "x_units": DEGREES[1]}
    return DatasetStatistics.from_samples(fields, ["t"], ["K"], ["temperature"], y=latitude, x=LONGITUDE, **units, **options)


@every_grid
@both_ways
def test_areas_are_those_of_the_library(family, ascending):
    ducc0 = pytest.importorskip("ducc0", reason="ducc0, of the extra 'sphere', is not installed")
    geometry = geometry_of(rows_of(family, ascending), LONGITUDE, units=DEGREES)
    weights = ducc0.sht.get_gridweights(FAMILIES[family].geometry, RINGS[family])
    np.testing.assert_allclose(geometry.weights(), (weights / weights.mean())[:: -1 if ascending else 1], atol=1e-13)
    assert geometry.spherical and geometry.options["ascending"] is ascending


@every_grid
@both_ways
def test_mean_and_spectrum_of_known_harmonics(family, ascending):
    """T = 275 - 20 P_2(sin latitude) + 3 Y_54 + 2 Y_30: its mean is 275, where a mean of all rows alike is lower."""
    latitude = rows_of(family, ascending)
    sine = np.sin(np.deg2rad(latitude))[:, None]
    pole = -20 * (3 * sine**2 - 1) / 2 * np.ones(32)
    field = 275 + pole + 3 * harmonic(latitude, 5, 4) + 2 * harmonic(latitude, 3, 0)
    made = described(np.stack([field, field])[:, None], latitude)
    assert made.mean[0] == pytest.approx(275, abs=1e-9) and field.mean() < 271
    expected = np.zeros(len(made.wavenumber))
    expected[[0, 2, 5, 3]] = 275**2, 20**2 / 5, 9, 4
    np.testing.assert_allclose(made.spectrum[0], expected, atol=1e-7)
    assert made.standard_deviation[0] ** 2 == pytest.approx(80 + 9 + 4, rel=1e-9)
    assert made.wavenumber[-1] == -1 and made.wavenumber[-2] == FAMILIES[family].degree(RINGS[family])


def test_a_wrong_area_weight_would_be_seen():
    """Rows that all count alike, or by cos^2, do not give the mean of the field above."""
    latitude = rows_of("gauss-legendre")
    field = 275 - 20 * (3 * np.sin(np.deg2rad(latitude))[:, None] ** 2 - 1) / 2 * np.ones(32)
    right = geometry_of(latitude, LONGITUDE, units=DEGREES)
    wrong = Geometry(right.grid, tuple((np.array(right.areas) ** 2).tolist()))
    assert right.mean(field) == pytest.approx(275, abs=1e-10)
    assert abs(wrong.mean(field) - 275) > 2 and abs(Geometry(right.grid).mean(field) - 275) > 2


@pytest.mark.parametrize("longitude", [LONGITUDE, np.roll(LONGITUDE, 16), LONGITUDE - 180, LONGITUDE[::-1]])
def test_spectra_do_not_depend_on_where_longitudes_begin(longitude):
    latitude = rows_of("equiangular")
    geometry = geometry_of(latitude, longitude, units=DEGREES)
    assert geometry == geometry_of(latitude, LONGITUDE, units=DEGREES)
    field = np.random.default_rng(0).standard_normal((16, 32))
    np.testing.assert_allclose(geometry.spectrum(np.roll(field, 5, 1)), geometry.spectrum(field), rtol=1e-10)


def test_the_sum_of_a_spectrum_is_the_mean_square_over_the_sphere():
    geometry = geometry_of(rows_of("gauss-legendre"), LONGITUDE, units=DEGREES)
    fields = np.random.default_rng(0).standard_normal((3, 2, 16, 32))
    np.testing.assert_allclose(geometry.spectrum(fields).sum(-1), geometry.mean(fields**2), rtol=1e-12)


@pytest.mark.parametrize(
    ("latitude", "longitude", "basis"),
    [
        (np.linspace(30, 60, 13), np.linspace(-10, 40, 26), "cosine"),
        (np.linspace(-60, 60, 13), LONGITUDE, "mixed"),
        (np.linspace(-87, 87, 30), np.linspace(0, 360, 33), "cosine"),  # the last meridian is the first
    ],
    ids=["box", "band", "a meridian twice"],
)
def test_regions_have_areas_and_modes_of_their_own(latitude, longitude, basis):
    geometry = geometry_of(latitude, longitude, units=DEGREES)
    np.testing.assert_allclose(
        geometry.weights(), np.cos(np.deg2rad(latitude)) / np.cos(np.deg2rad(latitude)).mean(), rtol=1e-12
    )
    assert geometry.basis == basis and "weighted by area" in geometry.words() and 2 <= geometry.highest < len(geometry.shells)
    wave = 7 + 3 * np.cos(np.pi * 4 * (np.arange(len(latitude))[:, None] + 0.5) / len(latitude)) * np.ones(len(longitude))
    spectrum = geometry.spectrum(wave)
    assert spectrum[1:].sum() == pytest.approx(4.5, rel=1e-9) and spectrum[0] == pytest.approx(
        geometry.mean(wave) ** 2, rel=1e-2
    )
    assert spectrum[1:].max() == pytest.approx(4.5, rel=1e-9)


@pytest.mark.parametrize(
    ("units", "names", "spherical"),
    [
        (DEGREES, ("y", "x"), True),
        (("degree_N", "degreesE"), ("y", "x"), True),
        (("1", ""), ("lat", "lon"), True),
        (("degrees", "degrees"), ("latitude", "longitude"), True),
        (("m", "m"), ("lat", "lon"), False),
        (("1", "1"), ("y", "x"), False),
        (("degrees_east", "degrees_north"), ("y", "x"), False),
    ],
)
def test_latitude_and_longitude_are_known_by_units_or_names(units, names, spherical):
    assert geometry_of(rows_of("equiangular"), LONGITUDE, units=units, names=names).spherical is spherical


def test_numbers_of_points_are_no_latitudes():
    assert geometry_of(np.arange(16), np.arange(32), names=("lat", "lon")).flat
    assert geometry_of(np.arange(16)[::-1], np.arange(32), names=("lat", "lon")).flat


def test_latitudes_beyond_the_poles_are_refused():
    with pytest.raises(DataError, match=r"latitude lat has the value -95 degrees; it must be within -90 and 90, mend"):
        geometry_of(np.linspace(-95, 95, 16), LONGITUDE, units=DEGREES, names=("lat", "lon"))


def fields_of(spectrum, latitude, count):
    """Gaussian fields whose degrees l have these mean squares."""
    generator = np.random.default_rng(3)
    theta, phi = np.deg2rad(90 - latitude)[:, None], np.deg2rad(LONGITUDE)
    fields = np.zeros((count, 1, len(latitude), 32))
    for degree, power in enumerate(spectrum):
        for order in range(degree + 1):
            one = sph_harm_y(degree, order, theta, phi) * np.sqrt(4 * np.pi * power / (2 * degree + 1))
            draw = generator.standard_normal((2, count, 1, 1, 1)) * (np.sqrt(2) if order else 1)
            fields += draw[0] * one.real - (draw[1] * one.imag if order else 0)
    return fields


def test_one_file_serves_normalisation_and_solver(tmp_path):
    """The variances of a solver's modes are those of the degrees from which the fields were drawn."""
    latitude = rows_of("gauss-legendre")
    power = np.array([0, 8, 4, 2, 1, 0.5, 0.25])
    fields = 280 + fields_of(power, latitude, 400)
    described(fields, latitude).save(tmp_path / "s.nc")
    data = DatasetStatistics.from_file(tmp_path / "s.nc")
    assert data.geometry == geometry_of(latitude, LONGITUDE, units=DEGREES)
    assert data.mean[0] == pytest.approx(280, abs=1e-6)  # their own means are 0
    np.testing.assert_allclose(data.spectrum[0, 1:7], power[1:], rtol=0.25)
    prior = parampi.Statistics.from_file(tmp_path / "s.nc")
    basis, variance, mean = prior.known((1, 16, 32), 1.0)
    modes = basis.forward(torch.from_numpy(data.normalise(fields)))
    measured = basis.shell_sums(modes.square()).mean(0) / basis.shell_sums(basis.noise)
    np.testing.assert_allclose(prior.spectrum[1:7], measured[1:7], rtol=1e-9)
    assert prior.basis == "spherical_harmonics" and not mean.any() and len(variance) == basis.modes


def test_a_lower_degree_leaves_the_rest_to_the_rest():
    latitude = rows_of("gauss-legendre")
    data = described(fields_of([0, 8, 4, 2, 1, 0.5, 0.25], latitude, 20), latitude)
    all_degrees, few = parampi.Statistics.of_data(data), parampi.Statistics.of_data(data, degree=4)
    np.testing.assert_array_equal(few.spectrum[:5], all_degrees.spectrum[:5])
    assert len(few.spectrum) == 6 and few.spectrum[5] > 0
    with pytest.raises(ConfigError, match=r"not for the shells of the basis .* with \{'channels': 'shared'\}; leave that out"):
        parampi.Statistics.of_data(data, channels="shared")


def test_a_plane_if_that_is_said():
    latitude = rows_of("equiangular")
    fields = fields_of([4, 1, 1], latitude, 5)
    flat = described(fields, latitude, plane=True)
    assert flat.geometry.flat and flat.mean[0] == pytest.approx(fields.mean()) and flat.wavenumber[-1] > 0


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ducc0", None)
    latitude = rows_of("equiangular")
    with pytest.raises(ConfigError, match=r"need ducc0.*pip install 'parampi\[sphere\]'.*--plane"):
        described(np.random.default_rng(0).standard_normal((4, 1, 16, 32)), latitude)
    assert geometry_of(latitude, LONGITUDE, units=DEGREES).mean(np.ones((16, 32))) == pytest.approx(1)


def test_damaged_areas_are_refused(tmp_path):
    for areas in ((-1.0, 2.0), (1.0,), (0.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(DataError, match=r"areas of the rows of a grid are .* give 2 numbers, not negative"):
            Geometry((2, 4), areas)
    with pytest.raises(DataError, match="the basis of a spectrum is 'wavelets'; it must be one of fourier"):
        Geometry((2, 4), basis="wavelets")
