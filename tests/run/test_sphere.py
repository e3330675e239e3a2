"""Latitude and longitude through the verbs: what stats, a run's inputs and verify make of them, and say."""

import numpy as np
import pytest
import xarray
from click.testing import CliRunner

from parampi.basis.sphere_grid import latitudes
from parampi.commands.stats import stats
from parampi.commands.verify import verify
from parampi.errors import ConfigError, DataError
from parampi.fields import DatasetStatistics
from parampi.run.config import load
from parampi.run.inputs import read_inputs
from tests.small import write_project

LATITUDE, LONGITUDE = latitudes("gauss-legendre", 8), np.arange(16) * 22.5


def temperature(count, seed=0):
    """275 K in the mean over the sphere, whatever the noise, which has none."""
    noise = np.random.default_rng(seed).standard_normal((count, 8, 16))
    return 275 - 20 * (1.5 * np.sin(np.deg2rad(LATITUDE))[:, None] ** 2 - 0.5) + noise - noise.mean((1, 2), keepdims=True)


def write_globe(folder, south_first=False):
    coordinates = {"lat": ("lat", LATITUDE, {"units": "degrees_north"}), "lon": ("lon", LONGITUDE, {"units": "degrees_east"})}
    data = xarray.Dataset({"t": (("time", "lat", "lon"), temperature(30), {"units": "K"})}, coordinates)
    (data.isel(lat=slice(None, None, -1)) if south_first else data).to_netcdf(folder / "data.nc")
    return folder / "data.nc"


def make_statistics(folder, *options, **form):
    arguments = [str(write_globe(folder, **form)), "--output", str(folder / "statistics.nc"), "--overwrite", *options]
    return CliRunner().invoke(stats, arguments, catch_exceptions=False).output


@pytest.mark.parametrize("south_first", [False, True])
def test_stats_weights_by_area_and_says_so(tmp_path, south_first):
    said = make_statistics(tmp_path, south_first=south_first)
    assert "t: mean 275" in said or "t: mean 274.9" in said
    assert (
        "note: the grid is latitude and longitude around the globe, means weighted by area, spectra in spherical harmonics "
        "up to degree 7 (gauss-legendre grid)" in said
    )
    flat = make_statistics(tmp_path, "--plane", south_first=south_first)
    assert "note: the grid" not in flat and "t: mean 275" not in flat


def write_ground(path, names=("ground",), south_first=True):
    coordinates = {"lat": ("lat", LATITUDE, {"units": "degrees_north"}), "lon": ("lon", LONGITUDE, {"units": "degrees_east"})}
    ground = np.where(LATITUDE[:, None] > 0, 1000.0, 0.0) + np.zeros(16)
    data = xarray.Dataset({name: (("lat", "lon"), ground, {"units": "m"}) for name in names}, coordinates)
    (data.isel(lat=slice(None, None, -1)) if south_first else data).to_netcdf(path)
    return path


def test_static_fields_become_channels_of_the_same_file(tmp_path):
    static = ["--static", str(write_ground(tmp_path / "grid.nc")), "--static-variable", "ground"]
    said = make_statistics(tmp_path, *static)
    assert (
        "ground: mean 500, standard deviation 500 m, 1 static field" in said
        and "K, 30 samples" in said
        and "grid.nc: fields are turned or rolled along lat" in said
    )
    both = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    make_statistics(tmp_path)
    alone = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    assert both.names == ("t", "ground") and both.shape == (2, 8, 16) and both.geometry.spherical
    np.testing.assert_array_equal(both.select(["t"]).spectrum, alone.spectrum)
    north = both.reference[:, 1, LATITUDE > 0]
    assert len(both.reference) == 16 and (north == 1000).all() and (both.reference[:, 1, LATITUDE < 0] == 0).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--static", "grid.nc"], "--static is given without --static-variable"),
        (["--static-variable", "ground"], "--static-variable is given without --static"),
        (["--static", "grid.nc", "--static-variable", "t"], "channels are named t, t"),
        (["--static", "data.nc", "--static-variable", "t"], "t have 30 fields each; a static field is one"),
    ],
)
def test_static_fields_that_are_none_are_refused(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    write_ground(tmp_path / "grid.nc", ("ground", "t"))
    with pytest.raises((ConfigError, DataError), match=words):
        make_statistics(tmp_path, *options)


@pytest.fixture
def project(tmp_path):
    path = write_project(tmp_path)
    make_statistics(tmp_path)
    return path


CHANGES = ["model.shape=[1,8,16]", "sampling.solver.name=spectral"]


def test_the_solver_of_a_run_takes_harmonics_from_the_statistics(project):
    inputs = read_inputs(load(project, CHANGES))
    prior = inputs.solver.statistics
    assert prior.basis == "spherical_harmonics" and len(prior.spectrum) == 9 and prior.options["grid"] == "gauss-legendre"
    named = read_inputs(load(project, [*CHANGES, "sampling.solver.basis=spherical_harmonics"])).solver.statistics
    np.testing.assert_array_equal(named.spectrum, prior.spectrum)


def test_options_of_the_basis_are_set_in_a_configuration(project):
    basis = "sampling.solver.basis={name: spherical_harmonics, degree: 4, transform: library}"
    prior = read_inputs(load(project, [*CHANGES, basis])).solver.statistics
    assert len(prior.spectrum) == 6 and prior.options["degree"] == 4


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        ("{degree: 4}", r"sampling.solver: .*\{'degree': 4\} has no name; give such as"),
        ("{name: spherical_harmonics, channels: shared}", r"sampling.solver: .*not for the shells of the basis"),
        ("{name: spherical_harmonics, degree: 40}", r"sampling.solver: .*degree = 40 is not possible on 8 x 16 points"),
        ("{name: spherical_harmonics, shels: 3}", r"sampling.solver: the basis 'spherical_harmonics' has no option 'shels'"),
    ],
)
def test_options_that_do_not_fit_are_refused(project, basis, words):
    with pytest.raises(ConfigError, match=words):
        read_inputs(load(project, [*CHANGES, f"sampling.solver.basis={basis}"]))


def test_verify_weights_and_says_so(project, tmp_path):
    members = temperature(5, seed=1).astype(np.float32)
    ensemble = xarray.Dataset(
        {
            "t": (("member", "lat", "lon"), members),
            "realization": ("member", np.arange(5)),
            "complete": ("member", np.ones(5, "i1")),
        }
    )
    ensemble.to_netcdf(tmp_path / "e.nc")
    said = CliRunner().invoke(
        verify, [str(tmp_path / "e.nc"), "--statistics", str(tmp_path / "statistics.nc")], catch_exceptions=False
    )
    assert "the grid is latitude and longitude around the globe" in said.output
    (mean,) = [line.split()[1] for line in said.output.splitlines() if line.split()[:1] == ["mean"]]
    assert abs(float(mean) - 275) < 0.1 and abs(members.mean() - 275) > 1
